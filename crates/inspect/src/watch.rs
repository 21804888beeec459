//! What a caller hears of work while it is done, and how it ends work early: values, no printing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

/// Asks work to end early. Copies are of one and the same.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Asks whoever works with a copy to end. What was learned until then is kept.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked to end.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Hears of work as it is done.
pub trait Watcher {
    /// Something was assumed, or is not as it should be, and the work goes on.
    fn warn(&mut self, warning: Warning);

    /// Work of so many units begins.
    fn begin(&mut self, work: WorkKind, units: usize);

    /// One unit is done; `said` tells of it.
    fn advance(&mut self, said: String);

    /// The work that began last is over.
    fn end(&mut self);

    /// A line that tells where work stands that has no units, such as a run of a grid.
    fn report(&mut self, line: &str);

    /// What ends the work early.
    fn cancellation(&self) -> Cancellation;

    /// Whether the work is to end early.
    fn is_cancelled(&self) -> bool {
        self.cancellation().is_asked()
    }
}

/// Hears nothing and cancels nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn warn(&mut self, _: Warning) {}

    fn begin(&mut self, _: WorkKind, _: usize) {}

    fn advance(&mut self, _: String) {}

    fn end(&mut self) {}

    fn report(&mut self, _: &str) {}

    fn cancellation(&self) -> Cancellation {
        Cancellation::default()
    }
}

/// Work that takes a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// Files are hashed; mostly over at once.
    Hashing,
    /// Images are looked at.
    Images,
    /// Tiles of an image are looked at.
    Tiles,
    /// Stored results are counted; mostly over at once.
    Counting,
    /// Steps of training are made.
    Steps,
}

impl WorkKind {
    /// What its units are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hashing => "hashing",
            Self::Images => "images",
            Self::Tiles => "tiles",
            Self::Counting => "counting",
            Self::Steps => "training",
        }
    }

    /// Whether it is mostly over at once.
    pub fn is_short(self) -> bool {
        matches!(self, Self::Hashing | Self::Counting)
    }
}

/// How bad a [`Warning`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something to know.
    Note,
    /// Something went wrong, and the work goes on without it.
    Warning,
}

/// Something that was assumed or is not as it should be. Its text is one line that says what to do.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Warning {
    /// Nobody says how many heads a tower has.
    #[error(
        "neither the file nor a config beside it names the heads of its {tower} tower; {heads}, its \
         width / 64, are used (--{tower}-heads changes them)"
    )]
    GuessedHeads {
        /// `vision` or `text`.
        tower: String,
        /// What is used.
        heads: usize,
    },
    /// A CLIP does not say its activation.
    #[error(
        "the file does not name its activation; {activation} is used, {because} (--activation changes \
         it)"
    )]
    GuessedActivation {
        /// What is used.
        activation: String,
        /// Why this one.
        because: &'static str,
    },
    /// A checkpoint cannot be saved or read.
    #[error("{reason}")]
    Checkpoint {
        /// What is wrong, and what follows.
        reason: String,
    },
    /// A log cannot be written or drawn.
    #[error("{reason}")]
    Log {
        /// What is wrong, and what follows.
        reason: String,
    },
    /// The authors' files of adapters leave settings out.
    #[error(
        "the authors' format does not name taps, top-k and alpha; used are {taps:?}, {top_k} and \
         {alpha} (--taps, --top-k, --alpha change them)"
    )]
    AssumedSettings {
        /// Layers with a mixture.
        taps: Vec<usize>,
        /// Experts asked per token.
        top_k: usize,
        /// Their strength.
        alpha: f64,
    },
    /// A folder looks like a known dataset.
    #[error("{} is read as {dataset} (--as changes it)", .folder.display())]
    ReadAs {
        /// The folder.
        folder: PathBuf,
        /// The dataset.
        dataset: String,
    },
    /// A copy of a dataset has other counts than it was published with.
    #[error(
        "{dataset} has {found} test images here and {expected} as published; `cargo xtask datasets \
         verify` says which"
    )]
    OtherCount {
        /// The dataset.
        dataset: String,
        /// Images here.
        found: usize,
        /// Images as published.
        expected: usize,
    },
    /// Files that look like pictures and are passed over.
    #[error(
        "{}: pictures that are not read: {endings}; convert them to PNG, or rename those that are PNG, \
         JPEG, BMP, TIFF, WebP, GIF or PNM",
        .folder.display()
    )]
    NotRead {
        /// Where they lie.
        folder: PathBuf,
        /// How many of which ending.
        endings: String,
    },
    /// A file is not as it should be.
    #[error("{fault}")]
    Fault {
        /// Its kind, the file, what is wrong with it and what to do.
        fault: String,
    },
    /// There are more such files than are named.
    #[error("{more} more faults; `cargo xtask datasets verify` names all")]
    MoreFaults {
        /// How many.
        more: usize,
    },
    /// A folder is a dataset, though a class was named.
    #[error(
        "{} is read as it is without --class, by {layout}: its images and no masks; --class only says \
         what they show",
        .folder.display()
    )]
    ReadByLayout {
        /// The folder.
        folder: PathBuf,
        /// What its layout is known by.
        layout: String,
    },
    /// A folder of images has a dataset within, whose masks are no images.
    #[error(
        "{} is a dataset of its own, by {layout}; {files} masks or other files of it are left out",
        .folder.display()
    )]
    MasksLeftOut {
        /// The dataset's folder.
        folder: PathBuf,
        /// What its layout is known by.
        layout: String,
        /// How many files are left out.
        files: usize,
    },
    /// There is no train split.
    #[error(
        "{} has no train split; its normal test images are calibrated on, and cannot be measured on",
        .folder.display()
    )]
    CalibratedOnTest {
        /// The dataset's folder.
        folder: PathBuf,
    },
    /// Only normal images are calibrated on.
    #[error("{images} anomalous images are left out")]
    AnomalousLeftOut {
        /// How many.
        images: usize,
    },
    /// Images that adapters know say little of others.
    #[error(
        "the adapters were trained on {images} of these images; on others more may lie above the \
         thresholds"
    )]
    CalibratedOnTrained {
        /// How many.
        images: usize,
    },
    /// Images that are not independent.
    #[error(
        "these images come in groups, such as patients; the intervals take them as independent and are \
         too narrow"
    )]
    Grouped,
    /// A calibration is of other classes than those that are looked at.
    #[error(
        "the adapters are calibrated on images of {calibrated}, not of {others}; how many false alarms \
         there are is not known for these"
    )]
    OtherClasses {
        /// Those of the calibration.
        calibrated: String,
        /// Those that it does not know.
        others: String,
    },
    /// A calibration is of whole images.
    #[error("the calibration is of images seen whole; tiles are given no verdict")]
    TilesNotJudged,
    /// What other ingredients made is kept, and made again.
    #[error("{run} was made of other settings, data or CLIP; that is now {}", .aside.display())]
    SetAside {
        /// The run.
        run: String,
        /// Where it is kept.
        aside: PathBuf,
    },
    /// Stored results that are not of this benchmark.
    #[error(
        "{dataset}, {method}: stored results of other weights or settings are left alone, and not used"
    )]
    OtherResults {
        /// The dataset.
        dataset: String,
        /// The method.
        method: String,
    },
    /// A list was replaced, and with it went what it named.
    #[error(
        "{}: {files} files of an earlier run are removed; predictions.jsonl no longer names them",
        .folder.display()
    )]
    EarlierRemoved {
        /// The folder.
        folder: PathBuf,
        /// How many.
        files: usize,
    },
    /// Maps that belong to no list.
    #[error(
        "{}: there are other maps or overlays, such as {}, that predictions.jsonl does not name",
        .folder.display(), .first.display()
    )]
    Unlisted {
        /// The folder.
        folder: PathBuf,
        /// One of them.
        first: PathBuf,
    },
    /// Another process holds the folder.
    #[error("waiting for another bench-14, or what a killed one left, to end")]
    WaitingForLock,
    /// An image could not be measured, and the dataset goes on without it.
    #[error("{dataset}: {reason}")]
    Unread {
        /// The dataset.
        dataset: String,
        /// Why.
        reason: String,
    },
    /// A cache cannot be used; what it holds is computed again.
    #[error("{reason}")]
    Cache {
        /// What is wrong with it.
        reason: String,
    },
}

impl Warning {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Cache { .. }
            | Self::Checkpoint { .. }
            | Self::Log { .. }
            | Self::Unread { .. }
            | Self::NotRead { .. }
            | Self::Fault { .. }
            | Self::MoreFaults { .. } => Severity::Warning,
            _ => Severity::Note,
        }
    }
}
