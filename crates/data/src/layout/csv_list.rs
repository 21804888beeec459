//! Tables of one's own: any images, with what is known about each.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::{ListFormat, ListSource};
use super::{LayoutKind, Scan, own_name};
use crate::error::DataError;
use crate::sample::Split;

/// A table with the columns `image` and `label` (normal or good, anomalous or anomaly, 0 or 1) and, as
/// far as wanted, `mask`, `class` (else the root's own name), `prompt`, `defect`, `split` (train or
/// test, else test) and `group`. Paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CsvList {
    /// The table, relative to the root or absolute.
    pub list: PathBuf,
}

impl LayoutKind for CsvList {
    fn recognises(&self, root: &Path) -> bool {
        root.join(&self.list).is_file()
    }

    fn marks(&self) -> String {
        self.list.display().to_string()
    }

    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let list = root.join(&self.list);
        let format = ListFormat::Csv;
        ListSource { list: &list, format, images: root, class: &own_name(root) }.scan(split)
    }
}
