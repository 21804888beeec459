//! How AnomalyCLIP's tokens are learned. The image tower stays outside the graph; in the text tower gradients
//! flow through frozen layers to the tokens.

use burn::backend::Autodiff;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::tokenizer::Tokenizer;
use clip_vit::{ClipSpec, Frozen, TextTower};
use moeclip_data::Batch;
use moeclip_train::Movement;

use super::{
    AgnosticPrompts, AnomalyClip, AnomalyClipLosses, AnomalyClipSettings, ProbabilityMaps,
    TwoPathFeatures, TwoPathTower, checkpoint_name, state_sentences,
};
use crate::sentences::Sentences;
use crate::training::{
    LossTerm, MethodLosses, Recipe, RunPlace, TrainedMethod, TrainingParts, TrainingStage,
};
use crate::{MethodError, settings};

/// What stays as it is while the tokens are learned.
#[derive(Debug)]
pub struct AnomalyClipFrozen<B: Backend> {
    pub(super) vision: TwoPathTower<B>,
    pub(super) text: Frozen<B, TextTower<B>>,
    pub(super) sentences: Sentences<Autodiff<B>>,
    pub(super) maps: ProbabilityMaps<Autodiff<B>>,
}

impl<B: Backend> AnomalyClipFrozen<B> {
    /// The losses of learned tokens on what the image tower has made of a batch.
    ///
    /// # Shapes
    ///
    /// - masks: `[batch, 1, image_size, image_size]`
    /// - labels: `[batch]`
    pub(super) fn losses(
        &self,
        learned: &AgnosticPrompts<Autodiff<B>>,
        features: TwoPathFeatures<B>,
        masks: Tensor<B, 4>,
        labels: Tensor<B, 1>,
    ) -> AnomalyClipLosses<Autodiff<B>> {
        let features = TwoPathFeatures {
            patches: features.patches.into_iter().map(Tensor::from_inner).collect(),
            image: Tensor::from_inner(features.image),
        };
        let text = learned.forward(&self.text, &self.sentences).directions();
        let (masks, labels) = (Tensor::from_inner(masks), Tensor::from_inner(labels));
        self.maps.losses(&features, &text, masks, labels)
    }
}

impl TrainedMethod for AnomalyClip {
    type Learned<B: Backend> = AgnosticPrompts<Autodiff<B>>;
    type Frozen<B: Backend> = AnomalyClipFrozen<B>;

    fn recipe() -> Recipe {
        Recipe::new(vec![TrainingStage { epochs: 15, batch_size: 8 }], 111)
    }

    fn start<B: Backend>(
        settings: &AnomalyClipSettings,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> AgnosticPrompts<Autodiff<B>> {
        AgnosticPrompts::init(settings, &clip.text, seed, device)
    }

    fn weight_name(_: &AnomalyClipSettings, path: &str) -> String {
        checkpoint_name(path)
    }

    fn frozen<B: Backend>(
        settings: &AnomalyClipSettings,
        parts: &TrainingParts<'_, B>,
    ) -> Result<AnomalyClipFrozen<B>, MethodError> {
        let TrainingParts { clip, weights, precision, device, .. } = *parts;
        let text = Frozen::new(TextTower::load(clip, weights, precision, device)?);
        let texts = state_sentences(settings.context_tokens);
        let sentences = Sentences::read(&text, &Tokenizer::new(clip.text.context), &texts)?;
        let grid = settings::grid(settings.image_size, &clip.vision)?;
        Ok(AnomalyClipFrozen {
            vision: TwoPathTower::load(settings, clip, weights, precision, device)?,
            text,
            sentences,
            maps: ProbabilityMaps::new(settings, grid, device),
        })
    }

    fn movement(settings: &AnomalyClipSettings, _: RunPlace, _: &str) -> Option<Movement> {
        Some(Movement { learning_rate: settings.learning_rate, decay: 0.0 })
    }

    fn losses<B: Backend>(
        settings: &AnomalyClipSettings,
        frozen: &AnomalyClipFrozen<B>,
        learned: &AgnosticPrompts<Autodiff<B>>,
        batch: &Batch<B>,
        _: RunPlace,
    ) -> Result<MethodLosses<Autodiff<B>>, MethodError> {
        let features = frozen.vision.forward(batch.images.clone());
        let labels = batch.labels.clone().float();
        let losses = frozen.losses(learned, features, batch.masks.clone(), labels);
        let total = losses.total(settings.map_weight);
        let AnomalyClipLosses { image, focal, dice } = losses;
        let terms = [("image", image), ("focal", focal), ("dice", dice)];
        let terms = terms.map(|(name, value)| LossTerm { name, value }).into();
        Ok(MethodLosses { total, terms })
    }
}
