//! Documents of splits, classes and samples, as AnomalyCLIP and those after it generate.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::{ListFormat, ListSource};
use super::{LayoutKind, Scan, own_name};
use crate::error::DataError;
use crate::sample::Split;

/// `{"train": {CLASS: [..]}, "test": {CLASS: [..]}}` of samples with `img_path`, `mask_path`,
/// `cls_name`, `specie_name` and `anomaly`. Paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetaJson {
    /// The document, relative to the root or absolute.
    pub list: PathBuf,
}

impl Default for MetaJson {
    fn default() -> Self {
        Self { list: "meta.json".into() }
    }
}

impl LayoutKind for MetaJson {
    fn recognises(&self, root: &Path) -> bool {
        root.join(&self.list).is_file()
    }

    fn marks(&self) -> String {
        self.list.display().to_string()
    }

    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let list = root.join(&self.list);
        let format = ListFormat::MetaJson;
        ListSource { list: &list, format, images: root, class: &own_name(root) }.scan(split)
    }
}
