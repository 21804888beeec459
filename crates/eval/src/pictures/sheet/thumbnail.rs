//! An image made small, with the outline of what its mask marks.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma, Rgb, RgbImage};
use moeclip_data::{DataError, ImageSize, MaskRule, PictureReader, Sample, decode_mask};

use super::SheetOptions;

/// The colour of outlines, rare in pictures of things and bodies.
pub(super) const OUTLINE: Rgb<u8> = Rgb([0, 255, 255]);
/// What tells the outline from a bright image.
const EDGE: Rgb<u8> = Rgb([0, 40, 40]);
/// Thumbnail pixels for each pixel of the outline's thickness.
const PER_THICKNESS: u32 = 100;

/// A small picture, its longer side as long as asked.
pub(super) struct Thumbnail {
    pub(super) picture: RgbImage,
    /// Why its mask is not drawn.
    pub(super) mask_fault: Option<DataError>,
}

impl Thumbnail {
    /// # Errors
    /// [`DataError`] when the image cannot be read.
    pub(super) fn of(sample: &Sample, options: &SheetOptions) -> Result<Self, DataError> {
        let image = PictureReader::new(options.bits).rgb(&sample.image)?;
        let size = ImageSize { width: image.width(), height: image.height() };
        let mut thumbnail = Self { picture: shrunk(&image, options.thumbnail), mask_fault: None };
        drop(image);
        if let Some(path) = &sample.mask {
            let matching = decode_mask(path).and_then(|mask| {
                let of_mask = ImageSize { width: mask.width(), height: mask.height() };
                if of_mask == size {
                    return Ok(mask);
                }
                let (path, image_path) = (path.clone(), sample.image.clone());
                Err(DataError::MaskSize { path, mask: of_mask, image_path, image: size })
            });
            match matching {
                Ok(mask) => thumbnail.outline(&mask, options.mask_rule),
                Err(error) => thumbnail.mask_fault = Some(error),
            }
        }
        Ok(thumbnail)
    }

    /// A line around what is marked, outside of it, so that the smallest spot shows; inside where
    /// the picture ends.
    fn outline(&mut self, mask: &GrayImage, rule: MaskRule) {
        let (width, height) = self.picture.dimensions();
        let marked = marked(mask, rule, (width, height));
        let thickness = (width.max(height) / PER_THICKNESS).max(1);
        for (x, y, pixel) in self.picture.enumerate_pixels_mut() {
            let colour = match ring(&marked, x, y, thickness) {
                Some(distance) if distance <= thickness => OUTLINE,
                Some(_) => EDGE,
                None => continue,
            };
            *pixel = colour;
        }
    }
}

/// How far a pixel is from the inside of the outline, up to one more than `thickness`; `None` where
/// nothing is drawn.
fn ring(marked: &GrayImage, x: u32, y: u32, thickness: u32) -> Option<u32> {
    let (width, height) = marked.dimensions();
    if is_marked(marked, x, y) {
        let to_border = x.min(y).min(width - 1 - x).min(height - 1 - y);
        return (to_border < thickness).then_some(1);
    }
    (1..=thickness + 1).find(|reach| {
        let rows = y.saturating_sub(*reach)..=(y + reach).min(height - 1);
        let mut columns = x.saturating_sub(*reach)..=(x + reach).min(width - 1);
        columns.any(|x| rows.clone().any(|y| is_marked(marked, x, y)))
    })
}

fn is_marked(marked: &GrayImage, x: u32, y: u32) -> bool {
    marked.get_pixel(x, y).0 != [0]
}

/// The mask at another size: a pixel is 1 where any pixel below it is marked.
fn marked(mask: &GrayImage, rule: MaskRule, (width, height): (u32, u32)) -> GrayImage {
    let below = |at: u32, from: u32, to: u32| {
        let scaled = |at: u32| u64::from(at) * u64::from(from) / u64::from(to);
        let start = scaled(at) as u32;
        start..(scaled(at + 1) as u32).max(start + 1)
    };
    GrayImage::from_fn(width, height, |x, y| {
        let mut rows = below(y, mask.height(), height);
        let columns = below(x, mask.width(), width);
        let is_marked = |x, y| rule.apply(mask.get_pixel(x, y).0[0]) > 0.0;
        Luma([u8::from(rows.any(|y| columns.clone().any(|x| is_marked(x, y))))])
    })
}

/// Bilinear, widened when shrinking, the aspect kept.
pub(in crate::pictures) fn shrunk(image: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height).max(1);
    let scaled = |length: u32| {
        let scaled = f64::from(length) * f64::from(side) / f64::from(longer);
        (scaled.round() as u32).clamp(1, side)
    };
    imageops::resize(image, scaled(width), scaled(height), FilterType::Triangle)
}
