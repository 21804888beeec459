//! Tables that name class, split, label, image and mask of each sample.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::{ListFormat, ListSource, is_split_table};
use super::{LayoutKind, Scan, own_name};
use crate::error::DataError;
use crate::sample::Split;

/// A table with the columns `object`, `split` (train, test), `label` (normal, anomaly), `image` and
/// `mask` (may be empty). Paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SplitCsv {
    /// The table, relative to the root.
    pub list: PathBuf,
}

impl Default for SplitCsv {
    fn default() -> Self {
        Self { list: "split_csv/1cls.csv".into() }
    }
}

impl LayoutKind for SplitCsv {
    fn recognises(&self, root: &Path) -> bool {
        root.join(&self.list).is_file()
    }

    fn marks(&self) -> String {
        self.list.display().to_string()
    }

    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let list = root.join(&self.list);
        let format = ListFormat::SplitCsv;
        ListSource { list: &list, format, images: root, class: &own_name(root) }.scan(split)
    }
}

/// Whether the table at `path` has these columns.
pub(super) fn is_one(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1024).read_to_end(&mut start));
    read.is_ok() && is_split_table(&String::from_utf8_lossy(&start))
}
