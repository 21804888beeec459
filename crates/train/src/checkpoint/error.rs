//! What can be wrong with checkpoints: one line each.

use std::io;
use std::path::{Path, PathBuf};

use clip_vit::WeightError;
use conditions::Difference;
use moeclip::AdapterError;
use thiserror::Error;

use crate::TrainConfigError;

/// A checkpoint, or a folder of them, that cannot be used.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A setting that no policy can have.
    #[error("checkpoints: {0}")]
    Policy(#[from] TrainConfigError),
    /// The folder cannot be made, listed or cleaned.
    #[error("{}: cannot hold checkpoints: {source}; give a folder that can be written", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another run writes there at this moment.
    #[error("{}: another run writes its checkpoints there now; end it or give another folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// Checkpoints of an earlier run, where a new one was to start.
    #[error("{}: is of an earlier run; resume that run or give another folder", newest.display())]
    Occupied {
        /// The newest of them.
        newest: PathBuf,
    },
    /// Truncated, changed, or never a checkpoint.
    #[error("{}: is no whole checkpoint: {reason}; remove it or put a whole copy in its place", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Checkpoints, but not one that can be used.
    #[error("none of {count} checkpoints is whole; the newest: {newest}")]
    NoneWhole {
        /// How many there are.
        count: usize,
        /// What is wrong with the newest.
        newest: Box<CheckpointError>,
    },
    /// A checkpoint of a run that differs in more than its length.
    #[error("{}: is of another run: {difference} or another folder", file.display())]
    OtherRun {
        /// The checkpoint.
        file: PathBuf,
        /// The first condition that differs.
        difference: Box<Difference>,
    },
    /// Adapters that have left the numbers.
    #[error(
        "step {step}: {name} is not finite and not saved; older checkpoints stay, lower learning_rate"
    )]
    NotFinite {
        /// Steps made.
        step: usize,
        /// The first such tensor.
        name: String,
    },
    /// The adapters of a checkpoint do not fit the model.
    #[error(transparent)]
    Adapters(#[from] AdapterError),
    /// The system does not take the bytes.
    #[error("{}: cannot be saved: {reason}; make room or mend the folder, older checkpoints stay", file.display())]
    NotSaved {
        /// The checkpoint.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A checkpoint was saved, an older one could not be removed.
    #[error("{}: cannot be removed though a newer one is saved: {source}; remove it by hand", file.display())]
    NotRemoved {
        /// The old checkpoint.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl CheckpointError {
    /// What is wrong with a file, in the words of checkpoints.
    pub(crate) fn damaged(file: &Path, error: WeightError) -> Self {
        let reason = match error {
            WeightError::Read { source, .. } => format!("it cannot be read: {source}"),
            WeightError::Empty { .. } => "it is empty (0 bytes)".into(),
            WeightError::Folder { .. } => "it is a folder".into(),
            WeightError::Unknown { looks, .. } => format!("it is {looks}"),
            WeightError::Safetensors { reason, .. } => reason,
            other => other.to_string(),
        };
        Self::Damaged { file: file.into(), reason }
    }

    /// Why a checkpoint could not be written.
    pub(crate) fn not_saved(file: &Path, error: WeightError) -> Self {
        let reason = match error {
            WeightError::Write { source, .. } => source.to_string(),
            WeightError::Unwritable { tensor, reason, .. } => format!("{tensor}: {reason}"),
            other => other.to_string(),
        };
        Self::NotSaved { file: file.into(), reason }
    }
}
