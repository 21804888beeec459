//! A dataset at a glance: a few images of every class on one sheet, so that a person sees what is
//! in it and whether the masks lie where the defects are.

mod bands;
mod choice;
mod thumbnail;
mod tile;

use image::RgbImage;
use moeclip_data::{MaskRule, Sample, SampleBits};

use self::bands::Bands;
pub(super) use self::thumbnail::shrunk;
use crate::EvalError;

/// Thumbnail sides that can be drawn and read.
const THUMBNAILS: std::ops::RangeInclusive<u32> = 32..=1024;

/// What a contact sheet shows of each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SheetOptions {
    /// Longer side of a thumbnail in pixels, 32 to 1024.
    pub thumbnail: u32,
    /// Normal images of each class.
    pub normal: usize,
    /// Anomalous images of each class, of as many kinds of defects as there are.
    pub anomalous: usize,
    /// Which grey values of a mask are outlined.
    pub mask_rule: MaskRule,
    /// How many bits of 16-bit images hold the picture, where it is not all of them.
    pub bits: Option<SampleBits>,
}

impl Default for SheetOptions {
    /// Three normal and seven anomalous thumbnails of 160 pixels.
    fn default() -> Self {
        Self { thumbnail: 160, normal: 3, anomalous: 7, mask_rule: MaskRule::NonZero, bits: None }
    }
}

/// Draws a few images of every class: its name and counts, normal images, then anomalous ones with
/// their masks' outlines, the defect's name below each.
///
/// Which images are shown depends on the list alone: evenly spaced ones of each defect. An image
/// or mask that cannot be read does not fail the sheet; its tile says why. The sheet is at most 2048
/// pixels wide and 20000 high; a last line says what did not fit.
///
/// # Errors
/// [`EvalError::Setting`] for a thumbnail size out of its range, or no thumbnails at all.
pub fn contact_sheet(samples: &[Sample], options: &SheetOptions) -> Result<RgbImage, EvalError> {
    if !THUMBNAILS.contains(&options.thumbnail) {
        return Err(EvalError::setting("thumbnail", options.thumbnail, "use 32 to 1024 pixels"));
    }
    if options.normal == 0 && options.anomalous == 0 {
        return Err(EvalError::setting("normal", 0, "show at least one normal or anomalous image"));
    }
    Ok(Bands::of(samples, options).draw(options))
}
