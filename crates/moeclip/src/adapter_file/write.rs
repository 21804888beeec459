//! Writing adapters: our safetensors, and the authors' `.pth`.

use std::collections::BTreeMap;
use std::path::Path;

use anomaly::Calibration;
use burn::tensor::TensorData;
use clip_vit::WeightError;
use clip_vit::weights::write::{HostTensor, TorchValue, write_safetensors, write_torch_zip};
use moe_lora::Mixture;
use paa_adapter::{ImageHeadKind, ScaleWeighting};

use super::{AdapterFile, AdapterFileError, AdapterFormat, CALIBRATION, Provenance};
use crate::MoeClipConfig;

/// What the metadata calls our format.
const FORMAT: &str = "moeclip-adapter";

/// Writes adapters as our safetensors; the same adapters give the same bytes.
///
/// # Errors
///
/// [`WeightError`] when the file cannot be written; an older one is then left whole.
pub fn write_adapter(
    path: &Path,
    tensors: &BTreeMap<String, TensorData>,
    config: &MoeClipConfig,
    provenance: Option<&Provenance>,
) -> Result<(), WeightError> {
    let mut metadata = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("version".to_owned(), "1".to_owned()),
        ("config".to_owned(), json(path, "config", config)?),
    ]);
    if let Some(provenance) = provenance {
        metadata.insert("provenance".into(), json(path, "provenance", provenance)?);
    }
    write_safetensors(path, &host_tensors(path, tensors)?, &metadata)
}

impl AdapterFile {
    /// Refuses what [`AdapterFile::write_calibrated`] would refuse, before a calibration is measured.
    ///
    /// # Errors
    ///
    /// [`AdapterFileError::NoPlaceForCalibration`] when it is in the authors' format, or a checkpoint,
    /// which is never changed.
    pub fn require_place_for_calibration(&self) -> Result<(), AdapterFileError> {
        let what = match (self.format, self.file.metadata().get("format")) {
            (AdapterFormat::Ours, Some(format)) if format == FORMAT => return Ok(()),
            (AdapterFormat::Ours, _) => "a checkpoint of a run",
            (AdapterFormat::Authors, _) => "in the authors' format",
        };
        Err(AdapterFileError::NoPlaceForCalibration { file: self.path().into(), what })
    }

    /// Writes the file with this calibration to `path`, which may be its own: tensors and all other
    /// metadata stay as they are, to the byte; an earlier calibration is replaced.
    ///
    /// # Errors
    ///
    /// As [`AdapterFile::require_place_for_calibration`], and [`WeightError`] when the file cannot be
    /// written; an older one is then left whole.
    pub fn write_calibrated(
        &self,
        path: &Path,
        calibration: &Calibration,
    ) -> Result<(), AdapterFileError> {
        self.require_place_for_calibration()?;
        let mut metadata = self.file.metadata().clone();
        metadata.insert(CALIBRATION.into(), json(path, CALIBRATION, calibration)?);
        Ok(write_safetensors(path, &self.file.host_tensors()?, &metadata)?)
    }
}

/// Writes adapters as the authors' code saves and loads them.
///
/// # Errors
///
/// [`AdapterFileError::NotAuthors`] when the authors' model has no place for them, and
/// [`WeightError`] when the file cannot be written; an older one is then left whole.
pub fn write_authors(
    path: &Path,
    tensors: &BTreeMap<String, TensorData>,
    config: &MoeClipConfig,
    epoch: i64,
) -> Result<(), AdapterFileError> {
    refuse_what_the_authors_lack(path, config)?;
    let (mut text, mut image) = (Vec::new(), Vec::new());
    for (name, tensor) in host_tensors(path, tensors)? {
        match name.strip_prefix("text_adapter.") {
            Some(name) => text.push((name.to_owned(), TorchValue::Tensor(tensor))),
            None => image.push((name, TorchValue::Tensor(tensor))),
        }
    }
    let optimizer = vec![
        ("state".to_owned(), TorchValue::Dict(Vec::new())),
        ("param_groups".to_owned(), TorchValue::List(Vec::new())),
    ];
    let root = TorchValue::Dict(vec![
        ("epoch".into(), TorchValue::Int(epoch)),
        ("optimizer_state_dict".into(), TorchValue::Dict(optimizer)),
        ("text_adapter".into(), TorchValue::Dict(text)),
        ("image_adapter".into(), TorchValue::Dict(image)),
    ]);
    Ok(write_torch_zip(path, &root)?)
}

/// The authors' model is the paper's: one router and as many experts at every tap, a depthwise head,
/// equal scales. How their matrices came to be does not show in it.
fn refuse_what_the_authors_lack(
    path: &Path,
    config: &MoeClipConfig,
) -> Result<(), AdapterFileError> {
    let experts = config.kept_experts.iter().flatten().map(Vec::len);
    let experts: Vec<usize> = experts.collect();
    let uneven = experts.windows(2).any(|pair| pair[0] != pair[1]);
    let (mixture, head, scales) = (config.mixture, config.image_head, config.scale_weights);
    let lacking = [
        ("mixture", mixture.name().to_owned(), mixture != Mixture::MoeLora),
        ("image_head", head.name().to_owned(), head != ImageHeadKind::Depthwise),
        ("scale_weights", scales.name().to_owned(), scales != ScaleWeighting::Equal),
        ("experts", format!("{experts:?}"), uneven),
    ];
    match lacking.into_iter().find(|(_, _, lacks)| *lacks) {
        Some((key, value, _)) => {
            Err(AdapterFileError::NotAuthors { file: path.into(), key, value })
        }
        None => Ok(()),
    }
}

fn host_tensors(
    path: &Path,
    tensors: &BTreeMap<String, TensorData>,
) -> Result<BTreeMap<String, HostTensor>, WeightError> {
    let host = |(name, data): (&String, &TensorData)| {
        let tensor = HostTensor::from_data(data)
            .ok_or_else(|| unwritable(path, name, format!("its type is {:?}", data.dtype)))?;
        Ok((name.clone(), tensor))
    };
    tensors.iter().map(host).collect()
}

fn json(path: &Path, key: &str, value: &impl serde::Serialize) -> Result<String, WeightError> {
    serde_json::to_string(value).map_err(|error| unwritable(path, key, error.to_string()))
}

fn unwritable(path: &Path, name: &str, reason: String) -> WeightError {
    WeightError::Unwritable { file: path.into(), tensor: name.into(), reason }
}
