//! The losses of both stages.

use burn::tensor::{Tensor, backend::Backend};
use moeclip::{TextFeatures, TrainingMaps};
use moeclip_losses::{dice, focal, image_cross_entropy};
use paa_adapter::unit;

use super::{AaClipFeatures, AaClipSettings, TapCombination, TextClassLoss, TextLossTaps};
use crate::state_maps::StateMaps;

/// Images, what they are of, and where they are anomalous.
#[derive(Debug, Clone)]
pub struct AaClipBatch<B: Backend> {
    /// The directions of each image's class, one row per image.
    pub text: TextFeatures<B>,
    /// `[batch, 1, image_size, image_size]`, 1 where anomalous.
    pub masks: Tensor<B, 4>,
    /// `[batch]`, 1 where the image is anomalous.
    pub labels: Tensor<B, 1>,
}

/// The terms of a stage's loss, `[1]` each.
#[derive(Debug, Clone)]
pub struct AaClipLosses<B: Backend> {
    /// Focal loss, summed over maps.
    pub focal: Tensor<B, 1>,
    /// Dice losses of both states, summed over maps.
    pub dice: Tensor<B, 1>,
    /// Cross-entropy of whole images, where the stage has it.
    pub class: Option<Tensor<B, 1>>,
    /// The squared mean cosine between the two states of the text, in the first stage.
    pub orthogonal: Option<Tensor<B, 1>>,
    /// What is minimised.
    pub total: Tensor<B, 1>,
}

impl<B: Backend> AaClipLosses<B> {
    /// The first stage: the text learns before features of the frozen image tower.
    pub fn of_text(
        settings: &AaClipSettings,
        maps: &StateMaps<B>,
        seen: &AaClipFeatures<B>,
        batch: &AaClipBatch<B>,
    ) -> Self {
        let taps = match settings.text_loss_taps {
            TextLossTaps::All => &seen.patches[..],
            TextLossTaps::Last => &seen.patches[seen.patches.len() - 1..],
        };
        let MapLosses { focal, dice } = MapLosses::of(settings, maps, taps, batch);
        let TextFeatures { normal, abnormal } = batch.text.clone();
        let orthogonal = (normal * abnormal).sum_dim(1).mean().square();
        let class = match settings.text_class_loss {
            TextClassLoss::None => None,
            TextClassLoss::CrossEntropy => Some(class_loss(seen.image.clone(), batch)),
        };
        let maps = focal.clone() + dice.clone();
        let seen = class.clone().map_or(maps.clone(), |class| maps + class);
        let total = seen + orthogonal.clone().mul_scalar(settings.orthogonal_weight);
        Self { focal, dice, class, orthogonal: Some(orthogonal), total }
    }

    /// The second stage: the adapted image tower learns to meet the text.
    pub fn of_image(
        settings: &AaClipSettings,
        maps: &StateMaps<B>,
        seen: &AaClipFeatures<B>,
        batch: &AaClipBatch<B>,
    ) -> Self {
        let MapLosses { focal, dice } = MapLosses::of(settings, maps, &seen.patches, batch);
        let class = class_loss(seen.image.clone(), batch);
        let total = class.clone() + focal.clone() + dice.clone();
        Self { focal, dice, class: Some(class), orthogonal: None, total }
    }
}

/// The losses of maps, summed over them.
struct MapLosses<B: Backend> {
    focal: Tensor<B, 1>,
    dice: Tensor<B, 1>,
}

impl<B: Backend> MapLosses<B> {
    fn of(
        settings: &AaClipSettings,
        maps: &StateMaps<B>,
        taps: &[Tensor<B, 3>],
        batch: &AaClipBatch<B>,
    ) -> Self {
        let TrainingMaps { normal, abnormal } = match settings.tap_combination {
            TapCombination::Separate => maps.probabilities(taps, &batch.text),
            TapCombination::Summed => {
                let sum = Tensor::stack::<4>(taps.to_vec(), 0).sum_dim(0).squeeze_dim::<3>(0);
                maps.probabilities(&[unit(sum)], &batch.text)
            }
        };
        let masks = batch.masks.clone();
        let normal_masks = masks.clone().neg().add_scalar(1.0);
        Self {
            focal: focal(normal.clone(), abnormal.clone(), masks.clone()),
            dice: dice(normal, normal_masks) + dice(abnormal, masks),
        }
    }
}

/// Cross-entropy of the image's cosines to both states, without a temperature.
fn class_loss<B: Backend>(image: Tensor<B, 2>, batch: &AaClipBatch<B>) -> Tensor<B, 1> {
    let difference = (image * batch.text.difference()).sum_dim(1).squeeze_dim::<1>(1);
    image_cross_entropy(difference, batch.labels.clone())
}
