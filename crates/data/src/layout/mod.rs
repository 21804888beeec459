//! Where a dataset's images and masks lie: each way that is in use is a value, read from TOML.
//!
//! A layout turns a folder into a [`Scan`]: the samples, and every file that does not fit. Nothing is
//! decoded. [`Scan::strict`] refuses a folder with faults; `verify` lists them all.

mod benchmark;
mod csv_list;
mod folder;
mod jsonl;
mod labels_csv;
mod list;
mod masked;
mod masks;
mod meta_json;
mod split_csv;
mod tree;

use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use benchmark::benchmark_of;
pub use csv_list::CsvList;
pub use folder::Folder;
pub use jsonl::Jsonl;
pub use labels_csv::LabelsCsv;
pub use list::{ListFormat, Listing, Record};
pub use masked::Masked;
pub use meta_json::MetaJson;
pub use split_csv::SplitCsv;
pub use tree::Tree;

use crate::error::DataError;
use crate::fault::{Fault, FaultKind, refuse};
use crate::folder::name;
use crate::sample::{Sample, Split};
use masks::MaskNames;

/// One way in which datasets are laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Layout {
    /// A folder per class, split and defect, as MVTec AD has it.
    Tree(Tree),
    /// One class in named folders.
    Folder(Folder),
    /// One class whose masks say which image is normal.
    Masked(Masked),
    /// A table of classes, splits, labels, images and masks.
    SplitCsv(SplitCsv),
    /// A table of image numbers and labels.
    LabelsCsv(LabelsCsv),
    /// One JSON object per line and sample.
    Jsonl(Jsonl),
    /// One JSON document of splits, classes and samples.
    MetaJson(MetaJson),
    /// A table of one's own.
    #[serde(rename = "csv")]
    Csv(CsvList),
}

/// What a layout finds in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The samples, in an order that does not depend on the file system.
    pub samples: Vec<Sample>,
    /// Files that do not fit: unpaired, ambiguous, stray.
    pub faults: Vec<Fault>,
}

/// What every layout can do; see the methods of [`Layout`] for each.
trait LayoutKind {
    fn recognises(&self, root: &Path) -> bool;
    fn marks(&self) -> String;
    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError>;
}

impl Layout {
    /// What to try for a path that nobody described, the most telling layout first; none for a file
    /// that is no list. A file is a list, and its parent folder is the root that its paths start
    /// from: pass that to [`Layout::scan`].
    pub fn guess(path: &Path) -> Vec<Self> {
        if !path.is_file() {
            let lists = [Self::SplitCsv(SplitCsv::default()), Self::MetaJson(MetaJson::default())];
            return lists.into_iter().chain(Self::of_folders()).collect();
        }
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let list = path.file_name().unwrap_or_default().into();
        match extension.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => vec![Self::Jsonl(Jsonl::of(list))],
            "json" => vec![Self::MetaJson(MetaJson { list })],
            "csv" | "tsv" | "tab" | "txt" => match split_csv::is_one(path) {
                true => vec![Self::SplitCsv(SplitCsv { list })],
                false => vec![Self::Csv(CsvList { list })],
            },
            _ => Vec::new(),
        }
    }

    /// Those that are told by folders and the names of pictures alone.
    pub fn of_folders() -> Vec<Self> {
        let trees = [Tree::default(), Tree::mvtec_ad_2()];
        let masked = [Masked::default(), Masked::kolektor(), Masked::kolektor_2()];
        trees.map(Self::Tree).into_iter().chain(masked.map(Self::Masked)).collect()
    }

    /// Whether its keys make sense.
    ///
    /// # Errors
    /// What is wrong with which key.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (names, suffixes) = match self {
            Self::Tree(tree) => (&tree.mask_names, &tree.mask_suffixes),
            Self::Folder(folder) => (&folder.mask_names, &folder.mask_suffixes),
            Self::Masked(masked) => (&masked.mask_names, &masked.mask_suffixes),
            _ => return Ok(()),
        };
        MaskNames::new(names, suffixes).map(drop)
    }

    /// Whether `root` looks as if this layout applied, by the folders or lists that are its marks.
    pub fn recognises(&self, root: &Path) -> bool {
        self.kind().recognises(root)
    }

    /// What [`Layout::recognises`] looks for, for messages.
    pub fn marks(&self) -> String {
        self.kind().marks()
    }

    /// The samples of `split` below `root`.
    ///
    /// # Errors
    /// [`DataError`] when a folder or list cannot be read at all, or holds no sample of the split.
    /// Single files that do not fit are in [`Scan::faults`].
    pub fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        self.kind().scan(root, split)
    }

    fn kind(&self) -> &dyn LayoutKind {
        match self {
            Self::Tree(tree) => tree,
            Self::Folder(folder) => folder,
            Self::Masked(masked) => masked,
            Self::SplitCsv(list) => list,
            Self::LabelsCsv(list) => list,
            Self::Jsonl(list) => list,
            Self::MetaJson(list) => list,
            Self::Csv(list) => list,
        }
    }
}

impl Scan {
    /// The samples of a folder without faults. Pictures that are not read are none here: what lies
    /// beside a dataset's files need not be of it.
    ///
    /// # Errors
    /// [`DataError::Layout`] naming the first faults, relative to `root`.
    pub fn strict(self, root: &Path) -> Result<Vec<Sample>, DataError> {
        let is_grave = |fault: &&Fault| fault.kind != FaultKind::NotRead;
        let grave: Vec<&Fault> = self.faults.iter().filter(is_grave).collect();
        if grave.is_empty() { Ok(self.samples) } else { Err(refuse(root, &grave)) }
    }
}

/// The samples of a folder in MVTec layout, sorted by class, defect and file name; see [`Tree`].
///
/// # Errors
/// [`DataError`] when the layout is another, a class holds no image, or, in a class with a
/// `ground_truth` folder, an anomalous image has no mask or a mask no image: each is named.
pub fn scan(root: &Path, split: Split) -> Result<Vec<Sample>, DataError> {
    Tree::default().scan(root, split)?.strict(root)
}

/// The folder's own name, also where the path ends in `.` or `..`.
fn own_name(folder: &Path) -> String {
    match folder.file_name() {
        Some(_) => name(folder),
        None => folder.canonicalize().map(|path| name(&path)).unwrap_or_default(),
    }
}
