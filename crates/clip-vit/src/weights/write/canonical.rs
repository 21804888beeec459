//! A CLIP as this project keeps it: one safetensors with open_clip's names, whose metadata says
//! what shapes do not.

use std::collections::BTreeMap;
use std::path::Path;

use super::safetensors::{Declared, write_declared, write_safetensors};
use super::{HostTensor, refuse_same_file};
use crate::weights::config::{FORMAT, NORMALISATION, VERSION, activation_name};
use crate::weights::{ClipCheckpoint, WeightError};
use crate::{ClipSpec, Normalisation};

/// The preset of a CLIP of nobody's sizes.
const CUSTOM: &str = "custom";

impl ClipCheckpoint {
    /// Writes the CLIP to `out` as one safetensors with canonical names, values in the type of its
    /// file, and metadata from which it opens again without options: format, version, preset (or
    /// `custom`), activation, heads, the normalisation where it is not CLIP's own, the whole spec, and the source's format and SHA-256. The same
    /// source gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when a tensor holds NaN, infinity or doubles beyond singles, when `out` is the source itself, or
    /// cannot be written.
    pub fn write_canonical(&self, out: &Path) -> Result<(), WeightError> {
        for path in self.file().paths() {
            refuse_same_file(path, out)?;
        }
        self.verify_finite()?;
        self.verify_range()?;
        let declared = self
            .names()
            .filter_map(|name| {
                let (dtype, shape) = self.dtype(name).zip(self.shape(name))?;
                Some(Declared { name, dtype, shape })
            })
            .collect();
        write_declared(out, declared, &self.canonical_metadata(out)?, |name| self.stored(name))
    }

    fn canonical_metadata(&self, out: &Path) -> Result<BTreeMap<String, String>, WeightError> {
        let mut metadata = described(self.spec(), out)?;
        let preset = self.preset().map_or(CUSTOM, |preset| preset.name());
        metadata.insert("preset".into(), preset.into());
        if self.normalisation() != Normalisation::CLIP {
            let json = serde_json::to_string(&self.normalisation());
            let json = json.map_err(|error| WeightError::write(out, error.into()))?;
            metadata.insert(NORMALISATION.into(), json);
        }
        metadata.insert("source_format".into(), self.source_format().to_string());
        metadata.insert("source_sha256".into(), self.source_sha256());
        Ok(metadata)
    }
}

/// Writes the weights of a CLIP that was trained here, by canonical names, as a file that opens like
/// any other and needs no options. `about` is added to the metadata: where it comes from.
///
/// # Errors
///
/// [`WeightError`] when a tensor is not of its shape, or `out` cannot be written. What is missing is
/// found by whoever opens the file.
pub fn write_clip(
    out: &Path,
    spec: &ClipSpec,
    tensors: &BTreeMap<String, HostTensor>,
    about: &BTreeMap<String, String>,
) -> Result<(), WeightError> {
    let mut metadata = about.clone();
    metadata.extend(described(spec, out)?);
    write_safetensors(out, tensors, &metadata)
}

/// What shapes do not tell.
fn described(spec: &ClipSpec, out: &Path) -> Result<BTreeMap<String, String>, WeightError> {
    let json =
        serde_json::to_string(spec).map_err(|error| WeightError::write(out, error.into()))?;
    let pairs = [
        ("format", FORMAT.to_owned()),
        ("version", VERSION.to_owned()),
        ("preset", CUSTOM.to_owned()),
        ("activation", activation_name(spec.activation).to_owned()),
        ("vision_heads", spec.vision.heads.to_string()),
        ("text_heads", spec.text.heads.to_string()),
        ("spec", json),
    ];
    Ok(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
