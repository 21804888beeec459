//! How the heads are trained: the tower runs outside the graph, since nothing stands in front of a head that
//! learns.

use burn::backend::Autodiff;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{ClipSpec, TextTower, VisionTower};
use moeclip::TextFeatures;
use moeclip_data::Batch;
use moeclip_train::Movement;

use super::{AprilGan, AprilGanLosses, AprilGanSettings, LayerTokens, TapHeads, april_gan_prompts};
use crate::state_maps::StateMaps;
use crate::states::{ClassDirections, SentenceMean};
use crate::training::{
    LossTerm, MethodLosses, Recipe, RunPlace, TrainedMethod, TrainingParts, TrainingStage,
};
use crate::{MethodError, settings};

/// What stays as it is while the heads learn.
#[derive(Debug)]
pub struct AprilGanFrozen<B: Backend> {
    tower: VisionTower<B>,
    text: ClassDirections<B>,
    maps: StateMaps<Autodiff<B>>,
}

impl TrainedMethod for AprilGan {
    type Learned<B: Backend> = TapHeads<Autodiff<B>>;
    type Frozen<B: Backend> = AprilGanFrozen<B>;

    /// The release's on MVTec-AD, to be used elsewhere. On VisA it is 15 epochs.
    fn recipe() -> Recipe {
        Recipe::new(vec![TrainingStage { epochs: 3, batch_size: 8 }], 111)
    }

    fn start<B: Backend>(
        settings: &AprilGanSettings,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> TapHeads<Autodiff<B>> {
        TapHeads::init(settings, clip, seed, device)
    }

    fn mosaics(settings: &AprilGanSettings) -> f64 {
        settings.mosaic
    }

    fn frozen<B: Backend>(
        settings: &AprilGanSettings,
        parts: &TrainingParts<'_, B>,
    ) -> Result<AprilGanFrozen<B>, MethodError> {
        let TrainingParts { weights, classes, precision, device, .. } = *parts;
        let clip = settings.clip(parts.clip);
        let text = TextTower::load(&clip, weights, precision, device)?;
        let (prompts, mean) = (april_gan_prompts(), SentenceMean::Unit);
        let text = ClassDirections::encode(text, &prompts, mean, classes)?;
        let grid = settings::grid(settings.image_size, &clip.vision)?;
        Ok(AprilGanFrozen {
            tower: VisionTower::load(&clip, weights, precision, device)?,
            text,
            maps: StateMaps::new(grid, settings.image_size, settings.scale, device),
        })
    }

    fn movement(settings: &AprilGanSettings, _: RunPlace, _: &str) -> Option<Movement> {
        Some(Movement { learning_rate: settings.learning_rate, decay: 0.0 })
    }

    fn losses<B: Backend>(
        settings: &AprilGanSettings,
        frozen: &AprilGanFrozen<B>,
        learned: &TapHeads<Autodiff<B>>,
        batch: &Batch<B>,
        _: RunPlace,
    ) -> Result<MethodLosses<Autodiff<B>>, MethodError> {
        let taps = settings.taps.iter().copied();
        let seen = LayerTokens::of(&frozen.tower, batch.images.clone(), taps);
        let text = frozen.text.rows(&batch.prompts)?;
        let AprilGanLosses { focal, dice, total } = head_losses(
            learned,
            seen.patches(&settings.taps),
            text,
            &frozen.maps,
            batch.masks.clone(),
        );
        let terms =
            vec![LossTerm { name: "focal", value: focal }, LossTerm { name: "dice", value: dice }];
        Ok(MethodLosses { total, terms })
    }
}

/// The losses of the heads on what the frozen tower has made of a batch.
///
/// # Shapes
///
/// - taps: one `[batch, patches, width]` for each head
/// - text: one row for all, or one per image
/// - mask: `[batch, 1, image_size, image_size]`
pub(super) fn head_losses<B: Backend>(
    heads: &TapHeads<Autodiff<B>>,
    taps: Vec<Tensor<B, 3>>,
    text: TextFeatures<B>,
    maps: &StateMaps<Autodiff<B>>,
    mask: Tensor<B, 4>,
) -> AprilGanLosses<Autodiff<B>> {
    let patches = heads.forward(taps.into_iter().map(Tensor::from_inner).collect());
    let TextFeatures { normal, abnormal } = text;
    let (normal, abnormal) = (Tensor::from_inner(normal), Tensor::from_inner(abnormal));
    let maps = maps.probabilities(&patches, &TextFeatures { normal, abnormal });
    AprilGanLosses::of(maps, Tensor::from_inner(mask))
}
