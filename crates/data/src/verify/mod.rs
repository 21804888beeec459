//! Is a copy of a dataset right? Every image and mask is read to its end and held against the
//! descriptor, so that a bad copy is found before it costs a training run or a wrong number.

mod duplicates;
mod picture;
mod reading;
mod tally;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub(crate) use picture::{MaskFile, ShownImage};
pub use tally::{ClassTally, ExpectedCount};

use crate::descriptor::Descriptor;
use crate::error::DataError;
use crate::fault::{Fault, FaultKind};
use crate::sample::{Sample, Split};

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The dataset's name.
    pub dataset: String,
    /// Where the copy lies.
    pub root: PathBuf,
    /// The test split's classes: in the descriptor's order, or by name where it lists none.
    pub classes: Vec<ClassTally>,
    /// Images of all splits.
    pub images: usize,
    /// Images that were read, each with its mask; fewer than `images` when the caller stopped.
    pub checked: usize,
    /// Masks that belong to an image.
    pub masks: usize,
    /// All that is wrong, sorted by kind and path.
    pub faults: Vec<Fault>,
}

/// How far [`verify`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Images that were read, each with its mask.
    pub done: usize,
    /// All of them.
    pub total: usize,
}

impl Verification {
    /// Whether all images were read and nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.faults.is_empty() && self.checked == self.images
    }
}

/// Checks the copy of a dataset at `root`: the test split, and the train split where there is one.
/// Reads on `threads` threads, each with one picture in memory; what is found does not depend on
/// their number.
///
/// `observe` is called on the caller's thread after each image. When it breaks, the images at hand
/// are finished and what was found so far is returned, with [`Verification::checked`] below
/// [`Verification::images`].
///
/// # Errors
/// [`DataError`] when `threads` is 0 or more than the system can start, no layout is recognised, or
/// no split can be listed. All else that is wrong is in [`Verification::faults`].
pub fn verify(
    descriptor: &Descriptor,
    root: &Path,
    threads: usize,
    observe: impl FnMut(Checked) -> ControlFlow<()>,
) -> Result<Verification, DataError> {
    let Contents { entries, mut faults, test } = Contents::of(descriptor, root)?;
    let findings = reading::read_all(&entries, descriptor.picture_format(), threads, observe)?;
    let (classes, miscounted) = tally::tally(descriptor, root, &entries);
    if test == TestSplit::Listed {
        faults.extend(miscounted);
    }
    let checked = findings.iter().flatten().count();
    faults.extend(duplicates::find(root, &entries, &findings));
    faults.extend(findings.into_iter().flatten().flat_map(|found| found.faults));
    faults.sort();
    // Both splits name an unknown class or a broken list.
    faults.dedup();
    Ok(Verification {
        dataset: descriptor.name.clone(),
        root: root.to_path_buf(),
        classes,
        images: entries.len(),
        checked,
        masks: entries.iter().filter(|entry| entry.sample.mask.is_some()).count(),
        faults,
    })
}

/// A sample and where it belongs.
struct ListedSample {
    split: Split,
    sample: Sample,
}

/// What the splits consist of, not yet read.
struct Contents {
    entries: Vec<ListedSample>,
    faults: Vec<Fault>,
    test: TestSplit,
}

/// Whether the test split could be listed; if not, its counts say nothing.
#[derive(PartialEq, Eq)]
enum TestSplit {
    Listed,
    Failed,
}

impl Contents {
    /// One split that cannot be listed does not hide the other. A train split that is not there is
    /// no fault: many datasets have none, and what is wrong with a list the test split says.
    fn of(descriptor: &Descriptor, root: &Path) -> Result<Self, DataError> {
        let scan = |split| descriptor.scan(root, split);
        let (test, train) = match (scan(Split::Test), scan(Split::Train)) {
            (Err(error), Err(_)) => return Err(error),
            scans => scans,
        };
        let mut contents =
            Self { entries: Vec::new(), faults: Vec::new(), test: TestSplit::Listed };
        for (split, scan) in [(Split::Test, test), (Split::Train, train)] {
            match scan {
                Ok(scan) => {
                    let entry = |sample| ListedSample { split, sample };
                    contents.entries.extend(scan.samples.into_iter().map(entry));
                    contents.faults.extend(scan.faults);
                }
                Err(DataError::Layout { .. } | DataError::BadFile { .. })
                    if split == Split::Train => {}
                Err(error) => {
                    contents.faults.push(not_listed(root, &error));
                    if split == Split::Test {
                        contents.test = TestSplit::Failed;
                    }
                }
            }
        }
        Ok(contents)
    }
}

fn not_listed(root: &Path, error: &DataError) -> Fault {
    let (kind, path) = match error {
        DataError::BadFile { path, .. } => (FaultKind::BadListing, path.as_path()),
        DataError::Layout { path, .. } => (FaultKind::MissingClass, path.as_path()),
        DataError::Unreadable { path, .. } => (FaultKind::Unreadable, path.as_path()),
        _ => (FaultKind::Unreadable, root),
    };
    picture::fault_of(kind, path, error)
}
