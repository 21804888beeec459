//! PNG files: maps as 16-bit grey with their range beside them, overlays as 8-bit colour.

use std::io::{self, Write};
use std::path::Path;

use image::RgbImage;
use moeclip_data::{MARK_KEYWORD, MARK_TEXT};
use png::{BitDepth, ColorType, Compression, Encoder};

use super::write_atomically;
use crate::{EvalError, MapRange, MapView};

/// Writes a map as 16-bit grey: `range`'s low end becomes 0, its high end 65535, and what lies
/// outside is clamped.
///
/// The range is in the file's text chunks `map-low` and `map-high`, so that a pixel `p` reads back
/// as `low + p / 65535 * (high - low)`.
///
/// # Errors
/// [`EvalError::Write`] when the file cannot be written.
pub fn write_map_png(path: &Path, map: MapView<'_>, range: MapRange) -> Result<(), EvalError> {
    let grey = |&value: &f32| (range.fraction(value) * f32::from(u16::MAX)).round() as u16;
    let pixels: Vec<u8> = map.values().iter().flat_map(|value| grey(value).to_be_bytes()).collect();
    write_atomically(path, |file| {
        let (width, height) = (side(map.width())?, side(map.height())?);
        let mut encoder = Encoder::new(file, width, height);
        encoder.set_color(ColorType::Grayscale);
        encoder.set_depth(BitDepth::Sixteen);
        mark(&mut encoder)?;
        encoder.add_text_chunk("map-low".to_owned(), range.low().to_string())?;
        encoder.add_text_chunk("map-high".to_owned(), range.high().to_string())?;
        finish(encoder, &pixels)
    })
}

/// Writes a colour picture.
///
/// # Errors
/// [`EvalError::Write`] when the file cannot be written, a picture without pixels included.
pub fn write_png(path: &Path, picture: &RgbImage) -> Result<(), EvalError> {
    write_atomically(path, |file| {
        let mut encoder = Encoder::new(file, picture.width(), picture.height());
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        mark(&mut encoder)?;
        finish(encoder, picture.as_raw())
    })
}

/// Marks a picture as this program's before any other text of it, so that no folder's search takes it
/// for an image.
fn mark(encoder: &mut Encoder<'_, impl Write>) -> io::Result<()> {
    Ok(encoder.add_text_chunk(MARK_KEYWORD.to_owned(), MARK_TEXT.to_owned())?)
}

fn finish(mut encoder: Encoder<'_, impl Write>, pixels: &[u8]) -> io::Result<()> {
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}

/// A side as PNG can hold it.
fn side(pixels: usize) -> io::Result<u32> {
    u32::try_from(pixels)
        .map_err(|_| io::Error::other(format!("a side of {pixels} pixels is too long for PNG")))
}
