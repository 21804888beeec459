//! A CLIP as this project keeps it: one safetensors with open_clip's names, whose metadata says
//! what shapes do not.

use std::collections::BTreeMap;
use std::path::Path;

use super::refuse_same_file;
use super::safetensors::{Declared, write_declared};
use crate::weights::config::{FORMAT, VERSION, activation_name};
use crate::weights::{ClipCheckpoint, WeightError};

impl ClipCheckpoint {
    /// Writes the CLIP to `out` as one safetensors with canonical names, values in the type of its
    /// file, and metadata from which it opens again without options: format, version, preset (or
    /// `custom`), activation, heads, the whole spec, and the source's format and SHA-256. The same
    /// source gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when a tensor holds NaN or infinity, when `out` is the source itself, or
    /// cannot be written.
    pub fn write_canonical(&self, out: &Path) -> Result<(), WeightError> {
        refuse_same_file(self.file().path(), out)?;
        self.verify_finite()?;
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
        let spec = self.spec();
        let json =
            serde_json::to_string(spec).map_err(|error| WeightError::write(out, error.into()))?;
        let pairs = [
            ("format", FORMAT.to_owned()),
            ("version", VERSION.to_owned()),
            ("preset", self.preset().map_or("custom", |preset| preset.name()).to_owned()),
            ("activation", activation_name(spec.activation).to_owned()),
            ("vision_heads", spec.vision.heads.to_string()),
            ("text_heads", spec.text.heads.to_string()),
            ("spec", json),
            ("source_format", self.source_format().to_string()),
            ("source_sha256", self.file().sha256()),
        ];
        Ok(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}
