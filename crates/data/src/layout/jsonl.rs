//! Lists of one JSON object per line, as the authors' release and AA-CLIP have them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::{ListFormat, ListSource};
use super::{LayoutKind, Scan, own_name};
use crate::error::DataError;
use crate::sample::Split;

/// One object per sample, with `image_path`, `label` (0 or 1), `class_name` and `mask_path` (null or
/// empty for none). The authors' lists name no splits and are all `test`; a `split` is heeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Jsonl {
    /// The list, relative to the root or absolute.
    pub list: PathBuf,
    /// The folder that its paths start from, relative to the root; the root by default.
    #[serde(default)]
    pub images: PathBuf,
}

impl Jsonl {
    /// A list whose paths start from the root.
    pub fn of(list: PathBuf) -> Self {
        Self { list, images: PathBuf::new() }
    }
}

impl LayoutKind for Jsonl {
    fn recognises(&self, root: &Path) -> bool {
        root.join(&self.list).is_file()
    }

    fn marks(&self) -> String {
        self.list.display().to_string()
    }

    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let (list, images) = (root.join(&self.list), root.join(&self.images));
        let format = ListFormat::Jsonl;
        ListSource { list: &list, format, images: &images, class: &own_name(root) }.scan(split)
    }
}
