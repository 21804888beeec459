//! The sizes of a MoECLIP on a given CLIP, and the one line that refuses impossible ones.

mod combination;
mod error;

use clip_vit::{ClipSpec, VisionSpec};
use moe_lora::{Fofs, Mixture, MoeLoraConfig, UpStart};
use paa_adapter::{ImageHeadKind, ScaleWeighting, check_scales};
use serde::{Deserialize, Serialize};

pub use error::ConfigError;

/// How the channels are divided into the experts' slices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partition {
    /// The paper's: equal slices, or those of [`MoeClipConfig::partition_sizes`].
    #[default]
    Equal,
    /// Slices that carry equal shares of the energy of the frozen tower's tokens at each tap.
    Energy,
}

/// Everything that MoECLIP adds to a CLIP; the paper's values are the default. Settings younger than
/// the first adapter files may be absent in a file, which then has the paper's.
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
    /// What changes the tokens of the stream.
    #[serde(default)]
    pub mixture: Mixture,
    /// How the experts' down matrices start, and whether they learn.
    #[serde(default)]
    pub fofs: Fofs,
    /// How the channels are divided into the experts' slices.
    #[serde(default)]
    pub partition: Partition,
    /// Channels of each expert's slice, the same at every tap.
    #[serde(default)]
    pub partition_sizes: Option<Vec<usize>>,
    /// Channels of each expert's slice at each tap, once their energy is measured
    /// ([`crate::ChannelEnergy`]).
    #[serde(default)]
    pub slices: Option<Vec<Vec<usize>>>,
    /// How the experts' up matrices start.
    #[serde(default)]
    pub up: UpStart,
    /// Length of the columns of an up matrix that does not start at zero.
    #[serde(default = "up_scale")]
    pub up_scale: f64,
    /// What makes one vector of a whole image.
    #[serde(default)]
    pub image_head: ImageHeadKind,
    /// How the scales of a tap are weighted.
    #[serde(default)]
    pub scale_weights: ScaleWeighting,
    /// The experts left at each tap, by their number at the start, where training dropped some.
    #[serde(default)]
    pub kept_experts: Option<Vec<Vec<usize>>>,
}

/// The default of [`MoeClipConfig::up_scale`].
fn up_scale() -> f64 {
    0.01
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
            mixture: Mixture::MoeLora,
            fofs: Fofs::On,
            partition: Partition::Equal,
            partition_sizes: None,
            slices: None,
            up: UpStart::Zero,
            up_scale: up_scale(),
            image_head: ImageHeadKind::Depthwise,
            scale_weights: ScaleWeighting::Equal,
            kept_experts: None,
        }
    }
}

impl MoeClipConfig {
    /// The paper's values on any CLIP: taps after each quarter of its layers.
    pub fn for_clip(clip: &ClipSpec) -> Self {
        let layers = clip.vision.layers;
        let mut taps: Vec<usize> = (1..=4).map(|quarter| (layers * quarter / 4).max(1)).collect();
        taps.dedup();
        Self { taps, ..Self::default() }
    }

    /// The mixture behind a tap, counted from 0, for tokens of this width. Where experts were dropped,
    /// those left keep the slices they had, which their matrices show and nothing here needs.
    pub fn mixture_at(&self, tap: usize, width: usize) -> MoeLoraConfig {
        let kept = self.kept_experts.as_ref().and_then(|taps| taps.get(tap));
        let measured = self.slices.as_ref().and_then(|taps| taps.get(tap));
        MoeLoraConfig {
            width,
            experts: kept.map_or(self.experts, Vec::len),
            top_k: self.top_k,
            rank: self.rank,
            alpha: self.alpha,
            lambda: self.lambda,
            fofs: self.fofs,
            slices: measured.or(self.partition_sizes.as_ref()).filter(|_| kept.is_none()).cloned(),
            up: self.up,
            up_scale: self.up_scale,
        }
    }

    /// The configuration once only some experts are left: per tap, numbers among those that are there
    /// now. Experts keep the numbers that they started with.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the lists are not one for each tap, or name an expert that is not there,
    /// twice or out of order, or leave fewer than 2.
    pub fn keeping(&self, kept: &[Vec<usize>]) -> Result<Self, ConfigError> {
        combination::per_tap("kept_experts", kept.len(), self)?;
        let now = match &self.kept_experts {
            Some(now) => now.clone(),
            None => vec![(0..self.experts).collect(); self.taps.len()],
        };
        let mut left = Vec::with_capacity(kept.len());
        for (kept, now) in kept.iter().zip(&now) {
            let number = |index: &usize| now.get(*index).copied();
            let refused = || ConfigError::Kept { kept: kept.clone(), experts: now.len() };
            left.push(kept.iter().map(number).collect::<Option<Vec<_>>>().ok_or_else(refused)?);
        }
        let config = Self { kept_experts: Some(left), ..self.clone() };
        combination::check(&config)?;
        Ok(config)
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
        combination::check(self)?;
        let mut mixtures = (0..self.taps.len()).map(|tap| self.mixture_at(tap, vision.width));
        match self.mixture {
            Mixture::MoeLora => mixtures.try_for_each(|mixture| mixture.check())?,
            Mixture::SingleLora => mixtures.try_for_each(|mixture| mixture.single().check())?,
            Mixture::None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
