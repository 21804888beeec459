//! The two stages of training. In the first, gradients flow through the frozen text tower to its adapters, and
//! the image tower stays outside the graph. In the second the text is fixed, and gradients flow through the
//! frozen image tower.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::tokenizer::Tokenizer;
use clip_vit::{ClipSpec, Frozen, TextTower, VisionTower};
use moeclip::TextFeatures;
use moeclip_data::{Augmentation, Batch, MaskResize};
use moeclip_train::Movement;

use super::{
    AaClip, AaClipAdapters, AaClipBatch, AaClipFeatures, AaClipLosses, AaClipSettings,
    ClassSentences, ImageAdapters, TextAdapters, ValueTower,
};
use crate::state_maps::StateMaps;
use crate::training::{
    LossTerm, MethodLosses, Recipe, RunPlace, TrainedMethod, TrainingParts, TrainingStage,
};
use crate::{MethodError, settings as rules};

/// What a stage learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Text,
    Image,
}

impl Stage {
    fn of(place: RunPlace) -> Self {
        if place.stage == 0 { Self::Text } else { Self::Image }
    }
}

/// What stays as it is while adapters learn.
#[derive(Debug)]
pub struct AaClipFrozen<B: Backend> {
    pub(super) values: ValueTower<B>,
    pub(super) vision: Frozen<B>,
    pub(super) text: Frozen<B, TextTower<B>>,
    pub(super) sentences: BTreeMap<String, ClassSentences<Autodiff<B>>>,
    pub(super) maps: StateMaps<Autodiff<B>>,
}

impl<B: Backend> AaClipFrozen<B> {
    /// The directions of each image's class, one row per image. A class is encoded once.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] when a class has no sentences here.
    pub(super) fn text_of(
        &self,
        adapters: &TextAdapters<Autodiff<B>>,
        classes: &[String],
    ) -> Result<TextFeatures<Autodiff<B>>, MethodError> {
        let mut encoded = BTreeMap::new();
        for class in classes {
            if !encoded.contains_key(class) {
                let sentences = self.sentences.get(class).ok_or_else(|| unknown(class))?;
                encoded.insert(class, adapters.directions(&self.text, sentences));
            }
        }
        let rows = classes.iter().filter_map(|class| encoded.get(class).cloned());
        Ok(TextFeatures::stack(rows.collect()))
    }

    /// The first stage's losses on what the frozen image tower has made of a batch.
    pub(super) fn text_losses(
        &self,
        settings: &AaClipSettings,
        seen: AaClipFeatures<B>,
        batch: &AaClipBatch<Autodiff<B>>,
    ) -> AaClipLosses<Autodiff<B>> {
        let seen = AaClipFeatures {
            patches: seen.patches.into_iter().map(Tensor::from_inner).collect(),
            image: Tensor::from_inner(seen.image),
        };
        AaClipLosses::of_text(settings, &self.maps, &seen, batch)
    }

    /// The second stage's losses; the text's gradients are cut off.
    pub(super) fn image_losses(
        &self,
        settings: &AaClipSettings,
        adapters: &ImageAdapters<Autodiff<B>>,
        images: Tensor<B, 4>,
        batch: &AaClipBatch<Autodiff<B>>,
    ) -> AaClipLosses<Autodiff<B>> {
        let seen = adapters.forward(&self.vision, Tensor::from_inner(images));
        let TextFeatures { normal, abnormal } = batch.text.clone();
        let text = TextFeatures { normal: normal.detach(), abnormal: abnormal.detach() };
        let batch = AaClipBatch { text, ..batch.clone() };
        AaClipLosses::of_image(settings, &self.maps, &seen, &batch)
    }
}

fn unknown(class: &str) -> MethodError {
    let reason = format!("{class:?} has no sentences; name every class of the images");
    MethodError::Settings { key: "classes", reason }
}

impl TrainedMethod for AaClip {
    type Learned<B: Backend> = AaClipAdapters<Autodiff<B>>;
    type Frozen<B: Backend> = AaClipFrozen<B>;

    fn recipe() -> Recipe {
        Recipe::new(
            vec![
                TrainingStage { epochs: 5, batch_size: 16 },
                TrainingStage { epochs: 20, batch_size: 2 },
            ],
            111,
        )
    }

    fn mask_resize() -> MaskResize {
        MaskResize::Nearest
    }

    /// MoECLIP's, which took it from here, in both stages. The release also changes brightness, contrast and
    /// saturation in the second.
    fn augmentation() -> Option<Augmentation> {
        Some(Augmentation::default())
    }

    fn start<B: Backend>(
        settings: &AaClipSettings,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> AaClipAdapters<Autodiff<B>> {
        AaClipAdapters::init(settings, clip, seed, device)
    }

    fn weight_name(settings: &AaClipSettings, path: &str) -> String {
        settings.checkpoint_name(path)
    }

    fn frozen<B: Backend>(
        settings: &AaClipSettings,
        parts: &TrainingParts<'_, B>,
    ) -> Result<AaClipFrozen<B>, MethodError> {
        let TrainingParts { weights, classes, precision, device, .. } = *parts;
        let clip = settings.clip(parts.clip);
        let text = Frozen::new(TextTower::load(&clip, weights, precision, device)?);
        let tokenizer = Tokenizer::new(clip.text.context);
        let mut sentences = BTreeMap::new();
        for class in classes {
            sentences.insert(class.clone(), ClassSentences::of(&text, &tokenizer, class)?);
        }
        let vision = VisionTower::load(&clip, weights, precision, device)?;
        let grid = rules::grid(settings.image_size, &clip.vision)?;
        Ok(AaClipFrozen {
            values: ValueTower::new(settings, vision.clone()),
            vision: Frozen::new(vision),
            text,
            sentences,
            maps: StateMaps::new(grid, settings.image_size, settings.scale, device),
        })
    }

    fn movement(settings: &AaClipSettings, place: RunPlace, name: &str) -> Option<Movement> {
        let moved = |learning_rate| Some(Movement { learning_rate, decay: 0.0 });
        match Stage::of(place) {
            Stage::Text if name.starts_with("text_adapter.") => moved(settings.text_learning_rate),
            Stage::Image if name.starts_with("image_adapter.") => {
                moved(settings.image_learning_rate_at(place.stage_step))
            }
            Stage::Text | Stage::Image => None,
        }
    }

    fn losses<B: Backend>(
        settings: &AaClipSettings,
        frozen: &AaClipFrozen<B>,
        learned: &AaClipAdapters<Autodiff<B>>,
        batch: &Batch<B>,
        place: RunPlace,
    ) -> Result<MethodLosses<Autodiff<B>>, MethodError> {
        let seen = AaClipBatch {
            text: frozen.text_of(&learned.text, &batch.prompts)?,
            masks: Tensor::from_inner(batch.masks.clone()),
            labels: Tensor::from_inner(batch.labels.clone().float()),
        };
        let images = batch.images.clone();
        let losses = match Stage::of(place) {
            Stage::Text => frozen.text_losses(settings, frozen.values.forward(images), &seen),
            Stage::Image => frozen.image_losses(settings, &learned.image, images, &seen),
        };
        let AaClipLosses { focal, dice, class, orthogonal, total } = losses;
        let optional = [("class", class), ("orthogonal", orthogonal)];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let terms = [("focal", focal), ("dice", dice)].into_iter().chain(optional);
        let terms = terms.map(|(name, value)| LossTerm { name, value }).collect();
        Ok(MethodLosses { total, terms })
    }
}
