//! What a description says of the model.

use clip_vit::ClipSpec;
use moeclip::{Fofs, ImageHeadKind, Mixture, MoeClipConfig, Partition, ScaleWeighting, UpStart};
use serde::{Deserialize, Serialize};

/// [`MoeClipConfig`], but for taps that follow the CLIP where a file does not name them, and for what
/// comes out of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// Side of the square images in pixels.
    pub image_size: usize,
    /// Layers behind which a mixture stands; the quarters of the tower by default.
    pub taps: Option<Vec<usize>>,
    /// Sides of the averaging windows, in patches.
    pub scales: Vec<usize>,
    /// What changes the tokens of the stream.
    pub mixture: Mixture,
    /// Experts per mixture.
    pub experts: usize,
    /// Experts asked per token.
    pub top_k: usize,
    /// Rank of each expert.
    pub rank: usize,
    /// Expert outputs are scaled by `alpha / rank`.
    pub alpha: f64,
    /// Share of the mixture in the stream.
    pub lambda: f64,
    /// How the experts' down matrices start, and whether they learn.
    pub fofs: Fofs,
    /// How the channels are divided into the experts' slices.
    pub partition: Partition,
    /// Channels of each expert's slice; equal by default.
    pub partition_sizes: Option<Vec<usize>>,
    /// How the experts' up matrices start.
    pub up: UpStart,
    /// Length of the columns of an up matrix that does not start at zero.
    pub up_scale: f64,
    /// What makes one vector of a whole image.
    pub image_head: ImageHeadKind,
    /// How the scales of a tap are weighted.
    pub scale_weights: ScaleWeighting,
}

impl Default for ModelSettings {
    fn default() -> Self {
        let paper = MoeClipConfig::default();
        Self {
            image_size: paper.image_size,
            taps: None,
            scales: paper.scales,
            mixture: paper.mixture,
            experts: paper.experts,
            top_k: paper.top_k,
            rank: paper.rank,
            alpha: paper.alpha,
            lambda: paper.lambda,
            fofs: paper.fofs,
            partition: paper.partition,
            partition_sizes: paper.partition_sizes,
            up: paper.up,
            up_scale: paper.up_scale,
            image_head: paper.image_head,
            scale_weights: paper.scale_weights,
        }
    }
}

impl ModelSettings {
    /// The configuration of the model on a CLIP.
    pub(super) fn on(&self, clip: &ClipSpec) -> MoeClipConfig {
        let settings = self.clone();
        MoeClipConfig {
            image_size: settings.image_size,
            taps: settings.taps.unwrap_or_else(|| MoeClipConfig::for_clip(clip).taps),
            scales: settings.scales,
            mixture: settings.mixture,
            experts: settings.experts,
            top_k: settings.top_k,
            rank: settings.rank,
            alpha: settings.alpha,
            lambda: settings.lambda,
            fofs: settings.fofs,
            partition: settings.partition,
            partition_sizes: settings.partition_sizes,
            slices: None,
            up: settings.up,
            up_scale: settings.up_scale,
            image_head: settings.image_head,
            scale_weights: settings.scale_weights,
            kept_experts: None,
        }
    }
}
