//! Trained adapters on disk: our own safetensors, and the authors' `.pth`, told apart by content.
//!
//! Ours holds the tensors under the authors' names and says in its metadata what the authors' file
//! leaves to the reader: taps, scales, how many experts are asked, where it comes from, and once it has
//! been calibrated what its numbers mean.

mod error;
mod layout;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use anomaly::{AuxiliaryData, Calibration};
use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use clip_vit::weights::OpenOptions;
use clip_vit::{
    ClipCheckpoint, ClipSpec, Precision, PrefixedSource, TensorFile, WeightError, WeightSource,
};
use serde::{Deserialize, Serialize};

pub use error::AdapterFileError;
pub use write::{write_adapter, write_authors};

use crate::{Adapters, MoeClipConfig, PromptSet};
use layout::AdapterLayout;

/// Under these names the authors' checkpoint keeps all but the text projection.
const AUTHORS_PREFIX: &str = "image_adapter.";

/// The key of the calibration.
const CALIBRATION: &str = "calibration";

/// Whose format a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterFormat {
    /// Our safetensors, which says all about itself.
    Ours,
    /// The authors' `.pth`.
    Authors,
}

/// What an authors' file does not say; `None` stands for the paper's value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Assumed {
    /// Layers behind which its mixtures stand; every sixth layer by default.
    pub taps: Option<Vec<usize>>,
    /// Experts asked per token.
    pub top_k: Option<usize>,
    /// Strength of the experts.
    pub alpha: Option<f64>,
}

/// Where adapters come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Code version that trained them; empty for the authors'.
    pub version: String,
    /// The commit of that code, with `-dirty` behind it where the code differed; `None` where the
    /// program was built outside of git.
    #[serde(default)]
    pub commit: Option<String>,
    /// Epoch that the authors' file names.
    #[serde(default)]
    pub epoch: Option<i64>,
    /// Name of the published CLIP that they belong to; `None` where its sizes are nobody's.
    #[serde(default)]
    pub preset: Option<String>,
    /// Sizes and activation of the CLIP that they belong to.
    pub clip: Option<ClipSpec>,
    /// SHA-256 of that CLIP's own file, before any conversion.
    pub clip_sha256: Option<String>,
    /// Classes that they were trained on.
    pub classes: Vec<String>,
    /// The auxiliary set that they were trained on.
    #[serde(default)]
    pub data: Option<AuxiliaryData>,
    /// The resolved description of the run, as TOML.
    #[serde(default)]
    pub run: Option<String>,
    /// What was measured, by name, as in `loss/total`: the losses before the last step, and whatever
    /// the run measured besides.
    #[serde(default)]
    pub metrics: BTreeMap<String, f32>,
    /// Steps of training.
    pub steps: usize,
    /// Which of them these adapters are of, and why; a checkpoint's are always the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// Seed of training.
    pub seed: u64,
    /// Phrases that they were trained with.
    pub prompts: PromptSet,
}

/// Why a run ended with the adapters that it did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Epochs that they are of, parts of one included.
    pub epochs: f64,
    /// Steps that they are of.
    pub steps: usize,
    /// As in "the last".
    pub because: String,
}

/// An opened file of adapters.
#[derive(Debug)]
pub struct AdapterFile {
    file: TensorFile,
    format: AdapterFormat,
    config: MoeClipConfig,
    layout: AdapterLayout,
    provenance: Option<Provenance>,
    calibration: Option<Calibration>,
}

impl AdapterFile {
    /// Opens `path`, whatever its extension. `assumed` fills in what an authors' file leaves out.
    ///
    /// # Errors
    ///
    /// [`AdapterFileError`] when it cannot be read, holds no adapters, or not exactly one set.
    pub fn open(path: &Path, assumed: &Assumed) -> Result<Self, AdapterFileError> {
        let file = TensorFile::open(path)?;
        let authors = file.names().any(|name| name.starts_with(AUTHORS_PREFIX));
        let format = if authors { AdapterFormat::Authors } else { AdapterFormat::Ours };
        let shapes = shapes(&file, format);
        let layout = AdapterLayout::infer(path, &shapes).map_err(|error| match error {
            AdapterFileError::NotAdapters { file } if is_clip(path) => {
                AdapterFileError::IsClip { file }
            }
            other => other,
        })?;
        layout.check(path, &shapes)?;
        let stored: Option<MoeClipConfig> = metadata(&file, "config")?;
        let config = match stored {
            Some(config) => config,
            None => layout.config(assumed),
        };
        layout.matches(path, &config)?;
        let provenance = match format {
            AdapterFormat::Ours => metadata(&file, "provenance")?,
            AdapterFormat::Authors => {
                Some(Provenance { epoch: metadata(&file, "epoch")?, ..Provenance::default() })
            }
        };
        let calibration = match format {
            AdapterFormat::Ours => metadata::<Calibration>(&file, CALIBRATION)?,
            AdapterFormat::Authors => None,
        };
        let calibration = calibration.map(Calibration::checked).transpose();
        let calibration = calibration.map_err(|error| AdapterFileError::Metadata {
            file: path.into(),
            key: CALIBRATION,
            reason: error.to_string(),
        })?;
        Ok(Self { file, format, config, layout, provenance, calibration })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whose format it is in.
    pub fn format(&self) -> AdapterFormat {
        self.format
    }

    /// The configuration that it belongs to.
    pub fn config(&self) -> &MoeClipConfig {
        &self.config
    }

    /// Where it comes from, if it says so.
    pub fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_ref()
    }

    /// What its numbers mean on normal images, if that was measured.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// The adapters on a device, for this CLIP.
    ///
    /// # Errors
    ///
    /// [`AdapterFileError`] when they belong to another CLIP, by its sizes, or hold values that are
    /// not finite.
    pub fn load<B: Backend>(
        &self,
        clip: &ClipSpec,
        device: &B::Device,
    ) -> Result<Adapters<B>, AdapterFileError> {
        self.layout.fits(self.file.path(), clip)?;
        let trained = self.provenance.as_ref().and_then(|from| from.clip.as_ref());
        if let Some(trained) = trained.filter(|trained| *trained != clip) {
            return Err(AdapterFileError::other_clip(self.file.path(), trained, clip));
        }
        let load = Adapters::load(&self.config, clip, self, device);
        load.map_err(|source| AdapterFileError::adapters(self.file.path(), source))
    }

    /// Every tensor by its name in our own files.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when a tensor cannot be read.
    pub fn tensors(&self) -> Result<BTreeMap<String, TensorData>, WeightError> {
        let read = |(name, shape): (String, Vec<usize>)| {
            let data = self.tensor(&name, &shape, Precision::F32)?;
            Ok((name, data))
        };
        self.layout.shapes().into_iter().map(read).collect()
    }
}

impl WeightSource for AdapterFile {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let prefix = match self.format {
            AdapterFormat::Authors if !name.starts_with("text_adapter.") => AUTHORS_PREFIX,
            _ => "",
        };
        PrefixedSource { file: &self.file, prefix }.tensor(name, shape, precision)
    }
}

/// Whether a file is the other one of the two that a model needs.
fn is_clip(path: &Path) -> bool {
    ClipCheckpoint::open(path, &OpenOptions::default()).is_ok()
}

/// Names, as our own files have them, and shapes of a file's tensors.
fn shapes(file: &TensorFile, format: AdapterFormat) -> BTreeMap<String, Vec<usize>> {
    let ours = |name: &str| match format {
        AdapterFormat::Ours => name.to_owned(),
        AdapterFormat::Authors => name.strip_prefix(AUTHORS_PREFIX).unwrap_or(name).to_owned(),
    };
    // The optimiser's state is no part of the adapters.
    let kept = file.names().filter(|name| !name.starts_with("optimizer_state_dict."));
    kept.map(|name| (ours(name), file.shape(name).unwrap_or_default().to_vec())).collect()
}

/// A value that the file keeps as JSON under `key`, if it does.
fn metadata<T: serde::de::DeserializeOwned>(
    file: &TensorFile,
    key: &'static str,
) -> Result<Option<T>, AdapterFileError> {
    let parse = |text: &String| {
        serde_json::from_str(text).map_err(|source| AdapterFileError::Metadata {
            file: file.path().into(),
            key,
            reason: source.to_string(),
        })
    };
    file.metadata().get(key).map(parse).transpose()
}
