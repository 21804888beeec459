//! What the heads are trained by.

use burn::tensor::{Tensor, backend::Backend};
use moeclip::TrainingMaps;
use moeclip_losses::{dice, focal};

/// The terms, each summed over the taps; `[1]` each.
#[derive(Debug, Clone)]
pub struct AprilGanLosses<B: Backend> {
    /// On both states.
    pub focal: Tensor<B, 1>,
    /// On the abnormal state alone.
    pub dice: Tensor<B, 1>,
    /// Their sum.
    pub total: Tensor<B, 1>,
}

impl<B: Backend> AprilGanLosses<B> {
    /// Losses of maps, one for each tap, against masks.
    ///
    /// # Shapes
    ///
    /// - maps: `[batch, taps, image_size, image_size]`
    /// - mask: `[batch, 1, image_size, image_size]`, 1 where anomalous
    pub fn of(maps: TrainingMaps<B>, mask: Tensor<B, 4>) -> Self {
        let TrainingMaps { normal, abnormal } = maps;
        let dice = dice(abnormal.clone(), mask.clone());
        let focal = focal(normal, abnormal, mask);
        let total = focal.clone() + dice.clone();
        Self { focal, dice, total }
    }
}
