//! Brings a picture to the model's input: resized and normalised as Pillow and torchvision do it,
//! masks included.

use grid_resample::{AxisMatrix, HostResampler};
use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

mod resize;
mod window;

use resize::Pixels;
use window::Filter;

use crate::error::DataError;
use crate::sample::ImageSize;

/// Mean of CLIP's training images per channel, in units of 1 for white.
pub const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Standard deviation of CLIP's training images per channel.
pub const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
/// Largest side that a picture can be resized to, in pixels: 8192 already takes 805 MB as f32.
pub const MAX_SIZE: usize = 8192;

const CHANNELS: usize = 3;
const GREY_LEVELS: usize = 256;

/// Which grey values of a mask mean "anomalous".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskRule {
    /// Every value but zero, as the authors do it. Right for lossless masks.
    #[default]
    NonZero,
    /// Values above this one. `above = 127` suits masks saved as JPEG, whose zeros are no longer
    /// zero.
    Above(u8),
}

impl MaskRule {
    /// 1 for an anomalous pixel, 0 for a normal one.
    pub fn apply(self, grey: u8) -> f32 {
        let threshold = match self {
            Self::NonZero => 0,
            Self::Above(value) => value,
        };
        f32::from(u8::from(grey > threshold))
    }
}

/// How a mask is brought to the size of the model's images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskResize {
    /// Each pixel is the nearest one of the mask, as MoECLIP and AA-CLIP do it.
    #[default]
    Nearest,
    /// Pillow's bilinear, on black and white: a pixel is anomalous where more than half of what it
    /// covers is. APRIL-GAN and AnomalyCLIP do it so.
    Bilinear,
}

/// How a picture becomes the model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    size: usize,
    mean: [f32; CHANNELS],
    std: [f32; CHANNELS],
    mask_rule: MaskRule,
    mask_resize: MaskResize,
}

impl Preprocessing {
    /// CLIP's: squares of `size` pixels, normalised with [`CLIP_MEAN`] and [`CLIP_STD`], masks by
    /// [`MaskRule::NonZero`].
    ///
    /// # Errors
    /// [`DataError::Setting`] unless `size` is 1 to [`MAX_SIZE`].
    pub fn clip(size: usize) -> Result<Self, DataError> {
        Self::new(size, CLIP_MEAN, CLIP_STD)
    }

    /// Squares of `size` pixels, normalised with a mean and a standard deviation per channel in units
    /// of 1 for white, masks by [`MaskRule::NonZero`].
    ///
    /// # Errors
    /// [`DataError::Setting`] unless `size` is 1 to [`MAX_SIZE`], the means are finite and the
    /// deviations positive.
    pub fn new(
        size: usize,
        mean: [f32; CHANNELS],
        std: [f32; CHANNELS],
    ) -> Result<Self, DataError> {
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(DataError::setting("image size", size, "use 1 to 8192 pixels"));
        }
        if let Some(mean) = mean.into_iter().find(|mean| !mean.is_finite()) {
            return Err(DataError::setting("mean", mean, "use a finite number"));
        }
        if let Some(std) = std.into_iter().find(|std| !std.is_finite() || *std <= 0.0) {
            return Err(DataError::setting("standard deviation", std, "use a positive number"));
        }
        let (mask_rule, mask_resize) = (MaskRule::default(), MaskResize::default());
        Ok(Self { size, mean, std, mask_rule, mask_resize })
    }

    /// The same with another rule for masks.
    pub fn with_mask_rule(self, mask_rule: MaskRule) -> Self {
        Self { mask_rule, ..self }
    }

    /// The same with masks that are resized in another way.
    pub fn with_mask_resize(self, mask_resize: MaskResize) -> Self {
        Self { mask_resize, ..self }
    }

    /// Side of the square, in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Resizes (bicubic, a = -0.5, widened when shrinking) and normalises: `[3, size, size]`, row
    /// by row.
    ///
    /// # Errors
    /// [`DataError::Resize`] for a picture without pixels.
    pub fn image(&self, picture: &RgbImage) -> Result<Vec<f32>, DataError> {
        Ok(self.normalised(&self.resize(picture)?))
    }

    /// As [`image`](Self::image), but on numbers instead of grey levels: what is resized is neither
    /// rounded nor clipped, so that beside a sharp edge it may be darker than black. PyTorch resizes
    /// tensors so, and anomalib's WinCLIP its images.
    ///
    /// # Errors
    /// [`DataError::Resize`] for a picture without pixels.
    pub fn image_unrounded(&self, picture: &RgbImage) -> Result<Vec<f32>, DataError> {
        let (width, height) = sides(picture.dimensions())?;
        let axis = |inputs: usize| AxisMatrix::bicubic_antialias(inputs, self.size);
        let resampler = HostResampler::new(&axis(height), &axis(width));
        let mut values = Vec::with_capacity(CHANNELS * self.size * self.size);
        for (channel, (mean, std)) in self.mean.into_iter().zip(self.std).enumerate() {
            let plane: Vec<f32> =
                picture.pixels().map(|pixel| f32::from(pixel.0[channel]) / 255.0).collect();
            values.extend(resampler.grid(&plane).into_iter().map(|value| (value - mean) / std));
        }
        Ok(values)
    }

    /// The same for a part of a picture: `corner` is its left column and upper row.
    ///
    /// # Errors
    /// [`DataError::Resize`] for a part without pixels, or one that leaves the picture.
    pub fn part(
        &self,
        picture: &RgbImage,
        corner: [u32; 2],
        part: ImageSize,
    ) -> Result<Vec<f32>, DataError> {
        let ([x, y], ImageSize { width, height }) = (corner, part);
        let ends = |start: u32, length: u32, side: u32| {
            start.checked_add(length).is_some_and(|end| end <= side)
        };
        if !ends(x, width, picture.width()) || !ends(y, height, picture.height()) {
            let (width, height) = picture.dimensions();
            let size = ImageSize { width, height };
            let reason = format!("a part of {part} at {x}, {y} leaves it");
            return Err(DataError::Resize { size, reason });
        }
        self.image(&image::imageops::crop_imm(picture, x, y, width, height).to_image())
    }

    /// `[3, size, size]` bytes: Pillow's `resize((size, size), BICUBIC)`, bit for bit.
    pub(crate) fn resize(&self, picture: &RgbImage) -> Result<Vec<u8>, DataError> {
        resize_bicubic(picture, self.size)
    }

    /// Grey levels to what CLIP takes, by channel.
    pub(crate) fn normalised(&self, planes: &[u8]) -> Vec<f32> {
        let mut values = Vec::with_capacity(planes.len());
        self.normalise(planes, &mut values);
        values
    }

    /// The same, put behind `values`.
    pub(crate) fn normalise(&self, planes: &[u8], values: &mut Vec<f32>) {
        let planes = planes.chunks_exact(self.size * self.size);
        for (plane, (mean, std)) in planes.zip(self.mean.into_iter().zip(self.std)) {
            let table: [f32; GREY_LEVELS] =
                std::array::from_fn(|grey| (grey as f32 / 255.0 - mean) / std);
            values.extend(plane.iter().map(|grey| table[usize::from(*grey)]));
        }
    }

    /// Resizes and applies the rule: `[1, size, size]` of 0 and 1, row by row.
    pub fn mask(&self, mask: &GrayImage) -> Vec<f32> {
        match self.mask_resize {
            MaskResize::Nearest => self.nearest_mask(mask),
            MaskResize::Bilinear => self.bilinear_mask(mask),
        }
    }

    fn nearest_mask(&self, mask: &GrayImage) -> Vec<f32> {
        let columns = nearest_positions(mask.width(), self.size);
        let rows = nearest_positions(mask.height(), self.size);
        let grey = |x: &u32, y: u32| mask.get_pixel_checked(*x, y).map_or(0, |pixel| pixel.0[0]);
        rows.into_iter()
            .flat_map(|y| columns.iter().map(move |x| self.mask_rule.apply(grey(x, y))))
            .collect()
    }

    /// One of three equal channels; a mask without pixels marks nothing.
    fn bilinear_mask(&self, mask: &GrayImage) -> Vec<f32> {
        let area = self.size * self.size;
        let Ok((width, height)) = sides(mask.dimensions()) else {
            return vec![0.0; area];
        };
        let white = |grey: &u8| if self.mask_rule.apply(*grey) > 0.0 { u8::MAX } else { 0 };
        let bytes: Vec<u8> = mask.iter().flat_map(|grey| [white(grey); CHANNELS]).collect();
        let mask = Pixels { width, height, bytes: &bytes };
        let resized = resize::resize(&mask, self.size, Filter::Bilinear);
        let anomalous = |grey: &u8| f32::from(u8::from(*grey > u8::MAX / 2));
        resized.iter().take(area).map(anomalous).collect()
    }
}

fn resize_bicubic(picture: &RgbImage, size: usize) -> Result<Vec<u8>, DataError> {
    let (width, height) = sides(picture.dimensions())?;
    let picture = Pixels { width, height, bytes: picture.as_raw() };
    Ok(resize::resize(&picture, size, Filter::Bicubic))
}

/// Width and height of a picture that has pixels.
fn sides((width, height): (u32, u32)) -> Result<(usize, usize), DataError> {
    if width == 0 || height == 0 {
        let size = ImageSize { width, height };
        return Err(DataError::Resize { size, reason: "it has no pixels".into() });
    }
    Ok((width as usize, height as usize))
}

/// For each of `target` positions the source position that Pillow's NEAREST takes.
///
/// Pillow adds the step up instead of multiplying it, so where a position falls on a pixel's edge
/// the rounding of the sum decides; adding likewise gives the same pixel.
fn nearest_positions(source: u32, target: usize) -> Vec<u32> {
    let step = f64::from(source) / target as f64;
    let mut at = 0.5 * step;
    let mut positions = Vec::with_capacity(target);
    for _ in 0..target {
        positions.push(at as u32);
        at += step;
    }
    positions
}

#[cfg(test)]
mod tests;
