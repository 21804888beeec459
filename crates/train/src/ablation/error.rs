//! What can be wrong with a grid and with the folders of its runs, in one line each.

use std::io;
use std::path::PathBuf;

use conditions::Difference;
use thiserror::Error;

/// A grid that cannot be run, or a folder that cannot be used.
#[derive(Debug, Error)]
pub enum AblationError {
    /// The grid, or its base, says something that cannot be.
    #[error("{}: {reason}", .file.display())]
    Grid {
        /// The grid's file.
        file: PathBuf,
        /// Cell, key and remedy.
        reason: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}; check that it exists and is yours to read and write", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A run that was made by another build or machine.
    #[error("{}: holds a run of other conditions: {difference} or another folder", .folder.display())]
    OtherConditions {
        /// The run's folder.
        folder: PathBuf,
        /// The first condition that differs.
        difference: Box<Difference>,
    },
}
