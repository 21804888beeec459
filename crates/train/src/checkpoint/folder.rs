//! The folder that checkpoints lie in: whole ones under the names of their steps, unfinished ones
//! apart from them until they are whole.
//!
//! ```text
//! checkpoints/step-00000120.safetensors    whole, synced, and never changed again
//! checkpoints/.unfinished/                 being written; what a killed run left is removed
//! checkpoints/.lock                        locked while a run lasts; a killed run lets go of it
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use clip_vit::WeightError;
use whole_file::{FolderLock, LockError};

use super::CheckpointError;

const PREFIX: &str = "step-";
const SUFFIX: &str = ".safetensors";
const UNFINISHED: &str = ".unfinished";

/// A folder held for one run.
#[derive(Debug)]
pub(crate) struct CheckpointFolder {
    path: PathBuf,
    /// Held, not used: the lock goes with the file.
    _lock: FolderLock,
}

impl CheckpointFolder {
    /// Makes the folder where it is absent, holds it, and removes what a killed run left unfinished.
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Folder { folder: path.into(), source };
        let lock = FolderLock::hold(path).map_err(|error| match error {
            LockError::Held(folder) => CheckpointError::InUse { folder },
            LockError::Folder { folder, source } => CheckpointError::Folder { folder, source },
        })?;
        remove_folder(&path.join(UNFINISHED)).map_err(failed)?;
        Ok(Self { path: path.into(), _lock: lock })
    }

    /// Where the checkpoint of a step lies, or would.
    pub(crate) fn file(&self, step: usize) -> PathBuf {
        self.path.join(format!("{PREFIX}{step:08}{SUFFIX}"))
    }

    /// The steps that have a checkpoint, whole or not, ascending.
    pub(crate) fn steps(&self) -> Result<Vec<usize>, CheckpointError> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|source| self.failed(source))? {
            let name = entry.map_err(|source| self.failed(source))?.file_name();
            steps.extend(name.to_str().and_then(step_of));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Where the checkpoint of a step is written before it is whole.
    pub(crate) fn unfinished(&self, step: usize) -> Result<PathBuf, WeightError> {
        let folder = self.path.join(UNFINISHED);
        fs::create_dir_all(&folder)
            .map_err(|source| WeightError::Write { file: folder.clone(), source })?;
        Ok(folder.join(format!("{PREFIX}{step:08}{SUFFIX}")))
    }

    /// Gives a synced file its name, for good.
    pub(crate) fn adopt(&self, unfinished: &Path, step: usize) -> Result<(), WeightError> {
        let file = self.file(step);
        whole_file::rename(unfinished, &file).map_err(|source| WeightError::Write { file, source })
    }

    fn failed(&self, source: io::Error) -> CheckpointError {
        CheckpointError::Folder { folder: self.path.clone(), source }
    }
}

/// The step that a file's name says, if it is a checkpoint's.
fn step_of(name: &str) -> Option<usize> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let step = digits.parse().ok()?;
    (format!("{step:08}") == digits).then_some(step)
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_they_are_written_are_checkpoints() {
        assert_eq!(step_of("step-00000120.safetensors"), Some(120));
        assert_eq!(step_of("step-123456789.safetensors"), Some(123_456_789));
        for other in ["step-120.safetensors", "step-00000120.pth", "step-+0000120.safetensors", "x"]
        {
            assert_eq!(step_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_folder_is_held_by_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let held = CheckpointFolder::open(folder.path()).unwrap();
        let second = CheckpointFolder::open(folder.path()).unwrap_err();
        assert!(matches!(second, CheckpointError::InUse { .. }));
        drop(held);
        assert!(CheckpointFolder::open(folder.path()).is_ok());
    }

    #[test]
    fn what_a_killed_run_left_unfinished_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(UNFINISHED).join(".weights-a1b2c3");
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, b"half a checkpoint").unwrap();
        CheckpointFolder::open(folder.path()).unwrap();
        assert!(!left.exists());
    }
}
