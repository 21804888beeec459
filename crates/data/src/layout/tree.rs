//! The MVTec layout: `ROOT/CLASS/test/{good,DEFECT}/*.png` with masks in
//! `ROOT/CLASS/ground_truth/DEFECT/`, and the trees that only name these folders otherwise: MVTec LOCO
//! AD, whose images have a folder of masks each, and MVTec AD 2.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::masks::{MaskNames, Masks, Unpaired};
use super::{LayoutKind, Scan, benchmark_of, own_name};
use crate::error::DataError;
use crate::fault::{Fault, FaultKind};
use crate::folder::{FoundImages, folders_in, images_below, images_in, name, unfetched};
use crate::sample::{Label, Sample, Split};
use crate::written::PREDICTIONS;

/// A folder per class, split and defect. `root` holds the classes or is itself one.
///
/// Masks pair by name (`STEM_mask.png` or `STEM.png` in the folder of their defect), never by order.
/// Several masks of one image are united: `STEM_mask_0.png` and so on, or all of a folder `STEM/`. A
/// class without a folder of masks has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tree {
    /// Folder of the test split in each class.
    pub test: String,
    /// Folder of the train split in each class.
    pub train: String,
    /// Defect folders that hold normal images, compared without case; none where all are anomalous.
    pub normal: Vec<String>,
    /// Folder of the masks in each class.
    pub masks: String,
    /// What a mask's name has behind the name of its image, the first that fits.
    pub mask_suffixes: Vec<String>,
    /// What a mask is called, without its ending, in place of the suffixes: `mask_STEM` where `STEM`
    /// is the name of its image without ending, `NAME` with it; `STEM_*` for several masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mask_names: Vec<String>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            test: "test".into(),
            train: "train".into(),
            normal: vec!["good".into()],
            masks: "ground_truth".into(),
            mask_suffixes: vec!["_mask".into(), String::new()],
            mask_names: Vec::new(),
        }
    }
}

impl LayoutKind for Tree {
    fn recognises(&self, root: &Path) -> bool {
        let is_class = |class: &Path| {
            let folders = folders_in(&class.join(&self.test)).unwrap_or_default();
            let mut known = folders.iter().map(|defect| self.is_normal(&name(defect)));
            if self.normal.is_empty() { known.next().is_some() } else { known.any(|is| is) }
        };
        is_class(root) || folders_in(root).unwrap_or_default().iter().any(|c| is_class(c))
    }

    fn marks(&self) -> String {
        let folders: Vec<&str> = self.normal.iter().map(String::as_str).chain(["DEFECT"]).collect();
        format!("CLASS/{}/{{{}}}/", self.test, folders.join(","))
    }

    fn scan(&self, root: &Path, split: Split) -> Result<Scan, DataError> {
        let names = MaskNames::at(root, &self.mask_names, &self.mask_suffixes)?;
        let mut scan = Scan::default();
        let classes = self.class_folders(root, split)?;
        scan.faults.extend(self.unfetched(root, split)?);
        for class in classes {
            self.scan_class(&class, split, &names, &mut scan)?;
        }
        Ok(scan)
    }
}

impl Tree {
    /// As MVTec AD 2 has it.
    pub fn mvtec_ad_2() -> Self {
        let (test, masks) = ("test_public".into(), "test_public/ground_truth".into());
        Self { test, masks, ..Self::default() }
    }

    fn folder(&self, split: Split) -> &str {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    fn is_normal(&self, defect: &str) -> bool {
        self.normal.iter().any(|normal| normal.eq_ignore_ascii_case(defect))
    }

    fn class_folders(&self, root: &Path, split: Split) -> Result<Vec<PathBuf>, DataError> {
        let folder = self.folder(split);
        if root.is_file() {
            return Err(DataError::WrongKind {
                path: root.to_path_buf(),
                found: "a file",
                needed: "a dataset folder",
            });
        }
        if root.join(folder).is_dir() {
            return Ok(vec![root.to_path_buf()]);
        }
        let mut classes = folders_in(root)?;
        classes.retain(|class| class.join(folder).is_dir());
        if classes.is_empty() {
            let reason = format!(
                "no {folder}/ or CLASS/{folder}/ folder here; the MVTec layout is {}*.png",
                self.marks()
            );
            return Err(DataError::layout(root, reason));
        }
        Ok(classes)
    }

    /// The folders of this split that DVC keeps and that were never fetched: without a word, a class or
    /// its masks would be missing.
    fn unfetched(&self, root: &Path, split: Split) -> Result<Vec<Fault>, DataError> {
        let needed: &[&str] = match split {
            Split::Train => &[&self.train],
            Split::Test => &[&self.test, &self.masks],
        };
        let classes = std::iter::once(root.to_path_buf()).chain(folders_in(root)?);
        let folders = classes.flat_map(|class| needed.iter().map(move |part| class.join(part)));
        let fault = |folder: PathBuf| {
            let detail = unfetched(&folder)?;
            Some(Fault::new(FaultKind::BrokenLink, folder, detail))
        };
        Ok(folders.filter_map(fault).collect())
    }

    fn scan_class(
        &self,
        class: &Path,
        split: Split,
        names: &MaskNames,
        scan: &mut Scan,
    ) -> Result<(), DataError> {
        let (folder, ground_truth) = (class.join(self.folder(split)), class.join(&self.masks));
        let stray = |path| {
            let detail = "lies in no defect folder; move it to good/ or DEFECT/";
            Fault::new(FaultKind::StrayImage, path, detail)
        };
        let FoundImages { images, faults } = images_in(&folder)?;
        scan.faults.extend(faults);
        scan.faults.extend(images.into_iter().map(stray));
        let class_name = own_name(class);
        let mut samples = Vec::new();
        for defect in folders_in(&folder)?.into_iter().filter(|defect| *defect != ground_truth) {
            let FoundImages { images, faults } = images_in(&defect)?;
            scan.faults.extend(faults);
            let defect = name(&defect);
            let sample = |image| self.sample(image, &class_name, &defect);
            samples.extend(images.into_iter().map(sample));
        }
        // Maps of a tree lie as it does, and are no class that lacks its images.
        if samples.is_empty() && !class.join(PREDICTIONS).is_file() {
            let seems = class.parent().and_then(benchmark_of);
            let remedy = seems.unwrap_or_else(|| "copy it again".into());
            let detail = format!("no image in good/ or any DEFECT/ folder here; {remedy}");
            scan.faults.push(Fault::new(FaultKind::MissingClass, &folder, detail));
        }
        if split == Split::Test && ground_truth.is_dir() {
            let mut paired = self.pair(samples, &ground_truth, names)?;
            samples = paired.samples;
            scan.faults.append(&mut paired.faults);
        }
        scan.samples.append(&mut samples);
        Ok(())
    }

    /// Gives each sample of a class its masks from `ground_truth/DEFECT/`, or from
    /// `ground_truth/DEFECT/STEM/`.
    fn pair(
        &self,
        samples: Vec<Sample>,
        ground_truth: &Path,
        names: &MaskNames,
    ) -> Result<Scan, DataError> {
        let mut masks = Masks::default();
        let FoundImages { images, faults } = images_below(ground_truth)?;
        masks.add_faults(faults);
        for mask in images {
            let folder = mask.parent().and_then(|folder| folder.strip_prefix(ground_truth).ok());
            masks.add(folder.unwrap_or(Path::new("")).to_path_buf(), mask);
        }
        let unpaired = |sample: Sample| {
            let folders = vec![PathBuf::from(&sample.defect)];
            Unpaired { sample, folders }
        };
        Ok(masks.pair(samples.into_iter().map(unpaired).collect(), names))
    }

    fn sample(&self, image: PathBuf, class: &str, defect: &str) -> Sample {
        let label = if self.is_normal(defect) { Label::Normal } else { Label::Anomalous };
        Sample::new(image, class, label, defect)
    }
}
