//! A training run as one TOML file: what a run saves, what the files of `configs/` hold, and what
//! `--set` changes.
//!
//! A file names only what it changes; everything else has the paper's value. A key that nobody knows
//! is an error that names the nearest known one: a misspelt setting must not train for a week with
//! its default. `-` and `_` in keys mean the same.

pub mod overlay;

use std::path::Path;

use clip_vit::ClipSpec;
use moeclip::{
    Fofs, ImageHeadKind, Mixture, MoeClipConfig, Partition, PromptSet, ScaleWeighting, UpStart,
};
use moeclip_data::{Augmentation, PromptNames};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::TrainConfig;

/// Everything that decides a training run besides the CLIP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The auxiliary set.
    pub data: AuxiliarySet,
    /// What is added to the CLIP.
    pub model: ModelSettings,
    /// How it is trained.
    pub training: TrainConfig,
    /// How the images are moved.
    pub augmentation: Augmentation,
    /// The phrases of normal and abnormal states.
    pub prompts: PromptSet,
}

/// Which images are trained on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuxiliarySet {
    /// A dataset's name or path; the command line decides where a file does not say.
    pub name: Option<String>,
    /// Whose words for classes stand in prompts.
    pub prompt_names: PromptNames,
}

/// What is wrong with a description of a run, in one line.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{origin}: {reason}")]
pub struct ExperimentError {
    /// The file, or `--set`.
    pub origin: String,
    /// Place, key and remedy.
    pub reason: String,
}

impl Experiment {
    /// Reads the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// [`ExperimentError`] naming the line or key: no TOML, an unknown key, a value of another kind
    /// or out of its range.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ExperimentError> {
        let origin = path.display().to_string();
        let given = overlay::toml(text)
            .map_err(|reason| ExperimentError { origin: origin.clone(), reason })?;
        Self::default().with(given, &origin)
    }

    /// The same with one setting changed: `training.batch_size=4`. The value is TOML; what is no
    /// TOML is taken as text.
    ///
    /// # Errors
    /// [`ExperimentError`] as [`Experiment::parse`].
    pub fn set(self, assignment: &str) -> Result<Self, ExperimentError> {
        let origin = format!("--set {assignment}");
        let given = overlay::assignment(assignment, "training.batch_size=4")
            .map_err(|reason| ExperimentError { origin: origin.clone(), reason })?;
        self.with(given, &origin)
    }

    /// The configuration of the model on a CLIP. Whether its settings fit it and each other is for
    /// [`MoeClipConfig::check`] to say.
    pub fn model_on(&self, clip: &ClipSpec) -> MoeClipConfig {
        self.model.on(clip)
    }

    /// The whole description as TOML, defaults written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// The same with what `given` names; `origin` is for messages.
    pub(crate) fn with(self, given: Value, origin: &str) -> Result<Self, ExperimentError> {
        let refuse = |reason: String| ExperimentError { origin: origin.to_owned(), reason };
        let mut settings = serde_json::to_value(&self).map_err(|e| refuse(e.to_string()))?;
        overlay::overlay(&mut settings, given, "").map_err(refuse)?;
        let experiment: Self = overlay::read(settings).map_err(refuse)?;
        experiment.training.check().map_err(|error| refuse(format!("training.{error}")))?;
        experiment
            .augmentation
            .validate()
            .map_err(|error| refuse(format!("augmentation.{error}")))?;
        Ok(experiment)
    }
}

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
    fn on(&self, clip: &ClipSpec) -> MoeClipConfig {
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

#[cfg(test)]
mod tests;
