//! Maps of a batch from unit patch features and from what is remembered of references, and the release's
//! image score.

use burn::tensor::{Tensor, backend::Backend};
use moeclip::TextFeatures;

use super::LayerTokens;
use crate::memory::MemoryBank;
use crate::state_maps::StateMaps;

/// Maps of a batch, level by level.
#[derive(Debug, Clone)]
pub struct AprilGanMaps<B: Backend> {
    /// Probability of the abnormal state, `[batch, taps, image_size, image_size]`.
    pub probabilities: Tensor<B, 4>,
    /// The probabilities of all taps added, `[batch, image_size, image_size]`.
    pub zero_shot: Tensor<B, 3>,
    /// The same and the resized distances of all memory taps, `[batch, image_size, image_size]`.
    pub whole: Tensor<B, 3>,
}

impl<B: Backend> AprilGanMaps<B> {
    /// Maps from unit patch features of each tap, and from distances to references where there are any.
    ///
    /// # Shapes
    ///
    /// - patches: each `[batch, patches, embed]`, as [`super::TapHeads`] gives them
    /// - distances: each `[batch, 1, grid, grid]`, as `remembered_distances` gives them
    pub fn of(
        maps: &StateMaps<B>,
        patches: &[Tensor<B, 3>],
        text: &TextFeatures<B>,
        distances: &[Tensor<B, 4>],
    ) -> Self {
        let probabilities = maps.probabilities(patches, text).abnormal;
        let zero_shot = probabilities.clone().sum_dim(1).squeeze_dim::<3>(1);
        let mut whole = zero_shot.clone();
        if !distances.is_empty() {
            // The resize is linear: the levels are added on the grid.
            let sum = Tensor::cat(distances.to_vec(), 1).sum_dim(1);
            whole = whole + maps.upsample(sum).squeeze_dim::<3>(1);
        }
        Self { probabilities, zero_shot, whole }
    }
}

/// What is remembered of references, one bank for each memory tap.
pub(super) fn memory_banks<B: Backend>(
    references: &LayerTokens<B>,
    memory_taps: &[usize],
) -> Vec<MemoryBank<B>> {
    references.patches(memory_taps).into_iter().map(MemoryBank::new).collect()
}

/// `1 - cosine` of each patch to the nearest remembered one, for each memory tap.
///
/// # Shapes
///
/// - output: each `[batch, 1, grid, grid]`
pub(super) fn remembered_distances<B: Backend>(
    seen: &LayerTokens<B>,
    memory_taps: &[usize],
    banks: &[MemoryBank<B>],
    maps: &StateMaps<B>,
) -> Vec<Tensor<B, 4>> {
    let distance = |(bank, patches): (&MemoryBank<B>, Tensor<B, 3>)| {
        maps.on_grid(bank.best_cosine(patches).neg().add_scalar(1.0))
    };
    banks.iter().zip(seen.patches(memory_taps)).map(distance).collect()
}

/// Image scores as the release makes them of all test images of a class with references: the mean of each
/// image's text probability and of its map's maximum, placed between the lowest and the highest maximum.
pub fn scores_within_class(probabilities: &[f32], maxima: &[f32]) -> Vec<f32> {
    let lowest = maxima.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = maxima.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let placed = |maximum: f32| (maximum - lowest) / (highest - lowest);
    let pairs = probabilities.iter().zip(maxima);
    pairs.map(|(probability, &maximum)| (probability + placed(maximum)) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxima_are_placed_within_their_class() {
        let scores = scores_within_class(&[0.5, 0.0, 1.0], &[2.0, 3.0, 4.0]);
        assert_eq!(scores, [0.25, 0.25, 1.0]);
    }
}
