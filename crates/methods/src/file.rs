//! A method's own weights on disk: our safetensors, a checkpoint of a run, and the authors' published
//! files. All have the tensors under the checkpoint's names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anomaly::{Calibration, CalibrationError};
use burn::tensor::TensorData;
use clip_vit::weights::write::{HostTensor, write_safetensors};
use clip_vit::{Precision, TensorFile, WeightError, WeightSource};
use moeclip::Provenance;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::ClipMethod;

/// What the metadata calls our format.
const FORMAT: &str = "anomaly-method";

/// Keys of the metadata.
const METHOD: &str = "method";
const SETTINGS: &str = "settings";
const PROVENANCE: &str = "provenance";
const CALIBRATION: &str = "calibration";

/// What a tensor of the authors' published checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorsTensor {
    /// One of the method's weights, under this name here.
    Weight(String),
    /// Something that the method does not need.
    Unused,
    /// Nothing that the authors' checkpoints hold.
    Foreign,
}

/// A file of weights that cannot be used.
#[derive(Debug, Error)]
pub enum MethodFileError {
    /// The file itself is wrong.
    #[error(transparent)]
    File(#[from] WeightError),
    /// The weights of another method.
    #[error("{}: holds the weights of {found}, not of {wanted}; give --method {found}, or another file", file.display())]
    OtherMethod {
        /// The file.
        file: PathBuf,
        /// Whose they are.
        found: String,
        /// Whose are wanted.
        wanted: &'static str,
    },
    /// No weights of the method.
    #[error("{}: holds no weights of {method} ({name:?} is none); give a file of this program or of the method's authors", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// The method.
        method: &'static str,
        /// A tensor of the file that the method does not know.
        name: String,
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
    /// A file that cannot carry a calibration.
    #[error("{}: is {what} and cannot carry a calibration; give weights in our own format", file.display())]
    NoPlace {
        /// The file.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A calibration that makes no sense.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
}

/// An opened file of a method's own weights.
#[derive(Debug)]
pub struct MethodFile<M: ClipMethod> {
    file: TensorFile,
    /// Where each weight lies in the file, by its name here.
    names: BTreeMap<String, String>,
    unused: usize,
    settings: M::Settings,
    provenance: Option<Provenance>,
    calibration: Option<Calibration>,
}

/// The method whose weights a file of ours holds; `None` for the authors' and for any other.
///
/// # Errors
///
/// [`WeightError`] when the file cannot be read.
pub fn method_of_file(path: &Path) -> Result<Option<String>, WeightError> {
    Ok(TensorFile::open(path)?.metadata().get(METHOD).cloned())
}

impl<M: ClipMethod> MethodFile<M> {
    /// Opens `path`, whatever its extension.
    ///
    /// # Errors
    ///
    /// [`MethodFileError`] when it cannot be read, is of another method, or holds something else.
    pub fn open(path: &Path) -> Result<Self, MethodFileError> {
        let file = TensorFile::open(path)?;
        match file.metadata().get(METHOD) {
            Some(found) if found != M::WORD => Err(MethodFileError::OtherMethod {
                file: path.into(),
                found: found.clone(),
                wanted: M::WORD,
            }),
            Some(_) => Self::ours(file),
            None => Self::authors(file),
        }
    }

    fn ours(file: TensorFile) -> Result<Self, MethodFileError> {
        // The optimiser's state in a checkpoint is no part of the weights.
        let kept = file.names().filter(|name| !name.starts_with("optimizer_state_dict."));
        let names = kept.map(|name| (name.to_owned(), name.to_owned())).collect();
        let settings = metadata(&file, SETTINGS)?.unwrap_or_default();
        let calibration = metadata::<Calibration>(&file, CALIBRATION)?;
        let calibration = calibration.map(Calibration::checked).transpose()?;
        let provenance = metadata(&file, PROVENANCE)?;
        Ok(Self { file, names, unused: 0, settings, provenance, calibration })
    }

    fn authors(file: TensorFile) -> Result<Self, MethodFileError> {
        let (mut names, mut unused) = (BTreeMap::new(), 0);
        for name in file.names() {
            match M::authors_tensor(name) {
                AuthorsTensor::Weight(ours) => {
                    names.insert(ours, name.to_owned());
                }
                AuthorsTensor::Unused => unused += 1,
                AuthorsTensor::Foreign => {
                    let (file, name) = (file.path().into(), name.to_owned());
                    return Err(MethodFileError::Foreign { file, method: M::WORD, name });
                }
            }
        }
        let (settings, provenance) = (M::Settings::default(), Some(Provenance::default()));
        Ok(Self { file, names, unused, settings, provenance, calibration: None })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The settings that the weights belong to.
    pub fn settings(&self) -> &M::Settings {
        &self.settings
    }

    /// Tensors of an authors' file that the method does not need.
    pub fn unused(&self) -> usize {
        self.unused
    }

    /// Where they come from, if the file says so.
    pub fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_ref()
    }

    /// What their numbers mean on normal images, if that was measured.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// Every weight by its name.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when one cannot be read.
    pub fn tensors(&self) -> Result<BTreeMap<String, TensorData>, WeightError> {
        let read = |(ours, theirs): (&String, &String)| {
            Ok((ours.clone(), self.file.tensor_data(theirs, Precision::F32)?))
        };
        self.names.iter().map(read).collect()
    }

    /// Refuses what [`write_calibrated`](Self::write_calibrated) would refuse, before a calibration is measured.
    ///
    /// # Errors
    ///
    /// [`MethodFileError::NoPlace`] when it is the authors', or a checkpoint, which is never changed.
    pub fn require_place_for_calibration(&self) -> Result<(), MethodFileError> {
        let metadata = self.file.metadata();
        let what = match metadata.get("format") {
            Some(format) if format == FORMAT => return Ok(()),
            Some(_) => "a checkpoint of a run",
            None => "in the authors' format",
        };
        Err(MethodFileError::NoPlace { file: self.path().into(), what })
    }

    /// Writes the file with this calibration to `path`, which may be its own: all else stays as it is, to the
    /// byte; an earlier calibration is replaced.
    ///
    /// # Errors
    ///
    /// As [`require_place_for_calibration`](Self::require_place_for_calibration), and [`WeightError`] when the
    /// file cannot be written; an older one is then left whole.
    pub fn write_calibrated(
        &self,
        path: &Path,
        calibration: &Calibration,
    ) -> Result<(), MethodFileError> {
        self.require_place_for_calibration()?;
        let mut metadata = self.file.metadata().clone();
        metadata.insert(CALIBRATION.into(), json(path, CALIBRATION, calibration)?);
        Ok(write_safetensors(path, &self.file.host_tensors()?, &metadata)?)
    }
}

impl<M: ClipMethod> WeightSource for MethodFile<M> {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let stored = self.names.get(name).map_or(name, String::as_str);
        clip_vit::PrefixedSource { file: &self.file, prefix: "" }.tensor(stored, shape, precision)
    }
}

/// Writes a method's weights as our safetensors; the same weights give the same bytes.
///
/// # Errors
///
/// [`MethodFileError`] when the file cannot be written; an older one is then left whole.
pub fn write_method<M: ClipMethod>(
    path: &Path,
    tensors: &BTreeMap<String, TensorData>,
    settings: &M::Settings,
    provenance: &Provenance,
) -> Result<(), MethodFileError> {
    let metadata = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("version".to_owned(), "1".to_owned()),
        (METHOD.to_owned(), M::WORD.to_owned()),
        (SETTINGS.to_owned(), json(path, SETTINGS, settings)?),
        (PROVENANCE.to_owned(), json(path, PROVENANCE, provenance)?),
    ]);
    let host = |(name, data): (&String, &TensorData)| match HostTensor::from_data(data) {
        Some(tensor) => Ok((name.clone(), tensor)),
        None => Err(WeightError::Unwritable {
            file: path.into(),
            tensor: name.clone(),
            reason: format!("its type is {:?}", data.dtype),
        }),
    };
    let tensors: BTreeMap<_, _> = tensors.iter().map(host).collect::<Result<_, _>>()?;
    Ok(write_safetensors(path, &tensors, &metadata)?)
}

fn metadata<T: DeserializeOwned>(
    file: &TensorFile,
    key: &'static str,
) -> Result<Option<T>, MethodFileError> {
    let broken = |error: serde_json::Error| MethodFileError::Metadata {
        file: file.path().into(),
        key,
        reason: error.to_string(),
    };
    file.metadata().get(key).map(|text| serde_json::from_str(text).map_err(broken)).transpose()
}

fn json(path: &Path, key: &'static str, value: &impl Serialize) -> Result<String, MethodFileError> {
    serde_json::to_string(value).map_err(|error| MethodFileError::Metadata {
        file: path.into(),
        key,
        reason: error.to_string(),
    })
}
