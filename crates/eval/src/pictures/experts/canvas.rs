//! A sheet that grows downwards: headings, rows of tiles with captions, text beside tiles.

use image::{Rgb, RgbImage, imageops};

use crate::pictures::font::{GLYPH, Pen, draw_text, shortened, text_width};
use crate::pictures::legend::broken;

/// Side of a tile in pixels.
pub(super) const SIDE: u32 = 208;
/// Between tiles and around all.
const GAP: u32 = 10;
/// From a line of text to the next.
const LINE: u32 = GLYPH + 3;
/// Lines that every tile has room for below it.
const CAPTION: u32 = 3;
/// Picture pixels for each font pixel of a heading's name.
const NAME_SCALE: u32 = 2;
/// Characters that fit beside tiles where text is large enough at twice the font's size.
const WIDE: u32 = 96;
const BACKGROUND: Rgb<u8> = Rgb([24; 3]);
const INK: Rgb<u8> = Rgb([240; 3]);
const FAINT: Rgb<u8> = Rgb([180; 3]);

/// A picture and what is said of it.
pub(super) struct Tile {
    /// At most [`SIDE`] pixels either way.
    pub(super) picture: RgbImage,
    /// What the first line of the caption is marked with.
    pub(super) colour: Option<Rgb<u8>>,
    /// At most three lines.
    pub(super) caption: Vec<String>,
}

/// A sheet in the making.
pub(super) struct Canvas {
    picture: RgbImage,
    /// Where the next band starts.
    top: u32,
    /// Where the last row of tiles starts.
    row: u32,
}

impl Canvas {
    /// A sheet that is so many tiles wide.
    pub(super) fn new(columns: u32) -> Self {
        let width = columns * (SIDE + GAP) + GAP;
        Self { picture: RgbImage::from_pixel(width, 1, BACKGROUND), top: GAP, row: 0 }
    }

    /// A name, and what is said beside it, or below where it does not fit.
    pub(super) fn heading(&mut self, name: &str, facts: &str) {
        let (name_width, facts_width) = (text_width(name, NAME_SCALE), text_width(facts, 1));
        let is_beside = 3 * GAP + name_width + facts_width <= self.picture.width();
        self.make_room(NAME_SCALE * GLYPH + if is_beside { 0 } else { LINE });
        let room = (self.picture.width() - 2 * GAP) / (GLYPH * NAME_SCALE);
        let name = shortened(name, room as usize);
        let pen = Pen { x: GAP, y: self.top, scale: NAME_SCALE, colour: INK };
        draw_text(&mut self.picture, pen, &name);
        let (x, y) = match is_beside {
            true => (2 * GAP + name_width, self.top + GLYPH),
            false => (GAP, self.top + NAME_SCALE * GLYPH + 4),
        };
        draw_text(&mut self.picture, Pen { x, y, scale: 1, colour: FAINT }, facts);
        self.top = y + GLYPH + GAP;
    }

    /// Tiles side by side.
    pub(super) fn row(&mut self, tiles: &[Tile]) {
        let height = SIDE + CAPTION * LINE + 4;
        self.make_room(height);
        self.row = self.top;
        for (column, tile) in (0..).zip(tiles) {
            self.tile(column, tile);
        }
        self.top += height + GAP;
    }

    /// Text to the right of the first so many tiles of the last row.
    pub(super) fn beside(&mut self, columns: u32, paragraphs: &[&str]) {
        let left = GAP + columns * (SIDE + GAP);
        let room = self.picture.width().saturating_sub(left + GAP) / GLYPH;
        let scale = if room >= WIDE { 2 } else { 1 };
        let mut y = self.row;
        for paragraph in paragraphs {
            for line in broken(paragraph, (room / scale).max(1) as usize) {
                let pen = Pen { x: left, y, scale, colour: FAINT };
                draw_text(&mut self.picture, pen, line.trim_end());
                y += LINE * scale;
            }
            y += LINE * scale / 2;
        }
    }

    pub(super) fn finish(self) -> RgbImage {
        self.picture
    }

    fn tile(&mut self, column: u32, tile: &Tile) {
        let left = GAP + column * (SIDE + GAP);
        let (width, height) = tile.picture.dimensions();
        let (x, y) =
            (left + (SIDE - width.min(SIDE)) / 2, self.row + (SIDE - height.min(SIDE)) / 2);
        imageops::replace(&mut self.picture, &tile.picture, i64::from(x), i64::from(y));
        let mut y = self.row + SIDE + 4;
        for (at, line) in tile.caption.iter().take(CAPTION as usize).enumerate() {
            let mut x = left;
            if let (0, Some(colour)) = (at, tile.colour) {
                let swatch = RgbImage::from_pixel(GLYPH, GLYPH, colour);
                imageops::replace(&mut self.picture, &swatch, i64::from(x), i64::from(y));
                x += GLYPH + 4;
            }
            let line = shortened(line, ((left + SIDE - x) / GLYPH) as usize);
            let colour = if at == 0 { INK } else { FAINT };
            draw_text(&mut self.picture, Pen { x, y, scale: 1, colour }, &line);
            y += LINE;
        }
    }

    /// Makes the sheet long enough for a band of this height and the border below.
    fn make_room(&mut self, height: u32) {
        let (width, needed) = (self.picture.width(), self.top + height + GAP);
        if self.picture.height() < needed {
            let mut longer = RgbImage::from_pixel(width, needed, BACKGROUND);
            imageops::replace(&mut longer, &self.picture, 0, 0);
            self.picture = longer;
        }
    }
}
