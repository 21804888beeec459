//! From features to what a detector answers.

use anomaly::{Domain, ScoreRule};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use grid_resample::{AxisMatrix, GridResampler};
use moeclip::TextFeatures;

use super::AaClipSettings;
use crate::state_maps::StateMaps;

/// Anomaly maps as MoECLIP makes them, which took them from here.
#[derive(Module, Debug)]
pub struct AaClipMaps<B: Backend> {
    states: StateMaps<B>,
    /// The blur on the grid and the upsampling behind it as one matrix.
    blurred: GridResampler<B>,
}

impl<B: Backend> AaClipMaps<B> {
    /// From `grid` patches a side to the settings' image size. The domain decides the blur.
    pub fn new(settings: &AaClipSettings, domain: Domain, grid: usize, device: &B::Device) -> Self {
        let &AaClipSettings { image_size, scale, .. } = settings;
        let (window, sigma) = (domain.blur_window(), domain.blur_sigma());
        let blurred = AxisMatrix::blurred_bilinear(grid, image_size, window, sigma);
        Self {
            states: StateMaps::new(grid, image_size, scale, device),
            blurred: GridResampler::new(&blurred, device),
        }
    }

    /// `(abnormal + 1 - normal) / 2` of the scaled cosines of each tap, not blurred yet.
    ///
    /// # Shapes
    ///
    /// - patches: `[batch, patches, embed]` of each tap, unit
    /// - text: one row for all
    /// - output: `[batch, taps, grid, grid]`
    pub fn grid_maps(&self, patches: &[Tensor<B, 3>], text: &TextFeatures<B>) -> Tensor<B, 4> {
        let difference = |patches| self.states.grid_logits(patches, text.difference());
        let differences = Tensor::cat(patches.iter().map(difference).collect(), 1);
        differences.add_scalar(1.0).div_scalar(2.0)
    }

    /// The sum of the taps' maps, blurred and brought to the image's size. Both are linear, so the taps are
    /// summed first.
    ///
    /// # Shapes
    ///
    /// - grid_maps: `[batch, taps, grid, grid]`
    /// - output: `[batch, image_size, image_size]`
    pub fn anomaly_map(&self, grid_maps: Tensor<B, 4>) -> Tensor<B, 3> {
        self.blurred.maps(grid_maps.sum_dim(1)).squeeze_dim(1)
    }
}

/// Image scores as the release makes them of all test images of a class: maps, and image scores, are placed
/// between their lowest and highest value over all these images before they are combined.
pub fn transductive_scores(map_values: &[f32], image_scores: &[f32], domain: Domain) -> Vec<f32> {
    let maps = placed(map_values);
    let images = placed(image_scores);
    let pixels = (maps.len() / images.len().max(1)).max(1);
    let maximum = |map: &[f32]| map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let maxima = maps.chunks(pixels).map(maximum);
    let score = |(top, image)| ScoreRule::of(domain).score(top, image);
    maxima.zip(images).map(score).collect()
}

/// Values between their lowest and highest; as they are where the highest is exactly 1.
fn placed(values: &[f32]) -> Vec<f32> {
    let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if highest == 1.0 {
        return values.to_vec();
    }
    values.iter().map(|value| (value - lowest) / (highest - lowest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_image_scores_are_placed_within_their_class() {
        let (maps, images) = ([0.0, 2.0, 4.0, 8.0], [0.5, 0.75]);
        let industrial = transductive_scores(&maps, &images, Domain::Industrial);
        assert_eq!(industrial, [0.125, 1.0]);
        assert_eq!(transductive_scores(&maps, &images, Domain::Medical), [0.25, 1.0]);
    }

    #[test]
    fn what_ends_at_one_stays() {
        assert_eq!(placed(&[0.5, 1.0]), [0.5, 1.0]);
    }
}
