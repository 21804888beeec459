//! Pairs masks with images by name: pairing by order silently shifts every mask when one file is
//! missing.

mod misfits;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Scan;
use crate::fault::{Fault, FaultKind};
use crate::folder::name;
use crate::sample::{Label, Sample};
pub(super) use names::MaskNames;
use names::{MaskName, alike, annotation_of};

/// Where a mask lies below its folder of masks, and its name without the extension.
type Key = (PathBuf, OsString);

/// The same as text, without what does not matter.
type AlikeKey = (String, String);

/// The masks of one class. Each is given to one image at most.
#[derive(Debug, Default)]
pub(super) struct Masks {
    free: BTreeMap<Key, PathBuf>,
    alike: BTreeMap<AlikeKey, Vec<Key>>,
    faults: Vec<Fault>,
}

/// A sample, and the folders of masks in which its own may lie, the likeliest first.
pub(super) struct Unpaired {
    pub(super) sample: Sample,
    pub(super) folders: Vec<PathBuf>,
}

/// How a mask is found, the surest way first.
#[derive(Clone, Copy)]
enum Way {
    /// By the very name of a pattern.
    Exact,
    /// By one that differs in case or has one ending upon another.
    Alike,
    /// Several by numbers behind the name, or in a folder of the image's name.
    Pieces,
}

const WAYS: [Way; 3] = [Way::Exact, Way::Alike, Way::Pieces];

impl Masks {
    /// Takes in a mask that lies in `folder`. Of two masks that differ only in their extension the
    /// second is a fault.
    pub(super) fn add(&mut self, folder: PathBuf, mask: PathBuf) {
        let key = (folder, mask.file_stem().unwrap_or_default().to_owned());
        if let Some(other) = self.free.get(&key) {
            let detail = format!("two masks of one name, the other is {}; remove one", name(other));
            self.faults.push(Fault::new(FaultKind::MaskAmbiguous, mask, detail));
            return;
        }
        if let (Some(folder), Some(stem)) = (key.0.to_str(), key.1.to_str()) {
            let key_alike = (folder.to_lowercase(), alike(stem));
            self.alike.entry(key_alike).or_default().push(key.clone());
        }
        self.free.insert(key, mask);
    }

    /// Takes in what is wrong where masks lie.
    pub(super) fn add_faults(&mut self, faults: Vec<Fault>) {
        self.faults.extend(faults);
    }

    /// Gives each sample its masks: in its likeliest folder, by the first name that fits. What fits
    /// less well waits until all others are served, and normal images wait for anomalous ones.
    pub(super) fn pair(mut self, mut unpaired: Vec<Unpaired>, names: &MaskNames) -> Scan {
        let ranks = unpaired.iter().map(|u| u.folders.len()).max().unwrap_or_default();
        for way in WAYS {
            for label in [Label::Anomalous, Label::Normal] {
                for rank in 0..ranks {
                    for name in names.iter() {
                        let asking = unpaired.iter_mut().filter(|u| u.sample.label == label);
                        asking.for_each(|asking| self.offer(asking, rank, name, way));
                    }
                }
            }
        }
        self.pair_only_annotations(&mut unpaired);
        unpaired.iter().for_each(|asking| self.name_rivals(asking, names));
        self.name_misfits(&unpaired, names);
        Scan { samples: unpaired.into_iter().map(|u| u.sample).collect(), faults: self.faults }
    }

    fn offer(&mut self, asking: &mut Unpaired, rank: usize, name: &MaskName, way: Way) {
        if asking.sample.masks.is_empty()
            && let Some(folder) = asking.folders.get(rank)
        {
            let keys = self.fitting(&asking.sample.image, folder, name, way);
            // Of two names that are alike none is the one that is meant.
            if keys.len() == 1 || matches!(way, Way::Pieces) {
                asking.sample.masks = keys.iter().filter_map(|key| self.free.remove(key)).collect();
            }
        }
    }

    /// The masks that nobody has and that fit an image.
    fn fitting(&self, image: &Path, folder: &Path, name: &MaskName, way: Way) -> Vec<Key> {
        let mut keys = match way {
            Way::Exact => {
                let exact = name.exact(image).map(|stem| (folder.to_path_buf(), stem));
                exact.into_iter().collect()
            }
            Way::Alike => {
                let folder = folder.to_str().map(str::to_lowercase);
                let names = folder.iter().flat_map(|folder| {
                    name.alike(image).into_iter().map(|stem| (folder.clone(), stem))
                });
                names.filter_map(|key| self.alike.get(&key)).flatten().cloned().collect()
            }
            Way::Pieces => self.pieces(image, folder, name),
        };
        keys.sort();
        keys.dedup();
        keys.retain(|key| self.free.contains_key(key));
        keys
    }

    /// Several masks of one image: numbered ones, and what lies in a folder of the image's name.
    fn pieces(&self, image: &Path, folder: &Path, name: &MaskName) -> Vec<Key> {
        let mut keys = Vec::new();
        if let (Some(names), Some(folder)) = (name.pieces(image), folder.to_str()) {
            let start = (folder.to_lowercase(), names.start.clone());
            let beginning = self.alike.range(start.clone()..);
            let beginning = beginning
                .take_while(|((folder, name), _)| *folder == start.0 && name.starts_with(&start.1));
            let fitting = beginning.filter(|((_, name), _)| names.fit(name));
            keys.extend(fitting.flat_map(|(_, keys)| keys).cloned());
        }
        let own = folder.join(image.file_stem().unwrap_or_default());
        let inside = self.free.range((own.clone(), OsString::new())..);
        keys.extend(
            inside.take_while(|((folder, _), _)| *folder == own).map(|(key, _)| key.clone()),
        );
        keys
    }

    /// Gives the only image of a folder the masks there that are of one annotation in Label Studio, which
    /// names its tasks and not the images: with a second image nobody could tell whose they are.
    fn pair_only_annotations(&mut self, unpaired: &mut [Unpaired]) {
        let folders: BTreeSet<PathBuf> = self.free.keys().map(|key| key.0.clone()).collect();
        for folder in folders {
            let mut asking = unpaired.iter_mut().filter(|u| u.folders.contains(&folder));
            let (Some(only), None) = (asking.next(), asking.next()) else { continue };
            let is_bare = only.sample.label == Label::Anomalous && only.sample.masks.is_empty();
            let inside = self.free.keys().filter(|key| key.0 == folder);
            let annotations: BTreeSet<_> = inside.map(|key| annotation_of(&key.1)).collect();
            if is_bare && annotations.len() == 1 && !annotations.contains(&None) {
                let taken = self.free.extract_if(.., |key, _| key.0 == folder);
                only.sample.masks = taken.map(|(_, mask)| mask).collect();
            }
        }
    }

    /// Names the masks that would fit an image which has another one already.
    fn name_rivals(&mut self, asking: &Unpaired, names: &MaskNames) {
        let Some(taken) = asking.sample.masks.first() else { return };
        for folder in &asking.folders {
            for name in names.iter() {
                for way in WAYS {
                    for key in self.fitting(&asking.sample.image, folder, name, way) {
                        self.faults.extend(self.free.remove(&key).map(|r| rival(r, asking, taken)));
                    }
                }
            }
        }
    }
}

fn rival(rival: PathBuf, asking: &Unpaired, taken: &Path) -> Fault {
    let image = name(&asking.sample.image);
    let detail = format!("{image} has another mask, {}; remove one", taken.display());
    Fault::new(FaultKind::MaskAmbiguous, rival, detail)
}
