//! The MVTec layout: `ROOT/CLASS/test/{good,DEFECT}/*.png` with masks in
//! `ROOT/CLASS/ground_truth/DEFECT/`.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::folder::{folders_in, images_in, name};
use crate::masks;
use crate::sample::{Label, Sample};

const GOOD: &str = "good";
const GROUND_TRUTH: &str = "ground_truth";

/// Which part of a dataset. The method trains and measures on `test`, of different datasets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// Normal images only; masks are not looked for.
    Train,
    /// Normal and anomalous images, with masks where the class has them.
    #[default]
    Test,
}

impl Split {
    /// The folder of this split.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// The samples of a folder in MVTec layout, sorted by class, defect and file name.
///
/// `root` holds the classes or is itself one. Masks pair by name
/// (`ground_truth/DEFECT/STEM_mask.png` or `STEM.png`), never by order. A class without a
/// `ground_truth` folder has no masks.
///
/// # Errors
/// [`DataError`] when the layout is another, a class holds no image, or, in a class with a
/// `ground_truth` folder, an anomalous image has no mask or a mask no image: each is named.
pub fn scan(root: &Path, split: Split) -> Result<Vec<Sample>, DataError> {
    let mut samples = Vec::new();
    for class in class_folders(root, split)? {
        samples.extend(scan_class(&class, split)?);
    }
    Ok(samples)
}

fn class_folders(root: &Path, split: Split) -> Result<Vec<PathBuf>, DataError> {
    if root.is_file() {
        return Err(DataError::WrongKind {
            path: root.to_path_buf(),
            found: "a file",
            needed: "a dataset folder",
        });
    }
    if root.join(split.folder()).is_dir() {
        return Ok(vec![root.to_path_buf()]);
    }
    let mut classes = folders_in(root)?;
    classes.retain(|class| class.join(split.folder()).is_dir());
    if classes.is_empty() {
        let split = split.folder();
        let reason = format!(
            "no {split}/ or CLASS/{split}/ folder here; the MVTec layout is CLASS/{split}/{{good,DEFECT}}/*.png"
        );
        return Err(DataError::layout(root, reason));
    }
    Ok(classes)
}

fn scan_class(class: &Path, split: Split) -> Result<Vec<Sample>, DataError> {
    let folder = class.join(split.folder());
    if let Some(stray) = images_in(&folder)?.first() {
        let reason =
            format!("{} lies in no defect folder; move it to good/ or DEFECT/", name(stray));
        return Err(DataError::layout(&folder, reason));
    }
    let class_name = class_name(class);
    let mut samples = Vec::new();
    for defect in folders_in(&folder)? {
        let images = images_in(&defect)?;
        samples.extend(images.into_iter().map(|image| sample(image, &class_name, &name(&defect))));
    }
    if samples.is_empty() {
        return Err(DataError::layout(&folder, "no image in good/ or any DEFECT/ folder here"));
    }
    let ground_truth = class.join(GROUND_TRUTH);
    if split == Split::Test && ground_truth.is_dir() {
        masks::pair(&mut samples, class, &ground_truth)?;
    }
    Ok(samples)
}

fn sample(image: PathBuf, class: &str, defect: &str) -> Sample {
    let normal = defect.eq_ignore_ascii_case(GOOD);
    Sample {
        image,
        mask: None,
        class: class.to_owned(),
        label: if normal { Label::Normal } else { Label::Anomalous },
        defect: defect.to_owned(),
    }
}

/// The folder's own name, also where the path ends in `.` or `..`.
fn class_name(class: &Path) -> String {
    match class.file_name() {
        Some(_) => name(class),
        None => class.canonicalize().map(|path| name(&path)).unwrap_or_default(),
    }
}
