//! What a mixture of experts did with an image, as values that can be drawn and stored.

use serde::Serialize;

use crate::Detection;

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
