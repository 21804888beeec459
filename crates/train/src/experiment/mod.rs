//! A training run as one TOML file: what a run saves, what the files of `configs/` hold, and what
//! `--set` changes.
//!
//! A file names only what it changes; everything else has the paper's value. A key that nobody knows
//! is an error that names the nearest known one: a misspelt setting must not train for a week with
//! its default. `-` and `_` in keys mean the same.

mod model;
pub mod overlay;

use std::path::Path;

use clip_vit::ClipSpec;
use moeclip::{MoeClipConfig, PromptSet};
use moeclip_data::{Augmentation, PromptNames};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

pub use model::ModelSettings;

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

#[cfg(test)]
mod tests;
