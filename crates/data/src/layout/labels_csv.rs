//! Tables of image numbers and labels: `id,hemorrhage` in the table, `000.png` beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::{ListFormat, ListSource, Listing, Record, bad_line, read, shown};
use super::{LayoutKind, Scan, own_name};
use crate::error::DataError;
use crate::folder::{FoundImages, images_below};
use crate::sample::Split;

/// A table with a header, whose first column is an image's name without extension, or its number, and
/// whose second is 0 or 1. All of it is `test`, and there are no masks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LabelsCsv {
    /// The table, relative to the root.
    pub list: PathBuf,
    /// The folder that holds the images, at any depth, relative to the root; the root by default.
    pub images: PathBuf,
    /// The class; the root's own name by default.
    pub class: Option<String>,
}

impl Default for LabelsCsv {
    fn default() -> Self {
        Self { list: "labels.csv".into(), images: PathBuf::new(), class: None }
    }
}

impl LayoutKind for LabelsCsv {
    fn recognises(&self, root: &Path) -> bool {
        root.join(&self.list).is_file() && root.join(&self.images).is_dir()
    }

    fn marks(&self) -> String {
        format!("{} with {}/", self.list.display(), self.images.display())
    }

    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let (list, images) = (root.join(&self.list), root.join(&self.images));
        let class = self.class.clone().unwrap_or_else(|| own_name(root));
        let format = ListFormat::LabelsCsv;
        let source = ListSource { list: &list, format, images: &images, class: &class };
        let mut listing = read(&list, format)?;
        let FoundImages { images: files, faults } = images_below(&images)?;
        listing = NamedImages::of(files, &images).resolve(listing, &list);
        listing.faults.extend(faults);
        source.samples(listing, split)
    }
}

/// The images of a folder by name and by number, each relative to the folder.
#[derive(Default)]
struct NamedImages {
    by_name: BTreeMap<String, Vec<PathBuf>>,
    by_number: BTreeMap<String, Vec<PathBuf>>,
}

impl NamedImages {
    fn of(images: Vec<PathBuf>, folder: &Path) -> Self {
        let mut named = Self::default();
        for image in images {
            let name = image.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let image = image.strip_prefix(folder).unwrap_or(&image).to_path_buf();
            if let Some(number) = number(&name) {
                named.by_number.entry(number.to_owned()).or_default().push(image.clone());
            }
            named.by_name.entry(name).or_default().push(image);
        }
        named
    }

    /// Puts the images in place of their names.
    fn resolve(&self, listing: Listing, list: &Path) -> Listing {
        let Listing { records, faults, of } = listing;
        let mut resolved = Listing { records: Vec::new(), faults, of };
        for record in records {
            match self.image(&record) {
                Ok(image) => resolved.records.push(Record { image: image.clone(), ..record }),
                Err(reason) => resolved.faults.push(bad_line(list, record.line, reason)),
            }
        }
        resolved
    }

    fn image(&self, record: &Record) -> Result<&PathBuf, String> {
        let name = record.image.to_string_lossy();
        let by_number = || number(&name).and_then(|number| self.by_number.get(number));
        match self.by_name.get(name.as_ref()).or_else(by_number).map_or(&[][..], Vec::as_slice) {
            [image] => Ok(image),
            [] => Err(format!("no image is called {}; add it or correct the list", shown(&name))),
            [one, other, ..] => {
                let (one, other) = (one.display(), other.display());
                Err(format!("{one} and {other} are both called {}; remove one", shown(&name)))
            }
        }
    }
}

/// A number without leading zeros, as text: numbers of any length are compared.
fn number(name: &str) -> Option<&str> {
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| name.trim_start_matches('0'))
}
