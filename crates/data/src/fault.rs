//! What can be wrong with a copy of a dataset, one file at a time, each kind with a name of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::error::DataError;
use crate::folder::is_image;

/// How many faults a message names before it only counts.
const NAMED: usize = 4;

/// Kinds of faults. The names are those of `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A class has another number of images than the descriptor says.
    WrongCount,
    /// A class of the descriptor is not there.
    MissingClass,
    /// There is a class that the descriptor does not know.
    UnknownClass,
    /// A list names a file that is not there, or a line of it cannot be read.
    BadListing,
    /// An image lies where no class or defect is.
    StrayImage,
    /// A link that leads nowhere or in a circle, or DVC's note of what was never fetched, where an image
    /// or a folder of images may be meant.
    BrokenLink,
    /// A picture of a format that is not read, or under an ending that is not looked at. The one fault
    /// with which a copy can be used.
    NotRead,
    /// Masks and images whose names do not go together, as far as the description says.
    MaskNames,
    /// An anomalous image without a mask, in a set that has masks.
    MaskMissing,
    /// A mask without an image.
    ImageMissing,
    /// Two masks claim one image.
    MaskAmbiguous,
    /// An image or mask that is empty, cut off, or no picture.
    Unreadable,
    /// A 16-bit image that never uses its upper bits, and is read as nearly black.
    LowBits,
    /// An image or mask of several pages, of which the first is read.
    SeveralPages,
    /// A mask that is not of its image's size.
    MaskSize,
    /// A mask that its EXIF orientation turns otherwise than its image's turns the image.
    MaskNotTurned,
    /// A mask of an anomalous image that marks no pixel.
    MaskEmpty,
    /// A mask that marks nearly all pixels.
    MaskNearlyAll,
    /// A mask of a normal image that marks pixels.
    MaskOnNormal,
    /// A mask with more than two grey values.
    MaskNotBinary,
    /// A mask stored with loss, whose zeros are no longer zero.
    MaskLossy,
    /// The same picture in two splits, or with two labels.
    Duplicate,
}

impl FaultKind {
    /// The name in tables and `--json`, such as `mask-missing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::WrongCount => "wrong-count",
            Self::MissingClass => "missing-class",
            Self::UnknownClass => "unknown-class",
            Self::BadListing => "bad-listing",
            Self::StrayImage => "stray-image",
            Self::BrokenLink => "broken-link",
            Self::NotRead => "not-read",
            Self::MaskNames => "mask-names",
            Self::MaskMissing => "mask-missing",
            Self::ImageMissing => "image-missing",
            Self::MaskAmbiguous => "mask-ambiguous",
            Self::Unreadable => "unreadable",
            Self::LowBits => "low-bits",
            Self::SeveralPages => "several-pages",
            Self::MaskSize => "mask-size",
            Self::MaskNotTurned => "mask-not-turned",
            Self::MaskEmpty => "mask-empty",
            Self::MaskNearlyAll => "mask-nearly-all",
            Self::MaskOnNormal => "mask-on-normal",
            Self::MaskNotBinary => "mask-not-binary",
            Self::MaskLossy => "mask-lossy",
            Self::Duplicate => "duplicate",
        }
    }
}

/// One thing that is wrong with a dataset's files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// The file or folder at fault.
    pub path: PathBuf,
    /// What is wrong with it and what to do, in one line.
    pub detail: String,
}

impl Fault {
    /// A fault of `path`.
    pub fn new(kind: FaultKind, path: impl Into<PathBuf>, detail: impl Into<String>) -> Self {
        Self { kind, path: path.into(), detail: detail.into() }
    }

    /// Whether it is of what was named like an image and is not there.
    pub fn is_lost_image(&self) -> bool {
        self.kind == FaultKind::BrokenLink && is_image(&self.path)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.name(), self.path.display(), self.detail)
    }
}

/// Faults of files, noticed while they are read on any thread, for a caller to tell. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultLog(Arc<Mutex<Noticed>>);

#[derive(Debug, Default)]
struct Noticed {
    known: BTreeSet<(FaultKind, PathBuf)>,
    fresh: Vec<Fault>,
}

impl FaultLog {
    /// Remembers faults; one of a file that is known is passed over.
    pub(crate) fn note(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut faults = faults.into_iter().peekable();
        // Mostly there are none.
        if faults.peek().is_none() {
            return;
        }
        let mut noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults {
            if noticed.known.insert((fault.kind, fault.path.clone())) {
                noticed.fresh.push(fault);
            }
        }
    }

    /// Those noticed since the last time, in no order that threads keep.
    pub(crate) fn take(&self) -> Vec<Fault> {
        let mut noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut noticed.fresh)
    }
}

/// The error of a dataset that cannot be used as it is: the first few faults, relative to `root`.
pub(crate) fn refuse(root: &Path, faults: &[&Fault]) -> DataError {
    let named = faults.iter().take(NAMED).map(|fault| {
        let path = fault.path.strip_prefix(root).unwrap_or(&fault.path);
        match path.as_os_str().is_empty() {
            true => fault.detail.clone(),
            false => format!("{}: {}", path.display(), fault.detail),
        }
    });
    let mut reason = named.collect::<Vec<_>>().join("; ");
    if faults.len() > NAMED {
        reason.push_str(&format!(" and {} more", faults.len() - NAMED));
    }
    DataError::layout(root, reason)
}
