//! One image and its mask, read to the end: what both are, and what is wrong with them.

use std::path::Path;

use image::GrayImage;
use image::metadata::Orientation;

use super::ListedSample;
use crate::content::ContentHash;
use crate::decode::{ReadPicture, Storage, read, read_mask, read_rgb};
use crate::descriptor::{MaskFormat, MaskValues, PictureFormat};
use crate::error::DataError;
use crate::fault::{Fault, FaultKind};
use crate::preprocess::MaskRule;
use crate::sample::{ImageSize, Label, Sample};

/// How many grey values a message lists.
const LISTED: usize = 4;

/// What is known of an image once it was read.
pub(super) struct Finding {
    /// The image's content; `None` when it is no picture.
    pub(super) content: Option<ContentHash>,
    pub(super) faults: Vec<Fault>,
}

/// Reads an image, and then its masks: each file once, never two in memory.
pub(super) fn check(entry: &ListedSample, format: PictureFormat) -> Finding {
    let sample = &entry.sample;
    let image = ReadImage::read(&sample.image, format);
    let mut faults = match &image {
        Ok(image) => image.faults.clone(),
        Err(error) => vec![fault_of(FaultKind::Unreadable, &sample.image, error)],
    };
    let shown = image.as_ref().ok().map(|image| image.shown);
    for path in &sample.masks {
        match MaskFile::read(path) {
            Ok(mask) => faults.extend(mask.faults(sample, shown, format.masks)),
            Err(error) => faults.push(fault_of(FaultKind::Unreadable, path, &error)),
        }
    }
    Finding { content: image.ok().map(|image| image.content), faults }
}

/// The fault of a file or folder that gave an error, whose message names it once more.
pub(super) fn fault_of(kind: FaultKind, path: &Path, error: &DataError) -> Fault {
    let text = error.to_string();
    let detail = text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text);
    Fault::new(kind, path, detail)
}

struct ReadImage {
    content: ContentHash,
    shown: ShownImage,
    faults: Vec<Fault>,
}

impl ReadImage {
    fn read(path: &Path, format: PictureFormat) -> Result<Self, DataError> {
        let bytes = read(path)?;
        let ReadPicture { pixels, orientation, faults, .. } = read_rgb(&bytes, path, format.bits)?;
        let size = ImageSize { width: pixels.width(), height: pixels.height() };
        let content = ContentHash::of_bytes(&bytes);
        Ok(Self { content, shown: ShownImage { size, orientation }, faults })
    }
}

/// A mask as its file has it.
pub(crate) struct MaskFile<'a> {
    pub(crate) path: &'a Path,
    /// The grey values, row by row.
    pub(crate) picture: GrayImage,
    pub(crate) size: ImageSize,
    storage: Storage,
    orientation: Orientation,
    /// How many pixels have each grey value.
    counts: [u64; 256],
    /// Of its file.
    faults: Vec<Fault>,
}

/// An image as it is shown.
#[derive(Clone, Copy)]
pub(crate) struct ShownImage {
    pub(crate) size: ImageSize,
    /// How its pixels were turned.
    pub(crate) orientation: Orientation,
}

impl<'a> MaskFile<'a> {
    pub(crate) fn read(path: &'a Path) -> Result<Self, DataError> {
        let ReadPicture { pixels, orientation, storage, faults } = read_mask(&read(path)?, path)?;
        let size = ImageSize { width: pixels.width(), height: pixels.height() };
        let mut counts = [0; 256];
        pixels.as_raw().iter().for_each(|value| counts[usize::from(*value)] += 1);
        Ok(Self { path, picture: pixels, size, storage, orientation, counts, faults })
    }

    /// What is wrong with it as a mask of `sample`, whose image is shown so where it could be read.
    pub(crate) fn faults(
        &self,
        sample: &Sample,
        image: Option<ShownImage>,
        format: MaskFormat,
    ) -> Vec<Fault> {
        let fault = |(kind, detail)| Fault::new(kind, self.path, detail);
        let found = [
            image.and_then(|image| self.misfit(image.size)),
            image.and_then(|image| self.turned(image.orientation)),
            self.marks(sample.label, format),
            self.storage_fault(format),
        ];
        self.faults.iter().cloned().chain(found.into_iter().flatten().map(fault)).collect()
    }

    fn misfit(&self, image: ImageSize) -> Option<(FaultKind, String)> {
        let detail =
            format!("{} pixels, its image {image}; a mask has its image's size", self.size);
        (self.size != image).then_some((FaultKind::MaskSize, detail))
    }

    /// Whoever drew the mask saw the image as it is stored, or turned: the files should say it alike.
    fn turned(&self, of_image: Orientation) -> Option<(FaultKind, String)> {
        let still = Orientation::NoTransforms;
        let what = match (of_image == still, self.orientation == still) {
            _ if of_image == self.orientation => return None,
            (false, true) => "the picture is turned by EXIF, its mask is not",
            (true, _) => "the mask is turned by EXIF, its picture is not",
            (false, false) => "the picture and its mask are turned differently by EXIF",
        };
        let detail = format!("{what}; store both upright, without an orientation");
        Some((FaultKind::MaskNotTurned, detail))
    }

    /// Whether its zeros are no longer zero, and what it marks is no wonder.
    fn is_smeared(&self, rule: MaskRule) -> bool {
        rule == MaskRule::NonZero && self.storage != Storage::Lossless
    }

    /// What the mask marks, against what its image shows.
    fn marks(&self, label: Label, format: MaskFormat) -> Option<(FaultKind, String)> {
        let values = self.values();
        let percent = self.marked_percent(format.rule);
        match (label, percent > 0.0) {
            (Label::Anomalous, true)
                if percent > f64::from(format.most_percent.get())
                    && !self.is_smeared(format.rule) =>
            {
                let detail = format!(
                    "marks {percent:.0} % of the picture ({values}); inverted? correct it, or set \
                     masks.most-percent"
                );
                Some((FaultKind::MaskNearlyAll, detail))
            }
            (Label::Anomalous, false) => {
                let detail = format!(
                    "marks no pixel of an anomalous image ({values}); remove the image, or correct \
                     the mask or masks.rule"
                );
                Some((FaultKind::MaskEmpty, detail))
            }
            (Label::Normal, true) => {
                let detail = format!(
                    "marks pixels of a normal image ({values}); move the image to the anomalous \
                     ones, or remove the mask"
                );
                Some((FaultKind::MaskOnNormal, detail))
            }
            _ => None,
        }
    }

    /// Whether it marks nothing, be its zeros zero or, in a lossy file, near it.
    pub(crate) fn is_blank(&self) -> bool {
        let rule = match self.storage {
            Storage::Lossless => MaskRule::NonZero,
            Storage::Lossy(_) => MaskRule::Above(127),
        };
        self.marked_percent(rule) == 0.0
    }

    fn marked_percent(&self, rule: MaskRule) -> f64 {
        let is_marked = |value: &u8| rule.apply(*value) > 0.0;
        let marked = (0..=u8::MAX).filter(is_marked).map(|value| self.counts[usize::from(value)]);
        let all = self.picture.as_raw().len().max(1);
        100.0 * marked.sum::<u64>() as f64 / all as f64
    }

    /// A lossy mask is seldom binary; one of the two says it.
    fn storage_fault(&self, format: MaskFormat) -> Option<(FaultKind, String)> {
        let nonzero = self.occurring().filter(|value| *value != 0).count();
        match (&self.storage, format.rule, format.values) {
            (Storage::Lossy(kind), MaskRule::NonZero, _) => {
                let detail = format!(
                    "a {kind}, whose zeros are no longer zero; take the lossless original, or set \
                     masks.rule = {{ above = 127 }}"
                );
                Some((FaultKind::MaskLossy, detail))
            }
            (_, _, MaskValues::Binary) if nonzero > 1 => {
                let values = self.values();
                let detail = format!(
                    "{values}, where zero and one other belong; take the original, or set \
                     masks.values = \"labels\" or \"grey\""
                );
                Some((FaultKind::MaskNotBinary, detail))
            }
            _ => None,
        }
    }

    /// The grey values that occur, rising.
    fn occurring(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|value| self.counts[usize::from(*value)] > 0)
    }

    /// The grey values in words.
    fn values(&self) -> String {
        let listed = self.occurring().take(LISTED).map(|value| value.to_string());
        let listed = listed.collect::<Vec<_>>().join(", ");
        match self.occurring().count() {
            1 => format!("its one grey value is {listed}"),
            count if count > LISTED => format!("{count} grey values: {listed}, ..."),
            count => format!("{count} grey values: {listed}"),
        }
    }
}
