//! Reads a picture of any supported format into 8-bit RGB or grey as Pillow's `convert` does, and
//! refuses what is broken or huge.
//!
//! PNG, JPEG, BMP, TIFF, WebP and, with a feature, DICOM, told by content and never by extension. Alpha is dropped,
//! palettes are looked up, the EXIF orientation is applied. Two things differ from Pillow on
//! purpose: a 16-bit grey picture is reduced to its upper byte (as Pillow does with 16-bit colour;
//! for grey it clips at 255, which leaves a white picture), and the orientation is applied to JPEG,
//! PNG and WebP, not to TIFF alone.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::error::{LimitError, LimitErrorKind, UnsupportedError, UnsupportedErrorKind};
use image::{
    ColorType, DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat,
    ImageReader, Limits, Luma, LumaA, Pixel, Rgb, RgbImage, Rgba,
};

use crate::error::DataError;
use crate::{dicom, jpeg, spare, turbo};

/// Most bytes that a file may have, and most that a decoded picture may take (13377x13377 in RGB).
const MAX_BYTES: u64 = 512 << 20;
/// Longest side of a picture, in pixels.
const MAX_SIDE: u32 = 65_535;
const TOO_LARGE: &str =
    "the picture is larger than 65535 pixels a side or 512 MiB; scale it down first";

/// Reads a picture as 8-bit RGB.
///
/// # Errors
/// [`DataError`] naming `path`: missing, a folder, empty, not a picture, cut off, larger than 65535
/// pixels a side or 512 MiB decoded, or a JPEG that only libjpeg-turbo reads rightly.
pub fn decode_rgb(path: &Path) -> Result<RgbImage, DataError> {
    decode_rgb_bytes(&read(path)?, path)
}

/// Reads a picture that is in memory as 8-bit RGB; `path` is only for the message.
///
/// # Errors
/// As [`decode_rgb`].
pub fn decode_rgb_bytes(bytes: &[u8], path: &Path) -> Result<RgbImage, DataError> {
    let picture = decode(bytes, path)?;
    Ok(to_8_bit(picture, upper_byte, path)?.into_rgb8())
}

/// Reads a mask as 8-bit grey, colours weighted as Pillow's `convert("L")` weighs them.
///
/// A 16-bit value that is not zero stays so: label masks hold small numbers.
///
/// # Errors
/// As [`decode_rgb`].
pub fn decode_mask(path: &Path) -> Result<GrayImage, DataError> {
    decode_mask_bytes(&read(path)?, path)
}

/// Reads a mask that is in memory; `path` is only for the message.
///
/// # Errors
/// As [`decode_rgb`].
pub fn decode_mask_bytes(bytes: &[u8], path: &Path) -> Result<GrayImage, DataError> {
    let picture = to_8_bit(decode(bytes, path)?, upper_byte_or_one, path)?;
    let rgb = match picture {
        DynamicImage::ImageLuma8(grey) => return Ok(grey),
        other => other.into_rgb8(),
    };
    let grey = |x, y| Luma([luma(rgb.get_pixel(x, y).0)]);
    Ok(GrayImage::from_fn(rgb.width(), rgb.height(), grey))
}

/// The whole file, unless it is no file or too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let metadata = fs::metadata(path).map_err(|e| DataError::unreadable(path, e))?;
    if !metadata.is_file() {
        return Err(DataError::WrongKind {
            path: path.to_path_buf(),
            found: if metadata.is_dir() { "a folder" } else { "no regular file" },
            needed: "an image file",
        });
    }
    if metadata.len() > MAX_BYTES {
        return Err(DataError::bad_image(
            path,
            "the file is larger than 512 MiB; scale it down first",
        ));
    }
    fs::read(path).map_err(|e| DataError::unreadable(path, e))
}

/// Decodes in the file's own colour type, upright.
fn decode(bytes: &[u8], path: &Path) -> Result<DynamicImage, DataError> {
    let refuse = |reason: &str| Err(DataError::bad_image(path, reason));
    if bytes.is_empty() {
        return refuse("the file is empty; copy it again");
    }
    if dicom::is_dicom(bytes) {
        return dicom::decode(bytes, MAX_BYTES).map_err(|e| DataError::bad_image(path, e));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| DataError::unreadable(path, e))?;
    match reader.format() {
        Some(ImageFormat::Jpeg) if !jpeg::is_complete(bytes) => {
            return refuse("the JPEG is cut off before its end; copy it again");
        }
        Some(format) if format.reading_enabled() => (),
        _ => return refuse("not a PNG, JPEG, BMP, TIFF or WebP image; remove or convert it"),
    }
    reader.limits(limits());
    read_upright(reader, bytes).map_err(|e| DataError::bad_image(path, explain(&e)))
}

fn read_upright(
    reader: ImageReader<Cursor<&[u8]>>,
    bytes: &[u8],
) -> Result<DynamicImage, ImageError> {
    let mut decoder = reader.into_decoder()?;
    // Checked before anything is allocated: the header may claim any size.
    let mut left = limits();
    left.reserve(decoder.total_bytes())?;
    decoder.set_limits(left)?;
    let orientation = decoder.orientation()?;
    let mut picture = match decoder.color_type() {
        ColorType::Rgb8 => read_rgb(decoder, bytes)?,
        _ => DynamicImage::from_decoder(decoder)?,
    };
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Into the memory of the picture before.
fn read_rgb(decoder: impl ImageDecoder, bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let (width, height) = decoder.dimensions();
    let too_large =
        || ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory));
    let length = usize::try_from(decoder.total_bytes()).map_err(|_| too_large())?;
    let mut pixels = spare::take(length);
    if !turbo::read_rgb(bytes, [width, height], &mut pixels) {
        if jpeg::has_separate_scans(bytes) {
            return Err(separate_scans());
        }
        decoder.read_image(&mut pixels)?;
    }
    let picture = RgbImage::from_raw(width, height, pixels).ok_or_else(too_large)?;
    Ok(DynamicImage::ImageRgb8(picture))
}

fn separate_scans() -> ImageError {
    let kind = UnsupportedErrorKind::GenericFeature("components in scans of their own".into());
    ImageError::Unsupported(UnsupportedError::from_format_and_kind(ImageFormat::Jpeg.into(), kind))
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits
}

fn explain(error: &ImageError) -> String {
    match error {
        ImageError::Limits(_) => TOO_LARGE.to_owned(),
        ImageError::Unsupported(_) => {
            format!("{error}; save it as a PNG of RGB or grey with 8 or 16 bits")
        }
        _ => format!("broken image ({error}); copy it again"),
    }
}

/// Brings 16-bit samples to 8 bits with `reduce`, and leaves 8-bit ones.
fn to_8_bit(
    picture: DynamicImage,
    reduce: fn(u16) -> u8,
    path: &Path,
) -> Result<DynamicImage, DataError> {
    use DynamicImage as D;
    let reduced = match picture {
        D::ImageLuma16(b) => samples_8_bit::<_, Luma<u8>>(&b, reduce).map(D::ImageLuma8),
        D::ImageLumaA16(b) => samples_8_bit::<_, LumaA<u8>>(&b, reduce).map(D::ImageLumaA8),
        D::ImageRgb16(b) => samples_8_bit::<_, Rgb<u8>>(&b, reduce).map(D::ImageRgb8),
        D::ImageRgba16(b) => samples_8_bit::<_, Rgba<u8>>(&b, reduce).map(D::ImageRgba8),
        D::ImageRgb32F(_) | D::ImageRgba32F(_) => None,
        eight_bit => Some(eight_bit),
    };
    reduced.ok_or_else(|| {
        DataError::bad_image(
            path,
            "floating-point pixels have no fixed range; convert it to 8 or 16 bits",
        )
    })
}

fn samples_8_bit<P, Q>(
    picture: &ImageBuffer<P, Vec<u16>>,
    reduce: fn(u16) -> u8,
) -> Option<ImageBuffer<Q, Vec<u8>>>
where
    P: Pixel<Subpixel = u16>,
    Q: Pixel<Subpixel = u8>,
{
    let samples = picture.as_raw().iter().map(|v| reduce(*v)).collect();
    ImageBuffer::from_raw(picture.width(), picture.height(), samples)
}

fn upper_byte(value: u16) -> u8 {
    value.to_be_bytes()[0]
}

fn upper_byte_or_one(value: u16) -> u8 {
    upper_byte(value).max(u8::from(value != 0))
}

/// ITU-R 601 luma in Pillow's fixed point.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests;
