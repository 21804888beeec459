//! What stands above what on a contact sheet, and where it ends.

use image::{Rgb, RgbImage};
use moeclip_data::{Label, Sample};

use super::SheetOptions;
use super::choice::choose;
use super::tile::{LABEL_HEIGHT, draw_tile};
use crate::pictures::font::{GLYPH, Pen, draw_text, shortened, text_width};
use crate::pictures::sheet::thumbnail::OUTLINE;

/// Largest sides of a sheet in pixels.
const MAX_WIDTH: u32 = 2048;
const MAX_HEIGHT: u32 = 20_000;
/// The narrowest sheet: room for a heading.
const MIN_WIDTH: u32 = 480;
/// Between tiles and around all.
pub(super) const GAP: u32 = 8;
/// Picture pixels for each font pixel of a class's name.
const NAME_SCALE: u32 = 2;
const BACKGROUND: Rgb<u8> = Rgb([24; 3]);
const INK: Rgb<u8> = Rgb([240; 3]);
const FAINT: Rgb<u8> = Rgb([170; 3]);

/// A sheet's rows from top to bottom.
pub(super) struct Bands<'a> {
    bands: Vec<Band<'a>>,
    columns: u32,
}

enum Band<'a> {
    /// What is shown, and what the outline means.
    Summary(String),
    Class {
        name: &'a str,
        counts: String,
    },
    Tiles(Vec<&'a Sample>),
    LeftOut(String),
}

impl<'a> Bands<'a> {
    /// The rows of a sheet, as many as fit.
    pub(super) fn of(samples: &'a [Sample], options: &SheetOptions) -> Self {
        let classes = Class::all(samples);
        let chosen: Vec<Vec<&Sample>> = classes.iter().map(|class| class.choose(options)).collect();
        let most = chosen.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let columns = ((MAX_WIDTH - GAP) / (options.thumbnail + GAP)).min(most as u32);
        let mut bands = vec![Band::Summary(summary(samples, classes.len()))];
        for (class, chosen) in classes.iter().zip(&chosen) {
            bands.push(Band::Class { name: class.name, counts: class.counts() });
            bands.extend(chosen.chunks(columns as usize).map(|row| Band::Tiles(row.to_vec())));
        }
        let mut bands = Self { bands, columns };
        bands.cut(options);
        bands
    }

    pub(super) fn draw(&self, options: &SheetOptions) -> RgbImage {
        let width = (self.columns * (options.thumbnail + GAP) + GAP).max(MIN_WIDTH);
        let mut sheet = RgbImage::from_pixel(width, self.height(options), BACKGROUND);
        let mut top = GAP;
        for band in &self.bands {
            band.draw(&mut sheet, top, options);
            top += band.height(options);
        }
        sheet
    }

    fn height(&self, options: &SheetOptions) -> u32 {
        self.bands.iter().fold(GAP, |height, band| height.saturating_add(band.height(options)))
    }

    /// Leaves out what does not fit, and says so.
    fn cut(&mut self, options: &SheetOptions) {
        if self.height(options) <= MAX_HEIGHT {
            return;
        }
        let mut left_out = Vec::new();
        let note = Band::LeftOut(String::new()).height(options);
        let ends_with_name = |bands: &[Band<'_>]| matches!(bands.last(), Some(Band::Class { .. }));
        while self.height(options) + note > MAX_HEIGHT || ends_with_name(&self.bands) {
            let Some(band) = self.bands.pop() else { break };
            left_out.push(band);
        }
        self.bands.push(Band::LeftOut(left_out_note(&left_out)));
    }
}

impl Band<'_> {
    fn height(&self, options: &SheetOptions) -> u32 {
        match self {
            Self::Summary(_) | Self::LeftOut(_) => GLYPH + GAP,
            Self::Class { .. } => GLYPH * NAME_SCALE + 2 * GAP,
            Self::Tiles(_) => options.thumbnail + LABEL_HEIGHT + GAP,
        }
    }

    fn draw(&self, sheet: &mut RgbImage, top: u32, options: &SheetOptions) {
        match self {
            Self::Summary(text) => {
                write(sheet, Pen { x: GAP, y: top, scale: 1, colour: FAINT }, text);
                let x = GAP + text_width(text, 1) + 2 * GLYPH;
                write(sheet, Pen { x, y: top, scale: 1, colour: OUTLINE }, "outline: mask");
            }
            Self::LeftOut(text) => {
                write(sheet, Pen { x: GAP, y: top, scale: 1, colour: INK }, text);
            }
            Self::Class { name, counts } => {
                let y = top + GAP;
                write(sheet, Pen { x: GAP, y, scale: NAME_SCALE, colour: INK }, name);
                let x = GAP + text_width(name, NAME_SCALE) + 2 * GLYPH;
                write(sheet, Pen { x, y: y + GLYPH / 2, scale: 1, colour: FAINT }, counts);
            }
            Self::Tiles(samples) => {
                for (column, sample) in samples.iter().enumerate() {
                    let left = GAP + column as u32 * (options.thumbnail + GAP);
                    draw_tile(sheet, (left, top), sample, options);
                }
            }
        }
    }
}

/// The samples of one class.
struct Class<'a> {
    name: &'a str,
    samples: Vec<&'a Sample>,
}

impl<'a> Class<'a> {
    /// In the order in which the list comes to them.
    fn all(samples: &'a [Sample]) -> Vec<Self> {
        let mut classes: Vec<Self> = Vec::new();
        let mut places = std::collections::BTreeMap::new();
        for sample in samples {
            let place = *places.entry(&sample.class).or_insert(classes.len());
            if place == classes.len() {
                classes.push(Self { name: &sample.class, samples: Vec::new() });
            }
            if let Some(class) = classes.get_mut(place) {
                class.samples.push(sample);
            }
        }
        classes
    }

    fn choose(&self, options: &SheetOptions) -> Vec<&'a Sample> {
        let mut chosen = choose(&self.samples, Label::Normal, options.normal);
        chosen.extend(choose(&self.samples, Label::Anomalous, options.anomalous));
        chosen
    }

    fn counts(&self) -> String {
        counts(self.samples.iter().copied())
    }
}

fn summary(samples: &[Sample], classes: usize) -> String {
    let classes = if classes == 1 { "1 class".to_owned() } else { format!("{classes} classes") };
    format!("{classes}, {}", counts(samples.iter()))
}

fn counts<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> String {
    let with = |label| samples.clone().filter(|sample| sample.label == label).count();
    let masks = samples.clone().filter(|sample| !sample.masks.is_empty()).count();
    let (normal, anomalous) = (with(Label::Normal), with(Label::Anomalous));
    format!("{normal} normal, {anomalous} anomalous, {masks} masks")
}

fn left_out_note(bands: &[Band<'_>]) -> String {
    let thumbnails = |band: &Band<'_>| if let Band::Tiles(row) = band { row.len() } else { 0 };
    let images: usize = bands.iter().map(thumbnails).sum();
    let classes = bands.iter().filter(|band| matches!(band, Band::Class { .. })).count();
    format!("left out, for the sheet is full: {images} thumbnails, {classes} classes entirely")
}

/// One line, shortened to what fits between `pen` and the sheet's edge.
fn write(sheet: &mut RgbImage, pen: Pen, text: &str) {
    let room = sheet.width().saturating_sub(pen.x + GAP) / (GLYPH * pen.scale);
    draw_text(sheet, pen, &shortened(text, room as usize));
}
