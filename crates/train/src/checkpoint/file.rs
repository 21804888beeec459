//! One checkpoint on disk, of whatever method: tensors, metadata, and a digest over both that tells when
//! a byte has turned.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use clip_vit::weights::Dtype;
use clip_vit::weights::write::{HostTensor, write_safetensors};
use clip_vit::{TensorFile, WeightError};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::CheckpointError;

/// The key of the digest over everything else.
const DIGEST: &str = "sha256";

/// The key of how often Adam has moved each parameter.
pub(crate) const UPDATES: &str = "updates";

/// How the checkpoints of a method are told from others, and what they call Adam's moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointFormat {
    /// What the metadata calls them.
    pub name: &'static str,
    /// Version of the layout, where it has one.
    pub version: Option<&'static str>,
    /// What the name of a mean gradient begins with, before the parameter's path.
    pub first: &'static str,
    /// What the name of a mean squared gradient begins with.
    pub second: &'static str,
}

/// A checkpoint that was found whole.
#[derive(Debug)]
pub struct CheckpointFile {
    pub(super) file: TensorFile,
}

impl CheckpointFile {
    /// Opens a checkpoint and proves that every byte is as it was written.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when it is truncated, changed, or something else.
    pub fn open(path: &Path, format: CheckpointFormat) -> Result<Self, CheckpointError> {
        let damaged = |error| CheckpointError::damaged(path, error);
        let file = TensorFile::open(path).map_err(damaged)?;
        let said = |key: &str| file.metadata().get(key).map(String::as_str);
        if said("format") != Some(format.name) || said("version") != format.version {
            return Err(broken(path, "it was written by something else or another version"));
        }
        if said(DIGEST) != Some(&digest_of(&file).map_err(damaged)?) {
            return Err(broken(path, "its bytes have changed since it was written"));
        }
        Ok(Self { file })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Metadata that must be there.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when it is not.
    pub fn text(&self, key: &str) -> Result<String, CheckpointError> {
        let missing = || broken(self.path(), &format!("its metadata lacks {key}"));
        self.file.metadata().get(key).cloned().ok_or_else(missing)
    }

    /// Metadata that is JSON.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when it is not there or of another structure.
    pub fn json<T: DeserializeOwned>(&self, key: &str) -> Result<T, CheckpointError> {
        let broken = |error| self.broken(&format!("its metadata {key} is broken: {error}"));
        serde_json::from_str(&self.text(key)?).map_err(broken)
    }

    /// Metadata that is JSON, where it is there: older programs did not write it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when it is of another structure.
    pub fn json_if_any<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<T>, CheckpointError> {
        self.file.metadata().contains_key(key).then(|| self.json(key)).transpose()
    }

    /// A tensor of f32; bits are kept, infinite values included.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when it is not there, of another shape or of another type.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<TensorData, CheckpointError> {
        let found = self.file.shape(name).unwrap_or_default();
        let is_f32 = self.file.dtype(name).is_some_and(|dtype| dtype == Dtype::F32);
        if found != shape || !is_f32 {
            return Err(self.broken(&format!(
                "tensor {name} is missing, of another shape than {shape:?}, or no f32"
            )));
        }
        let damaged = |error| CheckpointError::damaged(self.path(), error);
        let values = self.file.read_f32(name).map_err(damaged)?;
        Ok(TensorData::new(values, shape.to_vec()))
    }

    /// How often Adam has moved each parameter, by its path.
    pub(crate) fn updates(&self) -> Result<BTreeMap<String, usize>, CheckpointError> {
        self.json(UPDATES)
    }

    /// An error that says what is wrong with it.
    pub fn broken(&self, reason: &str) -> CheckpointError {
        broken(self.path(), reason)
    }
}

/// Writes a checkpoint; the same content gives the same bytes.
///
/// # Errors
///
/// [`WeightError`] when the file cannot be written or a tensor has no type of files.
pub fn write_checkpoint(
    path: &Path,
    tensors: &BTreeMap<String, TensorData>,
    mut metadata: BTreeMap<String, String>,
) -> Result<(), WeightError> {
    let host = |(name, data): (&String, &TensorData)| match HostTensor::from_data(data) {
        Some(tensor) => Ok((name.clone(), tensor)),
        None => Err(WeightError::Unwritable {
            file: path.into(),
            tensor: name.clone(),
            reason: format!("its type is {:?}", data.dtype),
        }),
    };
    let tensors: BTreeMap<String, HostTensor> =
        tensors.iter().map(host).collect::<Result<_, _>>()?;
    metadata.remove(DIGEST);
    let mut digest = ContentDigest::of(&metadata);
    for (name, tensor) in &tensors {
        digest.tensor(name, tensor.dtype, &tensor.shape, &tensor.bytes);
    }
    metadata.insert(DIGEST.into(), digest.hex());
    write_safetensors(path, &tensors, &metadata)
}

/// The digest over a file's tensors and metadata, but for the digest itself.
fn digest_of(file: &TensorFile) -> Result<String, WeightError> {
    let mut metadata = file.metadata().clone();
    metadata.remove(DIGEST);
    let mut digest = ContentDigest::of(&metadata);
    for name in file.names() {
        if let Some((dtype, shape)) = file.dtype(name).zip(file.shape(name)) {
            digest.tensor(name, dtype, shape, &file.stored(name)?);
        }
    }
    Ok(digest.hex())
}

fn broken(file: &Path, reason: &str) -> CheckpointError {
    CheckpointError::Damaged { file: file.into(), reason: reason.into() }
}

/// SHA-256 over metadata and tensors, every text and list with its length before it.
///
/// A safetensors header shows a file that is too short, not one in which a byte has turned.
struct ContentDigest(Sha256);

impl ContentDigest {
    /// Of metadata, in the order of its keys; tensors follow.
    pub(crate) fn of(metadata: &BTreeMap<String, String>) -> Self {
        let mut digest = Self(Sha256::new());
        digest.number(metadata.len());
        for (key, value) in metadata {
            digest.bytes(key.as_bytes());
            digest.bytes(value.as_bytes());
        }
        digest
    }

    /// Adds a tensor; callers go by the order of names.
    pub(crate) fn tensor(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
        self.bytes(name.as_bytes());
        self.bytes(dtype.name().as_bytes());
        self.number(shape.len());
        shape.iter().for_each(|size| self.number(*size));
        self.bytes(bytes);
    }

    /// The digest, in hexadecimal.
    fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: &str, name: &str, shape: &[usize], bytes: &[u8]) -> String {
        let mut digest = ContentDigest::of(&BTreeMap::from([(key.into(), "value".into())]));
        digest.tensor(name, Dtype::U8, shape, bytes);
        digest.hex()
    }

    #[test]
    fn everything_counts() {
        let one = digest("key", "name", &[2, 1], &[1, 2]);
        assert_eq!(one, digest("key", "name", &[2, 1], &[1, 2]));
        for other in [
            digest("kez", "name", &[2, 1], &[1, 2]),
            digest("key", "nama", &[2, 1], &[1, 2]),
            digest("key", "name", &[1, 2], &[1, 2]),
            digest("key", "name", &[2, 1], &[1, 3]),
        ] {
            assert_ne!(one, other);
        }
    }
}
