//! From logits to anomaly maps and scores. Text comes in pairs, the normal and the abnormal state of one
//! prompt and sample; all that a pair says is the sigmoid of its difference of logits.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::ClipSpec;
use grid_resample::{AxisMatrix, Border, GridResampler};

use super::BayesPflConfig;
use super::model::Alignment;

/// How many deviations of the blur its window reaches.
const BLUR_REACH: f64 = 4.0;

/// Keeps a stretch finite where all images have one value.
const STRETCH_EPSILON: f32 = 1e-8;

/// Brings logits of patches to maps of the image's size.
#[derive(Module, Debug)]
pub struct PairMaps<B: Backend> {
    upsample: GridResampler<B>,
    blur: GridResampler<B>,
    grid: usize,
}

/// What all pairs say of a batch.
#[derive(Debug, Clone)]
pub struct PairMapsOutput<B: Backend> {
    /// The mean of all pairs for each tap: `[batch, 1, image_size, image_size]`, in `[0, 1]`.
    pub tap_maps: Vec<Tensor<B, 4>>,
    /// The mean of all taps, of which the score is taken: `[batch, 1, image_size, image_size]`.
    pub map: Tensor<B, 4>,
    /// The same behind the blur: the anomaly map.
    pub blurred: Tensor<B, 4>,
    /// The text branch's probability that the image is abnormal, `[batch]`.
    pub probability: Tensor<B, 1>,
}

impl<B: Backend> PairMaps<B> {
    /// Bilinear with aligned corners; the blur is one of the full-size map.
    pub fn new(config: &BayesPflConfig, clip: &ClipSpec, device: &B::Device) -> Self {
        let (grid, size, sigma) = (config.grid(clip), config.image_size, config.blur_sigma);
        let window = 2 * (BLUR_REACH * sigma).round() as usize + 1;
        let upsample = AxisMatrix::bilinear_aligned(grid, size);
        let blur = AxisMatrix::gaussian_blur(size, window, sigma, Border::Symmetric);
        Self {
            upsample: GridResampler::new(&upsample, device),
            blur: GridResampler::new(&blur, device),
            grid,
        }
    }

    /// How much more abnormal than normal each pair finds each patch.
    ///
    /// # Shapes
    ///
    /// - logits: `[batch, patches, 2 * pairs]`
    /// - output: `[batch, pairs, grid, grid]`
    pub fn differences(&self, logits: Tensor<B, 3>) -> Tensor<B, 4> {
        let [batch, _, texts] = logits.dims();
        let logits = logits.swap_dims(1, 2).reshape([batch, texts, self.grid, self.grid]);
        let pairs = texts / 2;
        logits.clone().narrow(1, pairs, pairs) - logits.narrow(1, 0, pairs)
    }

    /// The difference of one pair at the image's size.
    ///
    /// # Shapes
    ///
    /// - logits: `[batch, patches, 2 * pairs]`
    /// - output: `[batch, 1, image_size, image_size]`
    pub fn pair_difference(&self, logits: Tensor<B, 3>, pair: usize) -> Tensor<B, 4> {
        self.upsample.maps(self.differences(logits).narrow(1, pair, 1))
    }

    /// All maps of a batch and its probabilities.
    pub fn forward(&self, alignment: &Alignment<B>) -> PairMapsOutput<B> {
        let taps = alignment.taps.iter();
        let tap_maps: Vec<Tensor<B, 4>> =
            taps.map(|tap| self.tap_map(tap.logits.clone())).collect();
        let map = Tensor::cat(tap_maps.clone(), 1).mean_dim(1);
        let blurred = self.blur.maps(map.clone());
        let probability = image_probability(alignment.image_logits.clone());
        PairMapsOutput { tap_maps, map, blurred, probability }
    }

    /// The map of one tap: the mean of all pairs' probabilities, each made at the image's size, where they
    /// are held one at a time.
    fn tap_map(&self, logits: Tensor<B, 3>) -> Tensor<B, 4> {
        let differences = self.differences(logits);
        let [_, pairs, _, _] = differences.dims();
        let pair = |pair| sigmoid(self.upsample.maps(differences.clone().narrow(1, pair, 1)));
        let sum = (1..pairs).fold(pair(0), |sum, next| sum + pair(next));
        sum.div_scalar(pairs as f64)
    }
}

/// How much more abnormal than normal each pair finds each image.
///
/// # Shapes
///
/// - logits: `[batch, 2 * pairs]`
/// - output: `[batch, pairs]`
pub(super) fn image_differences<B: Backend>(logits: Tensor<B, 2>) -> Tensor<B, 2> {
    let pairs = logits.dims()[1] / 2;
    logits.clone().narrow(1, pairs, pairs) - logits.narrow(1, 0, pairs)
}

/// The text branch's probability that each image is abnormal: the mean over all pairs.
///
/// # Shapes
///
/// - logits: `[batch, 2 * pairs]`
/// - output: `[batch]`
pub fn image_probability<B: Backend>(logits: Tensor<B, 2>) -> Tensor<B, 1> {
    sigmoid(image_differences(logits)).mean_dim(1).squeeze_dim(1)
}

/// The mean of a map's `count` highest values.
pub fn top_mean(map: &[f32], count: usize) -> f32 {
    let count = count.clamp(1, map.len().max(1));
    let mut values = map.to_vec();
    if count < values.len() {
        values.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        values.truncate(count);
    }
    (values.iter().map(|&value| f64::from(value)).sum::<f64>() / count as f64) as f32
}

/// The release's scores of all test images of one class: both branches stretched to `[0, 1]` by the class's
/// own extremes, then mixed. They depend on all images at once, so no detector of single images can make
/// them.
pub fn stretched_scores(mix: f64, probabilities: &[f32], tops: &[f32]) -> Vec<f32> {
    let (probabilities, tops) = (stretched(probabilities), stretched(tops));
    probabilities.iter().zip(&tops).map(|(&text, &map)| mixed(mix, text, map)).collect()
}

/// The image score of both branches.
pub fn mixed(mix: f64, text: f32, map: f32) -> f32 {
    (mix * f64::from(text) + (1.0 - mix) * f64::from(map)) as f32
}

fn stretched(values: &[f32]) -> Vec<f32> {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().map(|value| (value - least) / (most - least + STRETCH_EPSILON)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_values_are_averaged_however_they_lie() {
        assert_eq!(top_mean(&[0.125, 0.875, 0.25, 0.75], 2), 0.8125);
        assert_eq!(top_mean(&[0.5, 1.0], 9), 0.75);
    }

    #[test]
    fn scores_are_stretched_by_the_class_before_they_are_mixed() {
        let scores = stretched_scores(0.25, &[0.2, 0.4, 0.3], &[0.6, 0.5, 0.7]);
        for (score, expected) in scores.iter().zip([0.375, 0.25, 0.875]) {
            assert!((score - expected).abs() < 1e-5, "{scores:?}");
        }
        assert_eq!(stretched_scores(0.5, &[0.3], &[0.4]), [0.0]);
    }
}
