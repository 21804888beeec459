//! What can be wrong with a log: one line each.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A log that cannot be kept.
#[derive(Debug, Error)]
pub enum LogError {
    /// The log of an earlier run, where a new one was to start.
    #[error("{}: is of an earlier run; resume that run or give another folder", file.display())]
    Occupied {
        /// Its lines.
        file: PathBuf,
    },
    /// The lines cannot be read back.
    #[error("{}: cannot be read: {source}; mend or remove it", file.display())]
    Read {
        /// The lines.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not take the bytes.
    #[error("{}: cannot be written: {source}; make room or give another folder", file.display())]
    Write {
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The losses could not be drawn.
    #[error("{}: cannot be drawn: {reason}; the numbers are in the log's other files", file.display())]
    Plot {
        /// The picture.
        file: PathBuf,
        /// What the drawing says.
        reason: String,
    },
}
