//! Pairs masks with images by name: pairing by order silently shifts every mask when one file is
//! missing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::Scan;
use crate::fault::{Fault, FaultKind};
use crate::folder::name;
use crate::sample::{Label, Sample};

/// Where a mask lies below its folder of masks, and its name without the extension.
type Key = (PathBuf, OsString);

/// The masks of one class. Each is given to one image at most.
#[derive(Debug, Default)]
pub(super) struct Masks {
    by_key: BTreeMap<Key, PathBuf>,
    faults: Vec<Fault>,
}

/// A sample, and the folders of masks in which its own may lie, the likeliest first.
pub(super) struct Unpaired {
    pub(super) sample: Sample,
    pub(super) folders: Vec<PathBuf>,
}

impl Masks {
    /// Takes in a mask that lies in `folder`. Of two masks that differ only in their extension the
    /// second is a fault.
    pub(super) fn add(&mut self, folder: PathBuf, mask: PathBuf) {
        let key = (folder, mask.file_stem().unwrap_or_default().to_owned());
        if let Some(other) = self.by_key.get(&key) {
            let detail = format!("two masks of one name, the other is {}; remove one", name(other));
            self.faults.push(Fault::new(FaultKind::MaskAmbiguous, mask, detail));
            return;
        }
        self.by_key.insert(key, mask);
    }

    /// Gives each sample its mask: in its likeliest folder, with the first suffix that fits. What
    /// fits less well waits until all others are served, and normal images wait for anomalous ones.
    pub(super) fn pair(mut self, mut unpaired: Vec<Unpaired>, suffixes: &[String]) -> Scan {
        for label in [Label::Anomalous, Label::Normal] {
            let ranks = unpaired.iter().map(|u| u.folders.len()).max().unwrap_or_default();
            for rank in 0..ranks {
                for suffix in suffixes {
                    let asking = unpaired.iter_mut().filter(|u| u.sample.label == label);
                    asking.for_each(|asking| self.offer(asking, rank, suffix));
                }
            }
        }
        for asking in &unpaired {
            self.name_rivals(asking, suffixes);
        }
        let unmasked = unpaired.iter().filter(|u| u.sample.mask.is_none());
        let unmasked = unmasked.filter(|u| u.sample.label == Label::Anomalous);
        self.faults.extend(unmasked.map(|u| no_mask(&u.sample.image, suffixes)));
        self.faults.extend(self.by_key.into_values().map(no_image));
        Scan { samples: unpaired.into_iter().map(|u| u.sample).collect(), faults: self.faults }
    }

    fn offer(&mut self, asking: &mut Unpaired, rank: usize, suffix: &str) {
        if asking.sample.mask.is_none()
            && let Some(folder) = asking.folders.get(rank)
        {
            asking.sample.mask = self.by_key.remove(&key(folder, &asking.sample.image, suffix));
        }
    }

    /// Names the masks that would fit an image which has another one already.
    fn name_rivals(&mut self, asking: &Unpaired, suffixes: &[String]) {
        let Some(taken) = &asking.sample.mask else { return };
        for folder in &asking.folders {
            for suffix in suffixes {
                if let Some(rival) = self.by_key.remove(&key(folder, &asking.sample.image, suffix))
                {
                    let image = name(&asking.sample.image);
                    let detail =
                        format!("{image} has another mask, {}; remove one", taken.display());
                    self.faults.push(Fault::new(FaultKind::MaskAmbiguous, rival, detail));
                }
            }
        }
    }
}

fn key(folder: &Path, image: &Path, suffix: &str) -> Key {
    let mut stem = image.file_stem().unwrap_or(OsStr::new("")).to_owned();
    stem.push(suffix);
    (folder.to_path_buf(), stem)
}

fn no_mask(image: &Path, suffixes: &[String]) -> Fault {
    let names: Vec<String> = suffixes.iter().map(|suffix| format!("STEM{suffix}.png")).collect();
    let detail = format!("no mask ({}) for this anomalous image; add it", names.join(" or "));
    Fault::new(FaultKind::MaskMissing, image, detail)
}

fn no_image(mask: PathBuf) -> Fault {
    Fault::new(FaultKind::ImageMissing, mask, "no image for the mask; add it or remove the mask")
}
