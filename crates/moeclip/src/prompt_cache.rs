//! Prompt features on disk: with all of them there, a run loads no text tower at all.
//!
//! An entry holds the frozen features of one class in one state. It is found by everything that
//! decides them: the CLIP, its text tower's sizes, precision, backend, the prompts word by word, the
//! kernels, and the version of the code that encodes. So it can be neither stale nor of something else; it is
//! used only if its checksum holds, and what is damaged is encoded again. Entries that were used
//! longest ago go when the folder holds too many.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use burn::tensor::TensorData;
use clip_vit::weights::write::{HostTensor, write_safetensors};
use clip_vit::{ClipSpec, Precision, TensorFile, WeightError};
use conditions::{Condition, Conditions, Purpose};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Raised when tokenizer or text tower change what they make of a prompt.
const ENCODING: u32 = 2;
const FORMAT: &str = "moeclip-prompts";
const FEATURES: &str = "features";
const EXTENSION: &str = "prompts";
/// Entries that a folder holds at most when it is opened; about 60 KB each for a ViT-L.
const LIMIT: usize = 4096;

/// Whose features a cache keeps: what neither prompts nor sizes show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptOrigin {
    /// SHA-256 of the CLIP's own file, before any conversion.
    pub clip_sha256: String,
    /// Backend and device, as the caller calls them: another one rounds differently.
    pub backend: String,
    /// What every purpose asks, of which kernels and numbers version count here.
    pub shared: Conditions,
}

/// A folder of encoded prompts.
#[derive(Debug)]
pub struct PromptCache {
    folder: PathBuf,
    origin: PromptOrigin,
    trouble: Vec<PromptCacheError>,
}

/// What is wrong with a cache. Features are not touched by it: they were encoded again, or not kept.
#[derive(Debug, Error)]
pub enum PromptCacheError {
    /// The folder cannot be made or cleaned.
    #[error("{}: cannot hold prompt features: {source}; give a folder that can be written", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An entry that is not as it was written.
    #[error("{}: is damaged ({reason}); its prompts are encoded again", file.display())]
    Damaged {
        /// The entry.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An entry that the system does not take.
    #[error("prompt features are not kept: {0}")]
    NotKept(WeightError),
}

impl PromptCache {
    /// Opens a folder, made where it is absent.
    ///
    /// # Errors
    ///
    /// [`PromptCacheError::Folder`] when it cannot be made, written or cleaned.
    pub fn open(folder: &Path, origin: PromptOrigin) -> Result<Self, PromptCacheError> {
        let failed = |source| PromptCacheError::Folder { folder: folder.into(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        whole_file::check_writable(folder).map_err(failed)?;
        shrink(folder, LIMIT).map_err(failed)?;
        Ok(Self { folder: folder.into(), origin, trouble: Vec::new() })
    }

    /// What went wrong since the last call, to be told.
    pub fn take_trouble(&mut self) -> Vec<PromptCacheError> {
        std::mem::take(&mut self.trouble)
    }

    /// Where the features of a list of prompts are kept.
    pub(crate) fn entry(
        &self,
        clip: &ClipSpec,
        precision: Precision,
        prompts: &[String],
    ) -> PromptEntry {
        let PromptOrigin { clip_sha256, backend, shared } = &self.origin;
        let conditions = shared
            .clone()
            .with(Condition::Encoding, &ENCODING)
            .with(Condition::Version, &env!("CARGO_PKG_VERSION"))
            .with(Condition::Clip, clip_sha256)
            .with(Condition::TextTower, &clip.text)
            .with(Condition::Activation, &clip.activation)
            .with(Condition::Precision, &format!("{precision:?}"))
            .with(Condition::Backend, backend)
            .with(Condition::PromptTexts, &prompts);
        let shape = [prompts.len(), clip.text.width];
        PromptEntry::new(&conditions.of(Purpose::Prompts), shape)
    }

    /// The features kept under a key, `[prompts, text width]` in f32.
    pub(crate) fn get(&mut self, name: &PromptEntry) -> Option<TensorData> {
        let file = self.folder.join(name.file());
        if !file.exists() {
            return None;
        }
        match name.read(&file) {
            Ok(features) => {
                // Where the time cannot be set, entries go in the order in which they were written.
                let opened = File::options().write(true).open(&file);
                let _ = opened.and_then(|file| file.set_modified(SystemTime::now()));
                Some(features)
            }
            Err(reason) => {
                self.trouble.push(PromptCacheError::Damaged { file, reason });
                None
            }
        }
    }

    /// Keeps features under a key.
    pub(crate) fn put(&mut self, name: &PromptEntry, features: &TensorData) {
        if let Err(error) = name.write(&self.folder.join(name.file()), features) {
            self.trouble.push(PromptCacheError::NotKept(error));
        }
    }
}

/// Everything that decides features, in words and as a digest, and their shape.
#[derive(Debug)]
pub(crate) struct PromptEntry {
    key: String,
    digest: String,
    shape: [usize; 2],
}

impl PromptEntry {
    fn new(conditions: &Conditions, shape: [usize; 2]) -> Self {
        // Texts and numbers always have a JSON.
        let key = serde_json::to_string(conditions).unwrap_or_default();
        Self { key, digest: conditions.digest(), shape }
    }

    fn file(&self) -> String {
        format!("{}.{EXTENSION}", self.digest)
    }

    fn read(&self, path: &Path) -> Result<TensorData, String> {
        let file = TensorFile::open(path).map_err(|error| error.to_string())?;
        let said = |key: &str| file.metadata().get(key).map(String::as_str);
        if said("format") != Some(FORMAT) || said("key") != Some(&self.key) {
            return Err("it says it is of something else".into());
        }
        let values = file.stored(FEATURES).map_err(|error| error.to_string())?;
        if said("sha256") != Some(&hex(&values)) || file.shape(FEATURES) != Some(&self.shape[..]) {
            return Err("its bytes have changed since it was written".into());
        }
        file.tensor_data(FEATURES, Precision::F32).map_err(|error| error.to_string())
    }

    fn write(&self, path: &Path, features: &TensorData) -> Result<(), WeightError> {
        let unwritable = || WeightError::Unwritable {
            file: path.into(),
            tensor: FEATURES.into(),
            reason: format!("its type is {:?}", features.dtype),
        };
        let tensor = HostTensor::from_data(features).ok_or_else(unwritable)?;
        let metadata =
            [("format", FORMAT.into()), ("key", self.key.clone()), ("sha256", hex(&tensor.bytes))];
        let metadata = metadata.map(|(key, value): (&str, String)| (key.to_owned(), value));
        let tensors = BTreeMap::from([(FEATURES.to_owned(), tensor)]);
        write_safetensors(path, &tensors, &BTreeMap::from(metadata))
    }
}

/// Removes the entries used longest ago until so many are left. Another process may have removed
/// one already.
fn shrink(folder: &Path, limit: usize) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            let used = fs::metadata(&path).and_then(|metadata| metadata.modified());
            entries.push((used.unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
    }
    entries.sort();
    for (_, path) in entries.iter().take(entries.len().saturating_sub(limit)) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clip_vit::ClipSpecBuilder;

    use super::*;

    #[test]
    fn its_conditions_are_all_of_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let (clip_sha256, backend) = ("c0ffee".into(), "flex".into());
        let origin = PromptOrigin { clip_sha256, backend, shared: Conditions::here("flex") };
        let cache = PromptCache::open(folder.path(), origin).unwrap();
        let clip = ClipSpecBuilder::new().build().unwrap();
        let entry = cache.entry(&clip, Precision::F32, &["a weave".into()]);
        let conditions: Conditions = serde_json::from_str(&entry.key).unwrap();
        assert_eq!(conditions.missing(Purpose::Prompts), []);
        assert_eq!(conditions.digest(), entry.digest);
    }

    #[test]
    fn the_entries_used_longest_ago_go() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (age, name) in ["c.prompts", "a.prompts", "b.prompts", "other.txt"].iter().enumerate() {
            let file = File::create(at(name)).unwrap();
            let hours = Duration::from_secs(3600 * age as u64);
            file.set_modified(SystemTime::now() - hours).unwrap();
        }
        shrink(folder.path(), 2).unwrap();
        let left =
            ["c.prompts", "a.prompts", "b.prompts", "other.txt"].map(|name| at(name).exists());
        assert_eq!(left, [true, true, false, true]);
    }
}
