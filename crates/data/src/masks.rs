//! Pairs masks with images by name: pairing by order silently shifts every mask when one file is
//! missing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::folder::{folders_in, images_in, name};
use crate::sample::{Label, Sample};

/// How many names a message lists before it only counts.
const NAMED: usize = 4;

/// Masks by the name of their defect folder and their own stem.
type Masks = BTreeMap<(String, OsString), PathBuf>;

/// Gives each sample of one class its mask from `ground_truth`; `class` shortens the names in
/// messages.
///
/// # Errors
/// [`DataError::Layout`] naming anomalous images without a mask, masks without an image, and masks
/// that two files claim.
pub(crate) fn pair(
    samples: &mut [Sample],
    class: &Path,
    ground_truth: &Path,
) -> Result<(), DataError> {
    let mut masks = find(class, ground_truth)?;
    let mut without_mask = Vec::new();
    for sample in samples {
        let stem = sample.image.file_stem().unwrap_or_default();
        let mask = take(&mut masks, &sample.defect, stem);
        if mask.is_none() && sample.label == Label::Anomalous {
            without_mask.push(sample.image.as_path());
        }
        sample.mask = mask;
    }
    let without_image: Vec<&Path> = masks.values().map(PathBuf::as_path).collect();
    report(class, &without_mask, &without_image)
}

fn find(class: &Path, ground_truth: &Path) -> Result<Masks, DataError> {
    let mut masks = Masks::new();
    for defect in folders_in(ground_truth)? {
        for mask in images_in(&defect)? {
            let stem = mask.file_stem().unwrap_or_default().to_owned();
            if let Some(other) = masks.insert((name(&defect), stem), mask.clone()) {
                let pair = list(class, &[&other, &mask]);
                let reason = format!("two masks of one name: {pair}; remove one");
                return Err(DataError::layout(class, reason));
            }
        }
    }
    Ok(masks)
}

/// `STEM_mask` before `STEM`. A mask is taken once, so of two images of one stem the second goes
/// without and is named.
fn take(masks: &mut Masks, defect: &str, stem: &OsStr) -> Option<PathBuf> {
    let mut marked = stem.to_owned();
    marked.push("_mask");
    masks
        .remove(&(defect.to_owned(), marked))
        .or_else(|| masks.remove(&(defect.to_owned(), stem.to_owned())))
}

fn report(class: &Path, images: &[&Path], masks: &[&Path]) -> Result<(), DataError> {
    let mut faults = Vec::new();
    if !images.is_empty() {
        let names = list(class, images);
        faults.push(format!("no mask (STEM_mask.png or STEM.png) in ground_truth for {names}"));
    }
    if !masks.is_empty() {
        faults.push(format!("no image for the mask {}", list(class, masks)));
    }
    if faults.is_empty() {
        return Ok(());
    }
    let reason = format!("{}; add or remove the files named", faults.join("; "));
    Err(DataError::layout(class, reason))
}

/// The first few paths, relative to the class.
fn list(class: &Path, paths: &[&Path]) -> String {
    let shown = paths
        .iter()
        .take(NAMED)
        .map(|path| path.strip_prefix(class).unwrap_or(path).display().to_string());
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if paths.len() > NAMED {
        text.push_str(&format!(" and {} more", paths.len() - NAMED));
    }
    text
}
