//! One class in named folders: the layout of flat image and mask pairs, of medical sets with their own
//! folder names, and of anybody's own images.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::{ANOMALY, below};
use super::masks::{MaskNames, Masks, Unpaired};
use super::{LayoutKind, Scan, own_name};
use crate::error::DataError;
use crate::fault::Fault;
use crate::folder::{FoundImages, by_ending, images_below, name};
use crate::sample::{Label, Sample, Split};

/// One class in folders that are named by kind. All are relative to the root (`.` is the root itself)
/// and searched with all folders below them, except those that are named on their own.
///
/// The mask of `DIR/SUB/STEM.png` is `SUB/STEM.png` in a folder of masks, or lies there below the
/// folder's name or its last part: `DIR/SUB/STEM.png`. Several masks of one image are united:
/// `STEM_mask_0.png` and so on, or all of a folder `STEM/`. A normal image is given a mask only from a
/// folder of its own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Folder {
    /// The class; the root's own name by default.
    pub class: Option<String>,
    /// Folders of normal images of the test split.
    pub normal: Vec<String>,
    /// Folders of anomalous images of the test split.
    pub anomalous: Vec<String>,
    /// Folders of normal images of the train split.
    pub train: Vec<String>,
    /// Folders of masks; none where there are no masks at all.
    pub masks: Vec<String>,
    /// What a mask's name has behind the name of its image, the first that fits.
    pub mask_suffixes: Vec<String>,
    /// What a mask is called, without its ending, in place of the suffixes: `mask_STEM` where `STEM`
    /// is the name of its image without ending, `NAME` with it; `STEM_*` for several masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mask_names: Vec<String>,
}

impl Default for Folder {
    fn default() -> Self {
        Self {
            class: None,
            normal: Vec::new(),
            anomalous: Vec::new(),
            train: Vec::new(),
            masks: Vec::new(),
            mask_suffixes: vec!["_mask".into(), String::new()],
            mask_names: Vec::new(),
        }
    }
}

impl LayoutKind for Folder {
    /// A folder that may not be named is not looked for: scanning says what is wrong with it.
    fn recognises(&self, root: &Path) -> bool {
        let is_there = |text: &str| below(text).map_or(true, |folder| root.join(folder).is_dir());
        !self.tested().is_empty() && self.marked().into_iter().all(is_there)
    }

    fn marks(&self) -> String {
        match self.tested().is_empty() {
            true => "a normal or anomalous folder (name one)".into(),
            false => format!("{}/", self.marked().join("/ + ")),
        }
    }

    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let folders = Folders::of(self, root)?;
        let names = MaskNames::at(root, &self.mask_names, &self.mask_suffixes)?;
        let class = self.class.clone().unwrap_or_else(|| own_name(root));
        let parts: &[(&[PathBuf], Label)] = match split {
            Split::Train => &[(&folders.train, Label::Normal)],
            Split::Test => {
                &[(&folders.normal, Label::Normal), (&folders.anomalous, Label::Anomalous)]
            }
        };
        let (mut unpaired, mut faults) = (Vec::new(), Vec::new());
        for (dirs, label) in parts {
            // A copy without its train split is still one to test on.
            let is_there = |dir: &&PathBuf| split == Split::Test || root.join(dir).is_dir();
            for dir in dirs.iter().filter(is_there) {
                let images = folders.images_of(dir, &mut faults)?;
                unpaired.extend(images.into_iter().map(|i| i.unpaired(dir, &class, *label)));
            }
        }
        if unpaired.is_empty() {
            let mut reason =
                format!("no image of the split {} in {}", split.name(), self.named(split));
            if !faults.is_empty() {
                let others = by_ending(faults.iter().map(|fault| fault.path.as_path()));
                reason.push_str(&format!("; not read there: {others}"));
            }
            return Err(DataError::layout(root, reason));
        }
        if split == Split::Train || folders.masks.is_empty() {
            let samples = unpaired.into_iter().map(|u| u.sample).collect();
            return Ok(Scan { samples, faults });
        }
        let mut paired = folders.masks(&mut faults)?.pair(unpaired, &names);
        paired.faults.append(&mut faults);
        Ok(paired)
    }
}

impl Folder {
    fn tested(&self) -> Vec<&str> {
        self.normal.iter().chain(&self.anomalous).map(String::as_str).collect()
    }

    /// What a copy in this layout has: masks tell repacks apart that differ in nothing else.
    fn marked(&self) -> Vec<&str> {
        self.tested().into_iter().chain(self.masks.iter().map(String::as_str)).collect()
    }

    /// The folders of a split, for messages.
    fn named(&self, split: Split) -> String {
        let folders = match split {
            Split::Train => self.train.iter().map(String::as_str).collect(),
            Split::Test => self.tested(),
        };
        match folders.is_empty() {
            true => "any folder: none is named for it".into(),
            false => format!("{}/", folders.join("/, ")),
        }
    }
}

/// The folders by kind, relative to the root and below it, each named once.
struct Folders<'a> {
    root: &'a Path,
    normal: Vec<PathBuf>,
    anomalous: Vec<PathBuf>,
    train: Vec<PathBuf>,
    masks: Vec<PathBuf>,
}

/// An image below a named folder.
struct Found {
    path: PathBuf,
    /// The folder that it lies in, relative to the named one.
    subfolder: PathBuf,
}

impl<'a> Folders<'a> {
    fn of(folder: &Folder, root: &'a Path) -> Result<Self, DataError> {
        let paths = |key: &str, dirs: &[String]| {
            let path = |dir: &String| {
                below(dir).map_err(|wrong| DataError::layout(root, format!("{key}: {wrong}")))
            };
            dirs.iter().map(path).collect::<Result<Vec<_>, _>>()
        };
        let folders = Self {
            root,
            normal: paths("normal", &folder.normal)?,
            anomalous: paths("anomalous", &folder.anomalous)?,
            train: paths("train", &folder.train)?,
            masks: paths("masks", &folder.masks)?,
        };
        let mut seen = std::collections::BTreeSet::new();
        let twice = folders.all().find(|dir| !seen.insert(*dir));
        if let Some(dir) = twice {
            let reason = format!("the folder {:?} is named twice; name it once", shown(dir));
            return Err(DataError::layout(root, reason));
        }
        Ok(folders)
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.normal.iter().chain(&self.anomalous).chain(&self.train).chain(&self.masks)
    }

    /// The images below `dir`, without those of folders below it that are named on their own; `faults`
    /// takes in what is wrong there.
    fn images_of(&self, dir: &Path, faults: &mut Vec<Fault>) -> Result<Vec<Found>, DataError> {
        let folder = self.root.join(dir);
        if folder.is_file() {
            return Err(DataError::WrongKind { path: folder, found: "a file", needed: "a folder" });
        }
        let within = self.all().filter(|other| *other != dir && other.starts_with(dir));
        let within: Vec<PathBuf> = within.map(|other| self.root.join(other)).collect();
        let is_own = |path: &Path| !within.iter().any(|other| path.starts_with(other));
        let FoundImages { mut images, faults: mut found } = images_below(&folder)?;
        images.retain(|image| is_own(image));
        found.retain(|fault| is_own(&fault.path));
        faults.append(&mut found);
        let found = |path: PathBuf| {
            let subfolder = path.parent().and_then(|parent| parent.strip_prefix(&folder).ok());
            Found { subfolder: subfolder.unwrap_or(Path::new("")).to_path_buf(), path }
        };
        Ok(images.into_iter().map(found).collect())
    }

    fn masks(&self, faults: &mut Vec<Fault>) -> Result<Masks, DataError> {
        let mut masks = Masks::default();
        for dir in &self.masks {
            for mask in self.images_of(dir, faults)? {
                masks.add(mask.subfolder, mask.path);
            }
        }
        Ok(masks)
    }
}

impl Found {
    fn unpaired(self, dir: &Path, class: &str, label: Label) -> Unpaired {
        let mut folders = Vec::new();
        if let Some(last) = dir.file_name() {
            folders.extend([dir.join(&self.subfolder), Path::new(last).join(&self.subfolder)]);
        }
        if label == Label::Anomalous {
            folders.push(self.subfolder.clone());
        }
        let defect = match label {
            Label::Normal => "good".into(),
            Label::Anomalous if self.subfolder.as_os_str().is_empty() => last_part(dir),
            Label::Anomalous => shown(&self.subfolder),
        };
        Unpaired { sample: Sample::new(self.path, class, label, &defect), folders }
    }
}

fn last_part(dir: &Path) -> String {
    if dir.as_os_str().is_empty() { ANOMALY.into() } else { name(dir) }
}

/// A relative folder as it is written everywhere, with `/`.
fn shown(folder: &Path) -> String {
    let parts: Vec<_> = folder.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
