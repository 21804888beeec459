//! What training minimises: the image's focal loss, and for each tap the focal loss of its map and the dice
//! losses of both states.

use burn::tensor::{Tensor, backend::Backend};
use moeclip::TrainingMaps;
use moeclip_losses::{dice, focal};

use crate::adaclip::{AdaClipFeatures, DiceUnit};

/// The loss of a batch, each term `[1]`.
#[derive(Debug, Clone)]
pub struct AdaClipLosses<B: Backend> {
    /// Focal loss of the image's probabilities.
    pub classification: Tensor<B, 1>,
    /// Focal losses of the maps, summed over taps.
    pub focal: Tensor<B, 1>,
    /// Dice losses of the maps and of their opposites, summed over taps.
    pub dice: Tensor<B, 1>,
    /// The sum.
    pub total: Tensor<B, 1>,
}

impl<B: Backend> AdaClipLosses<B> {
    /// # Shapes
    ///
    /// - maps: `[batch, taps, image_size, image_size]`
    /// - masks: `[batch, 1, image_size, image_size]`, 1 where anomalous
    /// - labels: `[batch]`, 1 where the image is anomalous
    pub fn of(
        features: &AdaClipFeatures<B>,
        maps: &TrainingMaps<B>,
        masks: Tensor<B, 4>,
        labels: Tensor<B, 1>,
        unit: DiceUnit,
    ) -> Self {
        let [batch, _] = features.image_probability.dims();
        let state = |index: usize| {
            let probability = features.image_probability.clone().narrow(1, index, 1);
            probability.reshape([batch, 1, 1, 1])
        };
        let classification = focal(state(0), state(1), labels.reshape([batch, 1, 1, 1]));
        let TrainingMaps { normal, abnormal } = maps.clone();
        let focal = focal(normal.clone(), abnormal.clone(), masks.clone());
        let opposite = masks.clone().neg().add_scalar(1.0);
        let dice = dice_of(abnormal, masks, unit) + dice_of(normal, opposite, unit);
        let total = classification.clone() + focal.clone() + dice.clone();
        Self { classification, focal, dice, total }
    }
}

fn dice_of<B: Backend>(maps: Tensor<B, 4>, masks: Tensor<B, 4>, unit: DiceUnit) -> Tensor<B, 1> {
    match unit {
        DiceUnit::Image => dice(maps, masks),
        DiceUnit::Row => dice(rows(maps), rows(masks)),
    }
}

/// Each row of pixels as an image of its own.
///
/// # Shapes
///
/// - maps: `[batch, maps, height, width]`
/// - output: `[batch * height, maps, 1, width]`
fn rows<B: Backend>(maps: Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, count, height, width] = maps.dims();
    maps.swap_dims(1, 2).reshape([batch * height, count, 1, width])
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn a_row_without_defect_costs_by_itself() {
        let device = Default::default();
        let maps = Tensor::<Flex, 4>::from_floats([[[[1.0, 1.0], [0.5, 0.5]]]], &device);
        let masks = Tensor::<Flex, 4>::from_floats([[[[1.0, 1.0], [0.0, 0.0]]]], &device);
        let image: f32 = dice_of(maps.clone(), masks.clone(), DiceUnit::Image).into_scalar();
        let row: f32 = dice_of(maps, masks, DiceUnit::Row).into_scalar();
        assert!((image - (1.0 - 5.0 / 6.0)).abs() < 1e-6, "{image}");
        assert!((row - (0.0 + 0.5) / 2.0).abs() < 1e-6, "{row}");
    }
}
