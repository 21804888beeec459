//! The strip below an overlay: what the picture is, its score, and which colour means which value.

use image::{Rgb, RgbImage};

use super::font::{GLYPH, Pen, draw_text, text_width};
use super::overlay::{Overlay, tint};
use crate::MapRange;

/// Characters that a line should hold: what makes text larger on larger pictures.
const COLUMNS: u32 = 32;
/// The narrowest legend: room for seven characters.
const NARROWEST: u32 = 64;
/// A title takes at most so many lines.
const TITLE_LINES: usize = 2;
const INK: Rgb<u8> = Rgb([240; 3]);
/// What the colour bar is laid over, as an image's mean grey.
const BAR_GROUND: Rgb<u8> = Rgb([128; 3]);

/// A laid out legend.
pub(super) struct Legend {
    width: u32,
    /// Picture pixels for each font pixel; margins and gaps are multiples too.
    scale: u32,
    lines: Vec<String>,
    range: MapRange,
    /// Where the map's maximum lies in the range.
    peak: f32,
    low: String,
    high: String,
}

impl Legend {
    pub(super) const BACKGROUND: Rgb<u8> = Rgb([24; 3]);

    /// The legend of an overlay whose image is `width` pixels wide.
    pub(super) fn new(overlay: &Overlay<'_>, width: u32) -> Self {
        let scale = ((f64::from(width) / f64::from(COLUMNS * GLYPH)).round() as u32).max(1);
        let width = width.max(NARROWEST);
        let columns = ((width - 4 * scale) / (GLYPH * scale)) as usize;
        let peak = overlay.map.peak().value;
        let range = overlay.range;
        let facts = [format!("score {:.3}", overlay.score), format!("max {}", number(peak, range))];
        let mut lines = title_lines(overlay.title, columns);
        lines.extend(wrapped(&facts, columns));
        Self {
            width,
            scale,
            lines,
            range,
            peak: range.fraction(peak),
            low: number(range.low(), range),
            high: number(range.high(), range),
        }
    }

    pub(super) fn width(&self) -> u32 {
        self.width
    }

    pub(super) fn height(&self) -> u32 {
        let rows = self.lines.len() as u32 + 1 + self.end_rows();
        2 * self.margin() + rows * self.row() - 2 * self.scale
    }

    /// Draws the legend below the row `top`.
    pub(super) fn draw(&self, picture: &mut RgbImage, top: u32) {
        let mut y = top + self.margin();
        for line in &self.lines {
            self.write(picture, self.margin(), y, line);
            y += self.row();
        }
        self.draw_bar(picture, y);
        y += self.row();
        self.write(picture, self.margin(), y, &self.low);
        y += self.row() * (self.end_rows() - 1);
        let right = self.width - self.margin();
        self.write(
            picture,
            right.saturating_sub(text_width(&self.high, self.scale)),
            y,
            &self.high,
        );
    }

    fn write(&self, picture: &mut RgbImage, x: u32, y: u32, text: &str) {
        let pen = Pen { x, y, scale: self.scale, colour: INK };
        draw_text(picture, pen, text);
    }

    /// The colours as they look on grey, and a notch where the map's maximum lies.
    fn draw_bar(&self, picture: &mut RgbImage, top: u32) {
        let (left, right) = (self.margin(), self.width - self.margin());
        let last = (right - left - 1).max(1) as f32;
        let notch = left as f32 + self.peak * last;
        for x in left..right {
            let colour = match ((x as f32 - notch).abs() / self.scale as f32, self.is_flat()) {
                (_, true) => BAR_GROUND,
                (off, _) if off <= 0.5 => Rgb([255; 3]),
                (off, _) if off <= 1.5 => Rgb([0; 3]),
                _ => tint(BAR_GROUND, (x - left) as f32 / last),
            };
            (top..top + GLYPH * self.scale).for_each(|y| picture.put_pixel(x, y, colour));
        }
    }

    /// A range of one point has no colours.
    fn is_flat(&self) -> bool {
        self.range.low() == self.range.high()
    }

    /// Rows that the ends of the range take: one where they fit side by side.
    fn end_rows(&self) -> u32 {
        let both = text_width(&self.low, self.scale) + text_width(&self.high, self.scale);
        let fits = both + GLYPH * self.scale <= self.width - 2 * self.margin();
        if fits { 1 } else { 2 }
    }

    fn margin(&self) -> u32 {
        2 * self.scale
    }

    /// A line of text and the gap below it.
    fn row(&self) -> u32 {
        (GLYPH + 2) * self.scale
    }
}

/// Of a title broken into lines the last ones, which tell one file from another.
fn title_lines(title: &str, columns: usize) -> Vec<String> {
    let mut lines = broken(title, columns);
    lines.split_off(lines.len().saturating_sub(TITLE_LINES))
}

/// A text broken into lines after folders and words.
pub(super) fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut rest: Vec<char> = text.chars().collect();
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let after = rest.split_off(line_end(&rest, columns));
        lines.push(String::from_iter(&rest));
        rest = after;
    }
    lines
}

/// How many characters go on the next line: up to the last place where it may be broken, or as many
/// as fit.
fn line_end(text: &[char], columns: usize) -> usize {
    if text.len() <= columns {
        return text.len();
    }
    let is_break = |character: &char| matches!(character, '/' | '\\' | ' ' | '_' | '-');
    let last = text[..columns].iter().rposition(is_break);
    last.map_or(columns, |place| place + 1)
}

/// As many facts on a line as fit, two spaces apart; a fact that is too long is broken at its
/// spaces.
fn wrapped(facts: &[String], columns: usize) -> Vec<String> {
    let is_long = |fact: &String| fact.chars().count() > columns;
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        match lines.last_mut() {
            _ if is_long(fact) => lines.extend(fact.split(' ').map(str::to_owned)),
            Some(line) if line.chars().count() + 2 + fact.chars().count() <= columns => {
                *line = format!("{line}  {fact}")
            }
            _ => lines.push(fact.clone()),
        }
    }
    lines
}

/// A value with as many decimals as tell a tenth of the range apart, or two more digits in
/// scientific notation where that is too long.
fn number(value: f32, range: MapRange) -> String {
    let span = range.high() - range.low();
    let decimals =
        if span > 0.0 { (1.0 - span.log10().floor()).clamp(0.0, 9.0) as usize } else { 3 };
    let plain = format!("{value:.decimals$}");
    if plain.len() <= 7 { plain } else { format!("{value:.1e}") }
}
