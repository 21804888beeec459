//! Images that each have a mask, and no folders of normal and anomalous ones: crack sets, KolektorSDD.
//! Whether an image is normal, its mask says.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::{ANOMALY, below};
use super::masks::{MaskNames, Masks, Unpaired};
use super::{LayoutKind, Scan, own_name};
use crate::error::DataError;
use crate::folder::{FoundImages, images_below};
use crate::sample::{Label, Sample, Split};
use crate::verify::MaskFile;

/// One class in a folder of images and a folder of masks, or with each mask beside its image. An image
/// whose mask marks nothing is normal.
///
/// Folders are relative to the root (`.` is the root itself) and searched with all folders below them.
/// Masks pair by name as in a [`Folder`](super::Folder).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Masked {
    /// The class; the root's own name by default.
    pub class: Option<String>,
    /// Folder of the images of the test split: the first of these that is there.
    pub images: Vec<String>,
    /// Folder of the images of the train split, of which the normal ones count.
    pub train: Option<String>,
    /// Folder of the masks: the first of these that is there; none where each lies beside its image.
    pub masks: Vec<String>,
    /// What a mask's name has behind the name of its image, the first that fits.
    pub mask_suffixes: Vec<String>,
    /// What a mask is called, without its ending, in place of the suffixes: `mask_STEM` where `STEM`
    /// is the name of its image without ending, `NAME` with it; `STEM_*` for several masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mask_names: Vec<String>,
}

impl Default for Masked {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            class: None,
            images: owned(&["images", "image", "imgs", "img", "test_img"]),
            train: None,
            masks: owned(&["masks", "mask", "ground_truth", "gt", "labels", "label", "test_lab"]),
            mask_suffixes: owned(&["_mask", ""]),
            mask_names: Vec::new(),
        }
    }
}

impl LayoutKind for Masked {
    /// Folders of these names are common; that a mask is one of an image's tells them from others.
    fn recognises(&self, root: &Path) -> bool {
        let names = MaskNames::new(&self.mask_names, &self.mask_suffixes);
        let (Ok(names), Ok(Some(folders))) = (names, self.folders(root)) else { return false };
        folders
            .pairs(&folders.images, "", &names)
            .is_ok_and(|scan| scan.samples.iter().any(|sample| !sample.masks.is_empty()))
    }

    fn marks(&self) -> String {
        let first = |folders: &[String]| folders.first().cloned().unwrap_or_default();
        let images = first(&self.images);
        match self.masks.is_empty() {
            true => format!("{images}/STEM.png + {}", self.shown_names()),
            false => format!("{images}/ + {}/", first(&self.masks)),
        }
    }

    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let names = MaskNames::at(root, &self.mask_names, &self.mask_suffixes)?;
        let class = self.class.clone().unwrap_or_else(|| own_name(root));
        let none = || DataError::layout(root, format!("there is no {} here", self.marks()));
        let folders = self.folders(root)?.ok_or_else(none)?;
        let images = match split {
            Split::Test => Some(&folders.images),
            Split::Train => folders.train.as_ref(),
        };
        let unnamed = || DataError::layout(root, "no folder is named for the split train");
        let images = images.ok_or_else(unnamed)?;
        let mut scan = folders.pairs(images, &class, &names)?;
        scan.samples.iter_mut().for_each(label_by_mask);
        if split == Split::Train {
            scan.samples.retain(|sample| sample.label == Label::Normal);
        }
        let empty = || format!("no image of the split {} here", split.name());
        match scan.samples.is_empty() {
            true => Err(DataError::layout(images, empty())),
            false => Ok(scan),
        }
    }
}

impl Masked {
    /// As KolektorSDD has it: `kos01/Part0.jpg` and `kos01/Part0_label.bmp`.
    pub fn kolektor() -> Self {
        Self { images: vec![".".into()], ..Self::beside("_label") }
    }

    /// As KolektorSDD2 has it: `test/20000.png` and `test/20000_GT.png`.
    pub fn kolektor_2() -> Self {
        let (images, train) = (vec!["test".into()], Some("train".into()));
        Self { images, train, ..Self::beside("_GT") }
    }

    fn beside(suffix: &str) -> Self {
        Self { masks: Vec::new(), mask_suffixes: vec![suffix.into()], ..Self::default() }
    }

    fn shown_names(&self) -> String {
        let names = MaskNames::new(&self.mask_names, &self.mask_suffixes);
        names.map(|names| names.shown()).unwrap_or_default()
    }

    /// The folders that are there; `None` where one is missing.
    fn folders(&self, root: &Path) -> Result<Option<Folders>, DataError> {
        let path = |key: &str, dir: &String| {
            let wrong = |wrong| DataError::layout(root, format!("{key}: {wrong}"));
            below(dir).map(|folder| root.join(folder)).map_err(wrong)
        };
        let first = |key: &str, dirs: &[String]| -> Result<Option<PathBuf>, DataError> {
            let paths = dirs.iter().map(|dir| path(key, dir)).collect::<Result<Vec<_>, _>>()?;
            Ok(paths.into_iter().find(|folder| folder.is_dir()))
        };
        let train = self.train.as_ref().map(|dir| path("train", dir)).transpose()?;
        let place = match self.masks.is_empty() {
            true => Some(MaskPlace::Beside),
            false => first("masks", &self.masks)?.map(MaskPlace::Folder),
        };
        let images = first("images", &self.images)?;
        Ok(images.zip(place).map(|(images, place)| Folders { images, train, place }))
    }
}

/// The folders of a root.
struct Folders {
    images: PathBuf,
    train: Option<PathBuf>,
    place: MaskPlace,
}

/// Where masks lie.
enum MaskPlace {
    /// Each beside its image.
    Beside,
    /// All below this folder.
    Folder(PathBuf),
}

impl Folders {
    /// The images below a folder with their masks, all of them as if they were anomalous.
    fn pairs(&self, folder: &Path, class: &str, names: &MaskNames) -> Result<Scan, DataError> {
        let FoundImages { images: pictures, mut faults } = images_below(folder)?;
        let (mut images, mut masks) = (Vec::new(), Masks::default());
        match &self.place {
            MaskPlace::Beside => {
                let of_masks = mask_places(&pictures, names);
                for picture in pictures {
                    match of_masks.contains(&place_of(&picture)) {
                        true => masks.add(subfolder(&picture, folder), picture),
                        false => images.push(picture),
                    }
                }
            }
            MaskPlace::Folder(of_masks) => {
                images.extend(pictures.into_iter().filter(|path| !path.starts_with(of_masks)));
                let found = images_below(of_masks)?;
                faults.extend(found.faults);
                found.images.into_iter().for_each(|mask| {
                    masks.add(subfolder(&mask, of_masks), mask);
                });
            }
        }
        let unpaired = |image: PathBuf| {
            let folders = vec![subfolder(&image, folder)];
            Unpaired { sample: Sample::new(image, class, Label::Anomalous, ANOMALY), folders }
        };
        let mut scan = masks.pair(images.into_iter().map(unpaired).collect(), names);
        scan.faults.append(&mut faults);
        Ok(scan)
    }
}

/// A picture's folder and its name without ending.
type Place = (PathBuf, OsString);

fn place_of(picture: &Path) -> Place {
    let folder = picture.parent().unwrap_or(Path::new("")).to_path_buf();
    (folder, picture.file_stem().unwrap_or_default().to_owned())
}

/// Where the masks of these pictures are, if they lie beside them.
fn mask_places(pictures: &[PathBuf], names: &MaskNames) -> BTreeSet<Place> {
    let masks_of = |picture: &PathBuf| {
        let (folder, stem) = place_of(picture);
        let others = names.exact(picture).filter(move |mask| *mask != stem);
        others.map(move |mask| (folder.clone(), mask)).collect::<Vec<_>>()
    };
    pictures.iter().flat_map(masks_of).collect()
}

fn subfolder(file: &Path, folder: &Path) -> PathBuf {
    let parent = file.parent().and_then(|parent| parent.strip_prefix(folder).ok());
    parent.unwrap_or(Path::new("")).to_path_buf()
}

/// Of an image whose masks mark nothing. A mask that cannot be read is told by whoever reads it.
fn label_by_mask(sample: &mut Sample) {
    let is_blank = |mask: &PathBuf| MaskFile::read(mask).is_ok_and(|mask| mask.is_blank());
    if !sample.masks.is_empty() && sample.masks.iter().all(is_blank) {
        sample.label = Label::Normal;
        sample.defect = "good".into();
    }
}
