//! The one error of this crate, so that a caller handles bad scores, bad shapes and unwritable
//! files in one place.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use anomaly::ScoreRule;
use conditions::Difference;

/// What can be wrong with the scores, maps and files that this crate is given. Each message is one
/// line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A score or a map holds NaN or an infinity.
    #[error(
        "{what}: value {index} is {value}, not a finite number; look for NaN in the weights or the image that gave it"
    )]
    NotFinite {
        /// Which scores: `scores`, `map`, or the class and image they belong to.
        what: String,
        /// Position in the slice.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// Two slices that belong together differ in length.
    #[error(
        "{what}: {found} values where {expected} belong; pass as many as the shape or the other slice says"
    )]
    Length {
        /// Which slice.
        what: String,
        /// The length it should have.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// A map or an image without pixels.
    #[error("{what}: the size is {width}x{height}; both sides must be at least 1 pixel")]
    EmptyPicture {
        /// Which picture.
        what: String,
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
    },
    /// A range whose ends are not finite or not in order.
    #[error(
        "range {low} to {high}: both ends must be finite and the low end must not be above the high end"
    )]
    Range {
        /// The low end.
        low: f32,
        /// The high end.
        high: f32,
    },
    /// An image record that cannot be taken into a class.
    #[error("{image}, class `{class}`: {cause}")]
    Record {
        /// The class.
        class: String,
        /// The image's name, mostly its path.
        image: String,
        /// What was wrong with it.
        cause: Box<EvalError>,
    },
    /// A class that was closed comes again.
    #[error("{image}: class `{class}` was measured already; pass the images class by class")]
    ClassOrder {
        /// The class.
        class: String,
        /// The image's name.
        image: String,
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
    /// Normal images that are too few to set a threshold by.
    #[error(
        "{found} normal images are too few for a false-positive rate of {rate}; at least {needed} are needed, or a higher rate"
    )]
    TooFewImages {
        /// Images there are.
        found: usize,
        /// Images needed.
        needed: usize,
        /// The rate asked for.
        rate: FalsePositives,
    },
    /// Numbers without a range: nothing can be calibrated by them.
    #[error(
        "the {what} of every image is {value}; look at the weights and the images, something is broken"
    )]
    Flat {
        /// Which numbers.
        what: &'static str,
        /// The one value.
        value: f32,
    },
    /// A calibration for another kind of score.
    #[error("the calibration is for scores by {calibrated:?}, not by {rule:?}; measure without it")]
    OtherRule {
        /// How its scores were made.
        calibrated: ScoreRule,
        /// How scores are made here.
        rule: ScoreRule,
    },
    /// Stored results that another build or machine made.
    #[error("{}: holds results of other conditions: {difference} or another folder", .folder.display())]
    OtherConditions {
        /// The folder of the results.
        folder: PathBuf,
        /// The first condition that differs.
        difference: Box<Difference>,
    },
    /// Pixels that do not fit into memory could not be kept in files.
    #[error(
        "{folder}: cannot keep pixel scores there ({cause}); free space, name another folder, or allow more memory"
    )]
    Workspace {
        /// The folder of the temporary files.
        folder: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// A folder for saved maps that holds something already.
    #[error("{folder}: is not empty; name a new folder, so that the maps of two runs do not mix")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder that another run writes to.
    #[error("{folder}: another run is writing to it; name a new folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A stored result that is not whole. It was removed.
    #[error("{path}: is damaged and was removed; run the same command again, it is made anew")]
    Stored {
        /// The file.
        path: PathBuf,
    },
    /// A file that could not be written. Nothing is left in its place.
    #[error(
        "{path}: cannot write ({cause}); give a file name in an existing folder that you may write to"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
}

impl EvalError {
    pub(crate) fn write(path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        Self::Write { path, cause }
    }

    pub(crate) fn setting(key: &'static str, value: impl ToString, remedy: &'static str) -> Self {
        Self::Setting { key, value: value.to_string(), remedy }
    }
}

/// Refuses NaN and infinities: no order of scores is exact with them.
pub(crate) fn require_finite(what: &str, values: &[f32]) -> Result<(), EvalError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => {
            Err(EvalError::NotFinite { what: what.to_owned(), index, value: values[index] })
        }
    }
}

/// Refuses a slice of the wrong length.
pub(crate) fn require_length(what: &str, expected: usize, found: usize) -> Result<(), EvalError> {
    if expected == found {
        return Ok(());
    }
    let what = what.to_owned();
    Err(EvalError::Length { what, expected, found })
}

/// A rate of false alarms, and of what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FalsePositives {
    /// The share of images.
    Images(f64),
    /// The share of an image's pixels.
    Pixels(f64),
}

impl fmt::Display for FalsePositives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Images(rate) => write!(f, "{rate} of the images"),
            Self::Pixels(rate) => write!(f, "{rate} of the pixels"),
        }
    }
}
