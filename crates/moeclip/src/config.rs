//! The sizes of a MoECLIP on a given CLIP, and the one line that refuses impossible ones.

use clip_vit::{ClipSpec, VisionSpec};
use moe_lora::{MoeLoraConfig, MoeLoraError};
use paa_adapter::{ScaleError, check_scales};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Everything that MoECLIP adds to a CLIP; the paper's values are the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoeClipConfig {
    /// Side of the square images in pixels.
    pub image_size: usize,
    /// Layers (1-based, ascending) behind which a mixture stands.
    pub taps: Vec<usize>,
    /// Sides of the averaging windows, in patches.
    pub scales: Vec<usize>,
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
}

impl Default for MoeClipConfig {
    fn default() -> Self {
        Self {
            image_size: 518,
            taps: vec![6, 12, 18, 24],
            scales: vec![1, 3, 5],
            experts: 4,
            top_k: 2,
            rank: 8,
            alpha: 16.0,
            lambda: 0.1,
        }
    }
}

/// A configuration that does not fit its CLIP.
#[derive(Debug, Error, PartialEq)]
pub enum ConfigError {
    /// Images without room for a patch.
    #[error("image_size = {image_size} is smaller than a patch of {patch} px; enlarge image_size")]
    ImageSize {
        /// Side of the images.
        image_size: usize,
        /// Side of a patch.
        patch: usize,
    },
    /// Layers that are not there, repeated, or out of order.
    #[error("taps = {taps:?} must be ascending layers between 1 and {layers}, at least one")]
    Taps {
        /// The taps asked for.
        taps: Vec<usize>,
        /// Layers of the image tower.
        layers: usize,
    },
    /// Windows that cannot be averaged over.
    #[error(transparent)]
    Scales(#[from] ScaleError),
    /// A mixture that cannot be built.
    #[error(transparent)]
    Mixture(#[from] MoeLoraError),
    /// Losses between experts need two of them.
    #[error("experts = 1 leaves the ETF and balance losses without a pair; use at least 2 experts")]
    OneExpert,
}

impl MoeClipConfig {
    /// The paper's values on any CLIP: taps after each quarter of its layers.
    pub fn for_clip(clip: &ClipSpec) -> Self {
        let layers = clip.vision.layers;
        let mut taps: Vec<usize> = (1..=4).map(|quarter| (layers * quarter / 4).max(1)).collect();
        taps.dedup();
        Self { taps, ..Self::default() }
    }

    /// The mixture behind each tap, for tokens of this width.
    pub fn mixture(&self, width: usize) -> MoeLoraConfig {
        MoeLoraConfig {
            width,
            experts: self.experts,
            top_k: self.top_k,
            rank: self.rank,
            alpha: self.alpha,
            lambda: self.lambda,
        }
    }

    /// Patches along one side of an image.
    pub fn grid(&self, vision: &VisionSpec) -> usize {
        self.image_size / vision.patch
    }

    /// Checks that the configuration fits the image tower.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] found.
    pub fn check(&self, vision: &VisionSpec) -> Result<(), ConfigError> {
        if self.grid(vision) == 0 {
            return Err(ConfigError::ImageSize {
                image_size: self.image_size,
                patch: vision.patch,
            });
        }
        let ascending = self.taps.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = self.taps.iter().all(|tap| (1..=vision.layers).contains(tap));
        if self.taps.is_empty() || !ascending || !inside {
            return Err(ConfigError::Taps { taps: self.taps.clone(), layers: vision.layers });
        }
        check_scales(&self.scales)?;
        self.mixture(vision.width).check()?;
        if self.experts == 1 {
            return Err(ConfigError::OneExpert);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clip_vit::Preset;

    use super::*;

    fn refused(change: impl FnOnce(&mut MoeClipConfig)) -> ConfigError {
        let mut config = MoeClipConfig::default();
        change(&mut config);
        config.check(&Preset::VitL14At336.spec().vision).unwrap_err()
    }

    #[test]
    fn the_papers_values_fit_the_papers_backbone() {
        let spec = Preset::VitL14At336.spec();
        let config = MoeClipConfig::for_clip(&spec);
        assert_eq!(config, MoeClipConfig::default());
        assert_eq!(config.check(&spec.vision), Ok(()));
        assert_eq!(config.grid(&spec.vision), 37);
    }

    #[test]
    fn images_must_hold_a_patch() {
        assert!(matches!(refused(|c| c.image_size = 13), ConfigError::ImageSize { .. }));
    }

    #[test]
    fn taps_must_be_layers_in_order() {
        for taps in [vec![], vec![0], vec![25], vec![6, 6], vec![12, 6]] {
            assert!(matches!(refused(|c| c.taps = taps), ConfigError::Taps { .. }));
        }
    }

    #[test]
    fn scales_must_be_odd() {
        assert!(matches!(refused(|c| c.scales = vec![2]), ConfigError::Scales(_)));
    }

    #[test]
    fn the_mixture_must_be_buildable() {
        assert!(matches!(refused(|c| c.top_k = 9), ConfigError::Mixture(_)));
    }

    #[test]
    fn one_expert_is_refused() {
        let error = refused(|c| (c.experts, c.top_k) = (1, 1));
        assert_eq!(error, ConfigError::OneExpert);
    }
}
