//! One image and its mask, read to the end: what both are, and what is wrong with them.

use std::path::Path;

use image::{GrayImage, ImageFormat};

use super::ListedSample;
use crate::content::ContentHash;
use crate::decode::{decode_mask_bytes, decode_rgb_bytes, read};
use crate::descriptor::{MaskFormat, MaskValues};
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
pub(super) fn check(entry: &ListedSample, format: MaskFormat) -> Finding {
    let image = read_image(&entry.sample.image);
    let mut faults = Vec::new();
    if let Err(error) = &image {
        faults.push(fault_of(FaultKind::Unreadable, &entry.sample.image, error));
    }
    let size = image.as_ref().ok().map(|image| image.size);
    for path in &entry.sample.masks {
        match MaskFile::read(path) {
            Ok(mask) => faults.extend(mask.faults(&entry.sample, size, format)),
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

struct Image {
    size: ImageSize,
    content: ContentHash,
}

fn read_image(path: &Path) -> Result<Image, DataError> {
    let bytes = read(path)?;
    let picture = decode_rgb_bytes(&bytes, path)?;
    let size = ImageSize { width: picture.width(), height: picture.height() };
    Ok(Image { size, content: ContentHash::of_bytes(&bytes) })
}

/// A mask as its file has it.
pub(crate) struct MaskFile<'a> {
    pub(crate) path: &'a Path,
    /// The grey values, row by row.
    pub(crate) picture: GrayImage,
    pub(crate) size: ImageSize,
    /// The grey values that occur, rising.
    values: Vec<u8>,
    storage: Storage,
}

/// Whether a file gives back the values that were written.
enum Storage {
    Lossless,
    Lossy,
}

impl<'a> MaskFile<'a> {
    pub(crate) fn read(path: &'a Path) -> Result<Self, DataError> {
        let bytes = read(path)?;
        let storage = match image::guess_format(&bytes) {
            Ok(ImageFormat::Jpeg) => Storage::Lossy,
            _ => Storage::Lossless,
        };
        let picture = decode_mask_bytes(&bytes, path)?;
        let size = ImageSize { width: picture.width(), height: picture.height() };
        Ok(Self { path, size, values: grey_values(&picture), storage, picture })
    }

    /// What is wrong with it as a mask of `sample`, whose image has this size where it could be read.
    pub(crate) fn faults(
        &self,
        sample: &Sample,
        image: Option<ImageSize>,
        format: MaskFormat,
    ) -> Vec<Fault> {
        let fault = |(kind, detail)| Fault::new(kind, self.path, detail);
        let found = [
            image.and_then(|image| self.misfit(image)),
            self.marks(sample.label, format.rule),
            self.storage_fault(format),
        ];
        found.into_iter().flatten().map(fault).collect()
    }

    fn misfit(&self, image: ImageSize) -> Option<(FaultKind, String)> {
        let detail =
            format!("{} pixels, its image {image}; a mask has its image's size", self.size);
        (self.size != image).then_some((FaultKind::MaskSize, detail))
    }

    /// What the mask marks, against what its image shows.
    fn marks(&self, label: Label, rule: MaskRule) -> Option<(FaultKind, String)> {
        let marks = self.values.iter().any(|value| rule.apply(*value) > 0.0);
        let values = self.values();
        match (label, marks) {
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

    /// A lossy mask is seldom binary; one of the two says it.
    fn storage_fault(&self, format: MaskFormat) -> Option<(FaultKind, String)> {
        let nonzero = self.values.iter().filter(|value| **value != 0).count();
        match (&self.storage, format.rule, format.values) {
            (Storage::Lossy, MaskRule::NonZero, _) => {
                let detail = "a JPEG, whose zeros are no longer zero; take the lossless original, \
                              or set masks.rule = { above = 127 }";
                Some((FaultKind::MaskLossy, detail.into()))
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

    /// The grey values in words.
    fn values(&self) -> String {
        let listed = self.values.iter().take(LISTED).map(u8::to_string).collect::<Vec<_>>();
        let listed = listed.join(", ");
        match self.values.len() {
            1 => format!("its one grey value is {listed}"),
            count if count > LISTED => format!("{count} grey values: {listed}, ..."),
            count => format!("{count} grey values: {listed}"),
        }
    }
}

fn grey_values(mask: &GrayImage) -> Vec<u8> {
    let mut occurs = [false; 256];
    mask.as_raw().iter().for_each(|value| occurs[usize::from(*value)] = true);
    (0..=u8::MAX).filter(|value| occurs[usize::from(*value)]).collect()
}
