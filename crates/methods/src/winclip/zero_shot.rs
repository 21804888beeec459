//! How abnormal an image and each of its windows are by what sentences say, and the map that this makes.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use moeclip::TextFeatures;
use paa_adapter::unit;

use super::windows::harmonic_mean;
use super::{AveragedState, MapLevels, PatchWindows, WinClipFeatures, WinClipSettings, WindowMean};

/// What sentences say of a batch.
#[derive(Debug, Clone)]
pub struct ZeroShot<B: Backend> {
    /// Probability of the abnormal state for whole images, `[batch]`.
    pub image_score: Tensor<B, 1>,
    /// Probability of the averaged state for the windows of each scale, `[batch, windows]`.
    pub window_scores: Vec<Tensor<B, 2>>,
    /// The same for the patches, for each scale: `[batch, patches]`.
    pub scales: Vec<Tensor<B, 2>>,
    /// `[batch, patches]`, high where abnormal.
    pub map: Tensor<B, 2>,
}

impl<B: Backend> ZeroShot<B> {
    /// Probabilities and the map of images and their windows; `windows` are those of each scale.
    pub fn of(
        features: &WinClipFeatures<B>,
        text: &TextFeatures<B>,
        windows: &[PatchWindows<B>],
        settings: &WinClipSettings,
    ) -> Self {
        let image = logits(features.image.clone().unsqueeze_dim(1), text, settings.temperature);
        let averaged = |logits: Tensor<B, 2>| match settings.averaged {
            AveragedState::Abnormal => sigmoid(logits),
            AveragedState::Normal => sigmoid(logits.neg()),
        };
        let score =
            |vectors: &Tensor<B, 3>| averaged(logits(vectors.clone(), text, settings.temperature));
        let window_scores: Vec<Tensor<B, 2>> = features.windows.iter().map(score).collect();
        let spread = |(windows, scores): (&PatchWindows<B>, &Tensor<B, 2>)| {
            windows.spread(scores.clone(), WindowMean::Harmonic)
        };
        let scales: Vec<Tensor<B, 2>> = windows.iter().zip(&window_scores).map(spread).collect();
        let mut levels = scales.clone();
        if let (MapLevels::ImageAndWindows, Some(first)) = (settings.map_levels, scales.first()) {
            levels.push(averaged(image.clone()).expand(first.dims()));
        }
        let mean = harmonic_mean(&levels);
        let map = match settings.averaged {
            AveragedState::Abnormal => mean,
            AveragedState::Normal => mean.neg().add_scalar(1.0),
        };
        let image_score = sigmoid(image).squeeze_dim(1);
        Self { image_score, window_scores, scales, map }
    }
}

/// By how much the abnormal state is more likely than the normal one, as a logit.
///
/// # Shapes
///
/// - vectors: `[batch, places, embed]`, not made unit
/// - text: one row
/// - output: `[batch, places]`
fn logits<B: Backend>(
    vectors: Tensor<B, 3>,
    text: &TextFeatures<B>,
    temperature: f64,
) -> Tensor<B, 2> {
    let direction = text.difference().unsqueeze_dim::<3>(2);
    unit(vectors).matmul(direction).squeeze_dim::<2>(2).div_scalar(temperature)
}
