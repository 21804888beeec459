//! Names what is left when masks are paired. Images without masks and masks without images that go
//! together by another rule are one fault, which says that rule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::names::{alike, annotation_of, pattern_of};
use super::{Key, MaskNames, Masks, Unpaired};
use crate::fault::{Fault, FaultKind};
use crate::folder::name;
use crate::sample::Label;

/// Images and masks that would go together by one pattern.
struct Misfits {
    images: Vec<PathBuf>,
    masks: Vec<PathBuf>,
}

impl Masks {
    /// The faults of anomalous images that have no mask, and of masks that no image has.
    pub(super) fn name_misfits(&mut self, unpaired: &[Unpaired], names: &MaskNames) {
        let is_bare =
            |u: &&Unpaired| u.sample.label == Label::Anomalous && u.sample.masks.is_empty();
        let mut bare: Vec<&Unpaired> = unpaired.iter().filter(is_bare).collect();
        let mut by_pattern: BTreeMap<String, Misfits> = BTreeMap::new();
        bare.retain(|asking| match self.by_another_name(asking) {
            None => true,
            Some((pattern, masks)) => {
                let empty = || Misfits { images: Vec::new(), masks: Vec::new() };
                let misfits = by_pattern.entry(pattern).or_insert_with(empty);
                misfits.images.push(asking.sample.image.clone());
                misfits.masks.extend(masks);
                false
            }
        });
        self.faults.extend(by_pattern.iter().map(|(pattern, misfits)| misfits.fault(pattern)));
        let mut groups: BTreeMap<&[PathBuf], Vec<&Unpaired>> = BTreeMap::new();
        bare.into_iter().for_each(|u| groups.entry(&u.folders).or_default().push(u));
        for (folders, images) in groups {
            let is_paired = |u: &Unpaired| u.folders == folders && !u.sample.masks.is_empty();
            let masks = match unpaired.iter().any(is_paired) {
                true => Vec::new(),
                false => self.take_below(folders),
            };
            match (images.as_slice(), masks.first()) {
                ([image, ..], Some(mask)) => {
                    let counts = (images.len(), masks.len());
                    self.faults.push(nothing_in_common(&image.sample.image, mask, counts));
                }
                _ => self.faults.extend(images.iter().map(|u| no_mask(&u.sample.image, names))),
            }
        }
        let free = std::mem::take(&mut self.free);
        self.faults.extend(free.into_values().map(no_image));
    }

    /// The free masks that lie in these folders or in none, taken out.
    fn take_below(&mut self, folders: &[PathBuf]) -> Vec<PathBuf> {
        let is_below = |(folder, _): &Key| {
            folder.as_os_str().is_empty() || folders.iter().any(|f| folder.starts_with(f))
        };
        self.free.extract_if(.., |key, _| is_below(key)).map(|(_, mask)| mask).collect()
    }

    /// The masks in whose names the image's stands, taken out, and the pattern that they follow.
    fn by_another_name(&mut self, asking: &Unpaired) -> Option<(String, Vec<PathBuf>)> {
        let stem = asking.sample.image.file_stem()?.to_str()?;
        let stem = alike(stem);
        let mut found: Vec<(Key, String)> = Vec::new();
        for folder in &asking.folders {
            let inside = self.free.keys().filter(|(other, _)| other == folder);
            found.extend(inside.filter_map(|key| {
                let mask = key.1.to_str()?;
                // Of what follows, a description has the letters as they are.
                let pattern = pattern_of(mask, asking.sample.image.file_stem()?.to_str()?);
                Some((key.clone(), pattern.or_else(|| pattern_of(&alike(mask), &stem))?))
            }));
            if !found.is_empty() {
                break;
            }
        }
        let pattern = common_pattern(found.iter().map(|(_, pattern)| pattern.as_str()))?;
        Some((pattern, found.iter().filter_map(|(key, _)| self.free.remove(key)).collect()))
    }
}

impl Misfits {
    fn fault(&self, pattern: &str) -> Fault {
        let (images, masks) = (self.images.len(), self.masks.len());
        let (image, mask) = (self.images.first(), self.masks.first());
        let (image, mask) = (image.cloned().unwrap_or_default(), mask.cloned().unwrap_or_default());
        let others = match images {
            1 if masks == 1 => String::new(),
            1 => format!(" ({masks} masks in all)"),
            _ => format!(" ({images} images and {masks} masks in all)"),
        };
        let detail = format!(
            "may be the mask of {}{others}, which has none by its name; say mask-names = \
             [\"{pattern}\"] in the layout of a dataset.toml, or rename it",
            name(&image)
        );
        Fault::new(FaultKind::MaskNames, mask, detail)
    }
}

/// The one pattern of several: what they have in common, with `*` for the rest of it.
fn common_pattern<'a>(mut patterns: impl Iterator<Item = &'a str>) -> Option<String> {
    let first = patterns.next()?;
    let mut others = patterns.peekable();
    if others.peek().is_none() {
        return Some(first.to_owned());
    }
    let common = others.fold(first, |common, other| {
        let alike = common.char_indices().zip(other.chars()).take_while(|((_, a), b)| a == b);
        let end = alike.last().map_or(0, |((at, c), _)| at + c.len_utf8());
        &common[..end]
    });
    // Numbers that begin alike, as 10 and 11 do, end where the first may differ.
    let common = common.trim_end_matches(|c: char| c.is_ascii_digit());
    common.contains("STEM").then(|| format!("{common}*"))
}

fn nothing_in_common(image: &Path, mask: &Path, (images, masks): (usize, usize)) -> Fault {
    let exported = match annotation_of(mask.file_stem().unwrap_or_default()) {
        Some(_) => "Label Studio names its tasks and not the images: ",
        None => "",
    };
    let detail = format!(
        "is named after no image, and {} has no mask ({images} anomalous images and {masks} masks in \
         all, none go together); {exported}rename the masks, say mask-names in the layout of a \
         dataset.toml, or pair them in a table with the columns image, label and mask",
        name(image)
    );
    Fault::new(FaultKind::MaskNames, mask, detail)
}

fn no_mask(image: &Path, names: &MaskNames) -> Fault {
    let detail = format!("no mask ({}) for this anomalous image; add it", names.shown());
    Fault::new(FaultKind::MaskMissing, image, detail)
}

fn no_image(mask: PathBuf) -> Fault {
    Fault::new(FaultKind::ImageMissing, mask, "no image for the mask; add it or remove the mask")
}
