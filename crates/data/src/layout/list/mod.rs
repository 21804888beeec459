//! Lists of samples: text of unknown origin becomes records, and records become samples.
//!
//! [`ListFormat::parse`] looks at the text alone: whatever it says, the paths of its records stay
//! below the folder that they are joined to. [`ListSource`] reads the files.

mod document;
mod fields;
mod json;
mod source;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) use fields::{below, shown};
pub(super) use source::{ANOMALY, ListSource, read};
pub(super) use table::is_split_table;

use crate::error::DataError;
use crate::fault::{Fault, FaultKind};
use crate::sample::{Label, Split};

/// Most samples of one list; a list of them all fits into memory.
const MOST_SAMPLES: usize = 1_000_000;

/// How many wrongs of lines are named before the lines are only counted.
const MOST_FAULTS: usize = 1000;

/// How lists are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// A table with a header of `image`, `label` and, where wanted, `mask`, `class`, `prompt`,
    /// `defect`, `split`, `group`; further columns are passed over.
    Csv,
    /// A table with a header of `object`, `split`, `label`, `image`, `mask`.
    SplitCsv,
    /// A table with any header, whose first column says an image's name and whose second its label.
    LabelsCsv,
    /// One JSON object per line: `image_path`, `label`, `class_name`, `mask_path`.
    Jsonl,
    /// One JSON object of splits and classes: `img_path`, `mask_path`, `cls_name`, `specie_name`,
    /// `anomaly`; or Real-IAD's, which lists the samples of a split without classes between.
    MetaJson,
}

/// What a list says, line by line. Whether the files are there is another matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The samples of all splits, in the order of the list.
    pub records: Vec<Record>,
    /// Lines that cannot be read.
    pub faults: Vec<Fault>,
    /// Whose list it is, where its form tells, as in "Real-IAD's".
    pub of: Option<&'static str>,
}

/// What a list says about one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Line of the list, from 1.
    pub line: usize,
    /// The picture, relative to the folder that the list's paths start from, and below it.
    pub image: PathBuf,
    /// The masks, likewise; several are united.
    pub masks: Vec<PathBuf>,
    /// Normal or anomalous.
    pub label: Label,
    /// Which split it belongs to; `test` where the list does not say.
    pub split: Split,
    /// The class that it is scored with.
    pub class: Option<String>,
    /// The class as it stands in a prompt.
    pub prompt: Option<String>,
    /// The kind of defect.
    pub defect: Option<String>,
    /// What it has in common with others that are not independent of it.
    pub group: Option<String>,
}

impl ListFormat {
    /// Reads a list; `path` is only for messages.
    ///
    /// # Errors
    /// [`DataError::BadFile`] when the list as a whole cannot be read: its header is another, it is
    /// no JSON, or it is too long. Single lines that cannot be read are in [`Listing::faults`].
    pub fn parse(self, text: &str, path: &Path) -> Result<Listing, DataError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines =
            Collector { path, listing: Listing::default(), bad: BTreeMap::new(), unnamed: 0 };
        match self {
            Self::Csv => table::parse(text, table::OWN, &mut lines)?,
            Self::SplitCsv => table::parse(text, table::SPLIT, &mut lines)?,
            Self::LabelsCsv => table::parse_labels(text, &mut lines)?,
            Self::Jsonl => json::parse_lines(text, &mut lines)?,
            Self::MetaJson => document::parse(text, &mut lines)?,
        }
        Ok(lines.finish())
    }

    /// Whether a list of this kind can say which split a sample belongs to.
    fn names_splits(self) -> bool {
        match self {
            Self::Csv | Self::SplitCsv | Self::Jsonl | Self::MetaJson => true,
            Self::LabelsCsv => false,
        }
    }
}

/// Takes in what the lines of a list say.
struct Collector<'a> {
    path: &'a Path,
    listing: Listing,
    /// What is wrong with lines that are named, the first line of each, and how many more have it.
    bad: BTreeMap<String, BadLines>,
    /// Lines that are not named.
    unnamed: usize,
}

/// Lines with one and the same wrong.
struct BadLines {
    first: usize,
    last: usize,
    count: usize,
}

impl Collector<'_> {
    fn add(&mut self, line: usize, record: Result<Record, String>) -> Result<(), DataError> {
        match record {
            Ok(_) if self.listing.records.len() == MOST_SAMPLES => {
                let reason = format!("holds more than {MOST_SAMPLES} samples; split the list");
                return Err(self.refuse(reason));
            }
            Ok(record) => self.listing.records.push(record),
            Err(reason) => {
                let is_full = self.bad.len() == MOST_FAULTS;
                match self.bad.get_mut(&reason) {
                    Some(same) => {
                        same.last = line;
                        same.count += 1;
                    }
                    None if is_full => self.unnamed += 1,
                    None => {
                        self.bad.insert(reason, BadLines { first: line, last: line, count: 1 });
                    }
                }
            }
        }
        Ok(())
    }

    /// The list; lines that all have the same wrong are one fault.
    fn finish(mut self) -> Listing {
        let mut bad: Vec<(String, BadLines)> = self.bad.into_iter().collect();
        bad.sort_by_key(|(_, lines)| lines.first);
        for (reason, BadLines { first, last, count }) in bad {
            let others = match count - 1 {
                0 => String::new(),
                1 => format!(" (line {last} too)"),
                more => format!(" ({more} more lines too, the last is {last})"),
            };
            let fault = bad_line(self.path, first, format!("{reason}{others}"));
            self.listing.faults.push(fault);
        }
        if self.unnamed > 0 {
            let detail = format!("{} more lines cannot be read", self.unnamed);
            self.listing.faults.push(Fault::new(FaultKind::BadListing, self.path, detail));
        }
        self.listing
    }

    /// The error of a list that cannot be used as a whole.
    fn refuse(&self, reason: String) -> DataError {
        DataError::BadFile { path: self.path.to_path_buf(), reason }
    }
}

/// The fault of a line that cannot be read, or that names what is not there.
pub(super) fn bad_line(list: &Path, line: usize, reason: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::BadListing, list, format!("line {line}: {reason}"))
}
