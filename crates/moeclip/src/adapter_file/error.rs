//! What can be wrong with a file of adapters: one line each.

use std::path::{Path, PathBuf};

use clip_vit::{ClipSpec, Preset, WeightError};
use thiserror::Error;

use crate::AdapterError;

/// A file of adapters that cannot be used.
#[derive(Debug, Error)]
pub enum AdapterFileError {
    /// The file itself is wrong.
    #[error(transparent)]
    File(#[from] WeightError),
    /// No adapters in it.
    #[error("{}: holds no MoECLIP adapters (no seg_proj.0.fc.weight); give a checkpoint of this program or of the authors", file.display())]
    NotAdapters {
        /// The file.
        file: PathBuf,
    },
    /// A CLIP in the place of its adapters.
    #[error("{}: is a CLIP and holds no MoECLIP adapters; give it with --clip, and here the adapters that were trained for it", file.display())]
    IsClip {
        /// The file.
        file: PathBuf,
    },
    /// Adapters, but not exactly one set.
    #[error("{}: is no whole set of adapters: {problems}; use the file as it was written", file.display())]
    Incomplete {
        /// The file.
        file: PathBuf,
        /// Every tensor at fault.
        problems: String,
    },
    /// Metadata that cannot be read.
    #[error("{}: metadata {key:?} is broken: {reason}; use the file as it was written", file.display())]
    Metadata {
        /// The file.
        file: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A configuration that contradicts the tensors.
    #[error("{}: {key} says {said}, its tensors say {found}; correct {key} or use another file", file.display())]
    Contradiction {
        /// The file.
        file: PathBuf,
        /// The setting.
        key: &'static str,
        /// What the configuration says.
        said: String,
        /// What the tensors say.
        found: String,
    },
    /// Adapters of another CLIP.
    #[error("{}: was trained for {trained}, not for {given}; use it with the CLIP it was trained on", file.display())]
    OtherClip {
        /// The file.
        file: PathBuf,
        /// The CLIP it belongs to.
        trained: String,
        /// The CLIP at hand.
        given: String,
    },
    /// Adapters that the authors' format has no place for.
    #[error("{}: the authors' format has no place for {key} = {value}; keep these adapters in ours", file.display())]
    NotAuthors {
        /// The file that was to be written.
        file: PathBuf,
        /// The setting.
        key: &'static str,
        /// What it says.
        value: String,
    },
    /// A file that cannot carry a calibration.
    #[error("{}: is {what} and cannot carry a calibration; give adapters in our own format", file.display())]
    NoPlaceForCalibration {
        /// The file.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Adapters that cannot be built.
    #[error("{}: {source}", file.display())]
    Adapters {
        /// The file.
        file: PathBuf,
        /// Why.
        source: AdapterError,
    },
}

impl AdapterFileError {
    pub(super) fn other_clip(file: &Path, trained: &ClipSpec, given: &ClipSpec) -> Self {
        Self::OtherClip { file: file.into(), trained: describe(trained), given: describe(given) }
    }

    pub(super) fn adapters(file: &Path, source: AdapterError) -> Self {
        match source {
            AdapterError::Weights(source) => Self::File(source),
            source => Self::Adapters { file: file.into(), source },
        }
    }
}

/// A CLIP in a few words.
fn describe(clip: &ClipSpec) -> String {
    if let Some(preset) = Preset::of(clip) {
        return preset.name().into();
    }
    let (vision, text) = (&clip.vision, &clip.text);
    format!(
        "a CLIP of width {}, {} layers, {} heads, patch {}, text width {}, embedding {}, {:?}",
        vision.width,
        vision.layers,
        vision.heads,
        vision.patch,
        text.width,
        clip.embed,
        clip.activation
    )
}
