//! One image on a contact sheet: its thumbnail on a neutral ground and its defect's name, or why it
//! cannot be shown.

use std::path::Path;

use image::{Rgb, RgbImage, imageops};
use moeclip_data::{DataError, Label, Sample};

use super::SheetOptions;
use super::thumbnail::{OUTLINE, Thumbnail};
use crate::pictures::font::{GLYPH, Pen, draw_text, shortened};
use crate::pictures::legend::broken;

/// What a tile has below its thumbnail.
pub(super) const LABEL_HEIGHT: u32 = GLYPH + 6;
const LINE: u32 = GLYPH + 3;
const GROUND: Rgb<u8> = Rgb([56; 3]);
const INK: Rgb<u8> = Rgb([240; 3]);
const NORMAL: Rgb<u8> = Rgb([170; 3]);
/// The ground of what is wrong.
const FAULT: Rgb<u8> = Rgb([140, 24, 24]);

/// Draws a sample with its upper left corner at `corner`.
pub(super) fn draw_tile(
    sheet: &mut RgbImage,
    corner: (u32, u32),
    sample: &Sample,
    options: &SheetOptions,
) {
    let mut tile = SheetTile::new(options.thumbnail);
    match Thumbnail::of(sample, options) {
        Ok(thumbnail) => {
            tile.place(&thumbnail.picture);
            if let Some(error) = &thumbnail.mask_fault {
                tile.say(&complaint(error));
            }
        }
        Err(error) => {
            tile.fill(FAULT);
            tile.say(&complaint(&error));
        }
    }
    tile.label(sample);
    imageops::replace(sheet, &tile.picture, i64::from(corner.0), i64::from(corner.1));
}

/// The square of a thumbnail and the label below.
struct SheetTile {
    picture: RgbImage,
    side: u32,
}

impl SheetTile {
    fn new(side: u32) -> Self {
        let mut picture = RgbImage::from_pixel(side, side + LABEL_HEIGHT, Rgb([24; 3]));
        fill(&mut picture, 0..side, GROUND);
        Self { picture, side }
    }

    fn fill(&mut self, colour: Rgb<u8>) {
        fill(&mut self.picture, 0..self.side, colour);
    }

    /// In the middle of the square.
    fn place(&mut self, thumbnail: &RgbImage) {
        let free = |taken: u32| i64::from(self.side.saturating_sub(taken) / 2);
        let (left, top) = (free(thumbnail.width()), free(thumbnail.height()));
        imageops::replace(&mut self.picture, thumbnail, left, top);
    }

    /// Writes what is wrong at the bottom of the square, as much as fits.
    fn say(&mut self, text: &str) {
        let columns = ((self.side - 4) / GLYPH).max(1) as usize;
        let mut lines = broken(text, columns);
        lines.truncate(((self.side - 4) / LINE).max(1) as usize);
        let mut y = self.side - (lines.len() as u32 * LINE + 2).min(self.side);
        fill(&mut self.picture, y.saturating_sub(2)..self.side, FAULT);
        for line in lines {
            draw_text(&mut self.picture, Pen { x: 2, y, scale: 1, colour: INK }, line.trim_end());
            y += LINE;
        }
    }

    fn label(&mut self, sample: &Sample) {
        let (colour, text) = match (sample.label, sample.masks.is_empty()) {
            (Label::Normal, _) => (NORMAL, sample.defect.clone()),
            (Label::Anomalous, false) => (OUTLINE, sample.defect.clone()),
            (Label::Anomalous, true) => (OUTLINE, format!("{} (no mask)", sample.defect)),
        };
        let text = shortened(&text, (self.side / GLYPH) as usize);
        draw_text(&mut self.picture, Pen { x: 0, y: self.side + 3, scale: 1, colour }, &text);
    }
}

fn fill(picture: &mut RgbImage, rows: std::ops::Range<u32>, colour: Rgb<u8>) {
    for y in rows {
        (0..picture.width()).for_each(|x| picture.put_pixel(x, y, colour));
    }
}

/// The message with the file's name in place of its path.
fn complaint(error: &DataError) -> String {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((path, reason)) => {
            let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
            format!("{name}: {reason}")
        }
        None => text,
    }
}
