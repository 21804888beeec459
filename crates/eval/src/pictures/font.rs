//! Text in pictures: an 8x8 bitmap font, enlarged by whole numbers, so that it stays sharp at every
//! size.

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{Rgb, RgbImage};

/// The side of a character in font pixels; every character is as wide.
pub(super) const GLYPH: u32 = 8;

/// Where and how text is drawn.
#[derive(Clone, Copy)]
pub(super) struct Pen {
    /// Left edge of the first character.
    pub(super) x: u32,
    /// Upper edge.
    pub(super) y: u32,
    /// Picture pixels for each font pixel.
    pub(super) scale: u32,
    pub(super) colour: Rgb<u8>,
}

/// Draws one line. A character that the font lacks becomes `?`; what leaves the picture is cut.
pub(super) fn draw_text(picture: &mut RgbImage, pen: Pen, text: &str) {
    for (index, character) in text.chars().enumerate() {
        let x = pen.x.saturating_add((index as u32).saturating_mul(GLYPH * pen.scale));
        draw_glyph(picture, Pen { x, ..pen }, glyph(character));
    }
}

/// The width of a line in pixels.
pub(super) fn text_width(text: &str, scale: u32) -> u32 {
    text.chars().count() as u32 * GLYPH * scale
}

/// A line of at most so many characters; a longer one ends in dots.
pub(super) fn shortened(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(columns.saturating_sub(2)).collect();
    short.extend("..".chars().take(columns));
    short
}

/// Eight rows, the lowest bit leftmost.
fn glyph(character: char) -> [u8; 8] {
    let known = BASIC_FONTS.get(character).or_else(|| LATIN_FONTS.get(character));
    known.or_else(|| BASIC_FONTS.get('?')).unwrap_or_default()
}

fn draw_glyph(picture: &mut RgbImage, pen: Pen, rows: [u8; 8]) {
    for y in 0..GLYPH * pen.scale {
        for x in 0..GLYPH * pen.scale {
            let is_set = rows[(y / pen.scale) as usize] >> (x / pen.scale) & 1 == 1;
            if is_set && let Some(pixel) = picture.get_pixel_mut_checked(pen.x + x, pen.y + y) {
                *pixel = pen.colour;
            }
        }
    }
}
