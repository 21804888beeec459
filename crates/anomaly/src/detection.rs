//! What a detector says of an image: where it is anomalous, and how much; and what a mixture of
//! experts did with it, as values that can be drawn and stored.

use grid_resample::{AxisMatrix, HostResampler};
use serde::Serialize;

use crate::ScoreRule;

/// What a detector says of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Where it is anomalous.
    pub map: AnomalyMap,
    /// What the detector says of the image as a whole besides its map, such as MoECLIP's image head, in
    /// `[0, 1]`.
    pub image_score: f32,
    /// How anomalous the image is, by the detector's [`ScoreRule`].
    pub score: f32,
}

impl Detection {
    /// A detection whose score is made by `rule`.
    pub fn new(map: AnomalyMap, image_score: f32, rule: ScoreRule) -> Self {
        let score = rule.score(map.maximum(), image_score);
        Self { map, image_score, score }
    }
}

/// A square anomaly map on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyMap {
    /// Pixels a side.
    pub size: usize,
    /// Row by row; higher is more anomalous.
    pub values: Vec<f32>,
}

/// An anomaly map on the host, of any size.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageMap {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Row by row; higher is more anomalous.
    pub values: Vec<f32>,
}

impl AnomalyMap {
    /// The highest value.
    pub fn maximum(&self) -> f32 {
        maximum(&self.values)
    }

    /// The map at another size: bilinear with aligned corners, as maps come from the patch grid, and
    /// without a blur of its own. At the map's own size nothing changes, to the bit.
    pub fn resampled(&self, width: usize, height: usize) -> ImageMap {
        let values = resampler(self.size, width, height).grid(&self.values);
        ImageMap { width, height, values }
    }
}

impl From<AnomalyMap> for ImageMap {
    fn from(map: AnomalyMap) -> Self {
        Self { width: map.size, height: map.size, values: map.values }
    }
}

impl ImageMap {
    /// The highest value.
    pub fn maximum(&self) -> f32 {
        maximum(&self.values)
    }
}

/// From a square map of `size` to `width` by `height`.
pub(crate) fn resampler(size: usize, width: usize, height: usize) -> HostResampler {
    let axis = |outputs| AxisMatrix::bilinear_aligned(size, outputs);
    HostResampler::new(&axis(height), &axis(width))
}

fn maximum(values: &[f32]) -> f32 {
    values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// What the experts did with one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Patches along one side.
    pub grid: usize,
    /// What the detector says of the image.
    #[serde(skip)]
    pub detection: Detection,
    /// What the experts did behind each tapped layer.
    pub taps: Vec<TapExplanation>,
}

/// What the experts behind one layer did with the patches of an image. Tokens that stand for no patch are
/// left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TapExplanation {
    /// The layer, counted from 1.
    pub layer: usize,
    /// For each patch, row by row, the place in `experts` of the one that it trusts most (the paper's
    /// patch-selection map).
    pub first_choices: Vec<usize>,
    /// What each expert did.
    pub experts: Vec<ExpertExplanation>,
    /// Mean cosine over the patches between the outputs of any two experts, `[experts][experts]`; 0
    /// where an output is zero.
    pub similarity: Vec<Vec<f32>>,
    /// Its mean over pairs of different experts: 1 when all say the same, `-1 / (experts - 1)` when they
    /// stand as far apart as they can.
    pub mean_similarity: f32,
}

/// What one expert did with the patches of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpertExplanation {
    /// The number that it started with, counted from 1, as logs have it.
    pub number: usize,
    /// Patches that trust it most.
    pub first_choices: usize,
    /// Patches that asked it at all.
    pub choices: usize,
    /// Its mean routing weight, 0 where it was not asked; the weights of a patch sum to 1.
    pub mean_weight: f32,
    /// Its mean routing probability before the choice.
    pub mean_probability: f32,
    /// Grad-CAM, row by row on the patch grid: the expert's contribution at each patch, weighed by the
    /// mean gradient of the score (the sum of the anomaly map on the patch grid, before its blur), and
    /// zero where that is negative.
    pub grad_cam: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_keeps_its_corners_and_its_bits() {
        let map = AnomalyMap { size: 3, values: vec![0.0, 1.0, 2.0, 3.0, 4.5, 5.0, 6.0, 7.0, 9.0] };
        let large = map.resampled(5, 7);
        assert_eq!((large.width, large.height, large.values.len()), (5, 7, 35));
        let corners = [0, 4, 30, 34].map(|at| large.values[at]);
        assert_eq!(corners, [0.0, 2.0, 6.0, 9.0]);
        assert_eq!(large.values[17], 4.5, "the middle");
        assert_eq!(map.resampled(3, 3), ImageMap::from(map.clone()));
        assert_eq!(map.resampled(1, 1).values, [0.0]);
        assert!(map.resampled(0, 4).values.is_empty());
    }
}
