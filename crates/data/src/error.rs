//! The one error type of this crate: every message names the file or setting at fault and says what
//! to do, in one line.

use std::path::{Path, PathBuf};

use crate::sample::ImageSize;

/// What can be wrong with data. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder could not be read.
    #[error("{}: cannot be read: {reason}; check that it exists and that you may read it", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file could not be written.
    #[error("{}: cannot be written: {reason}; check that its folder is writable and has room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A path is not what it has to be: a folder where a file is needed, or the other way round.
    #[error("{}: {found}, where {needed} is needed", path.display())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What lies there.
        found: &'static str,
        /// What is needed there.
        needed: &'static str,
    },
    /// A file is not a picture, or a broken one.
    #[error("{}: {reason}", path.display())]
    BadImage {
        /// The picture.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A mask does not lie on its image.
    #[error(
        "{}: the mask is {mask} pixels, its image {} is {image}; a mask has the size of its image", path.display(), image_path.display()
    )]
    MaskSize {
        /// The mask.
        path: PathBuf,
        /// The mask's size.
        mask: ImageSize,
        /// The image it belongs to.
        image_path: PathBuf,
        /// The image's size.
        image: ImageSize,
    },
    /// A folder does not have the layout that it has to have.
    #[error("{}: {reason}", path.display())]
    Layout {
        /// The folder.
        path: PathBuf,
        /// What is missing or unexpected and what to do.
        reason: String,
    },
    /// A description or list of files cannot be used.
    #[error("{}: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// Where it is wrong and what to do.
        reason: String,
    },
    /// A setting is out of its range.
    #[error("{key} = {value}: {remedy}")]
    Setting {
        /// The setting's name.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it has to be.
        remedy: &'static str,
    },
    /// A picture in memory could not be resized.
    #[error("a picture of {size} pixels cannot be resized: {reason}")]
    Resize {
        /// The picture's size.
        size: ImageSize,
        /// What the resizer said.
        reason: String,
    },
    /// Samples of different shapes were put into one batch, or none at all.
    #[error("batch: {reason}")]
    Batch {
        /// What does not fit.
        reason: String,
    },
    /// A decoding thread ended before its work was done.
    #[error(
        "batch {batch}: its decoding thread stopped ({reason}); this is a fault of the program, please report it"
    )]
    Worker {
        /// The batch that was not delivered.
        batch: usize,
        /// What is known.
        reason: String,
    },
}

impl DataError {
    /// The system could not read `path`.
    pub(crate) fn unreadable(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable { path: path.to_path_buf(), reason: one_line(&reason.to_string()) }
    }

    /// The system could not write `path`.
    pub fn write(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Write { path: path.to_path_buf(), reason: one_line(&reason.to_string()) }
    }

    /// `path` is not a picture that can be used.
    pub(crate) fn bad_image(path: &Path, reason: impl AsRef<str>) -> Self {
        Self::BadImage { path: path.to_path_buf(), reason: one_line(reason.as_ref()) }
    }

    /// `path` is not a dataset folder.
    pub fn layout(path: &Path, reason: impl Into<String>) -> Self {
        Self::Layout { path: path.to_path_buf(), reason: reason.into() }
    }

    /// `path` is not the TOML that it has to be; names the line.
    pub(crate) fn bad_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before
            .map_or(String::new(), |before| format!("line {}: ", before.matches('\n').count() + 1));
        let reason = format!("{line}{}", one_line(error.message()));
        Self::BadFile { path: path.to_path_buf(), reason }
    }

    /// A setting is out of its range.
    pub fn setting(key: &'static str, value: impl ToString, remedy: &'static str) -> Self {
        Self::Setting { key, value: value.to_string(), remedy }
    }
}

/// Messages of other libraries may span lines; ours do not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
