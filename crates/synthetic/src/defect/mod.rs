//! What goes wrong: each kind changes colour, height or cover of the subject before it is lit and
//! photographed, so that nothing but its shape gives it away. [`Change`] is the mask of a defect:
//! the pixels that it changed noticeably, found by taking the same picture with and without it.

mod line;
mod patch;

use image::{GrayImage, Luma};

use crate::camera::Exposure;
use crate::canvas::{Canvas, Point};
use crate::category::{Category, DefectKind};
use crate::chance::Chance;
use crate::marks::Mark;
use crate::subject::{Alteration, Stage};

/// A picture without its defect.
pub(super) struct NormalScene<'a> {
    pub(super) category: Category,
    pub(super) stage: &'a Stage,
    pub(super) marks: &'a [Mark],
    /// The stage with its marks.
    pub(super) canvas: &'a Canvas,
}

/// The same canvas with a defect; `None` where no place for it was found.
pub(super) fn inflict(
    kind: DefectKind,
    sound: &NormalScene<'_>,
    chance: &mut Chance,
) -> Option<Canvas> {
    let mut canvas = sound.canvas.clone();
    match kind {
        DefectKind::MissingPart | DefectKind::WrongPart => {
            return exchange(kind, sound, chance);
        }
        DefectKind::Chip => patch::chip(&mut canvas, rim(sound.canvas, chance)?, chance),
        _ => {
            let at = spot(sound.canvas, chance)?;
            change(kind, sound.category, &mut canvas, at, chance);
        }
    }
    Some(canvas)
}

fn change(
    kind: DefectKind,
    category: Category,
    canvas: &mut Canvas,
    at: Point,
    chance: &mut Chance,
) {
    match kind {
        DefectKind::Scratch => line::scratch(canvas, at, chance),
        DefectKind::Crack => line::crack(canvas, at, chance),
        DefectKind::Fray => line::fray(canvas, at, chance),
        DefectKind::Stain => patch::stain(canvas, at, chance),
        DefectKind::Hole => patch::hole(canvas, at, chance),
        DefectKind::Dent => patch::dent(canvas, at, chance),
        DefectKind::Discolouration => patch::discolour(canvas, at, chance),
        DefectKind::Contamination => patch::contaminate(canvas, at, chance),
        DefectKind::Growth => patch::grow(canvas, category, at, chance),
        DefectKind::Bleeding => patch::bleed(canvas, at, chance),
        DefectKind::MissingPart | DefectKind::WrongPart | DefectKind::Chip => (),
    }
}

/// A point well inside the subject.
fn spot(canvas: &Canvas, chance: &mut Chance) -> Option<Point> {
    let is_inside = |at: &Point| {
        let around = (0..6).map(|i| *at + Point::polar(i as f32, 0.03));
        canvas.cover(*at) > 0.9 && around.filter(|at| canvas.cover(*at) > 0.5).count() >= 4
    };
    let mut draw = || Point::new(0.5, 0.5) + chance.point(0.34);
    (0..200).map(|_| draw()).find(is_inside)
}

/// A point on the subject's outline, met from outside on the way to the middle.
fn rim(canvas: &Canvas, chance: &mut Chance) -> Option<Point> {
    let middle = Point::new(0.5, 0.5) + chance.point(0.05);
    let angle = chance.angle();
    let way = (0..100).rev().map(|i| middle + Point::polar(angle, 0.005 * i as f32));
    way.into_iter().find(|at| canvas.cover(*at) > 0.5)
}

/// The stage with one part exchanged; `None` where the subject has no parts.
fn exchange(kind: DefectKind, sound: &NormalScene<'_>, chance: &mut Chance) -> Option<Canvas> {
    let how = match kind {
        DefectKind::MissingPart => Alteration::Missing,
        _ => Alteration::Wrong,
    };
    let mut canvas = sound.stage.paint_altered(how, sound.canvas.side, chance)?;
    sound.marks.iter().for_each(|mark| mark.apply(&mut canvas));
    Some(canvas)
}

/// A change of any colour by this share of white is noticed: four times the deviation of a clean
/// sensor's noise, one and a half times that of a poor one's.
const NOTICED: f32 = 0.035;

/// Shares of the picture that a defect may take.
const SMALLEST: f32 = 0.0025;
const LARGEST: f32 = 0.25;

/// The mean change in the mask that a defect must reach.
const FAINTEST: f32 = 0.07;

/// Which pixels a defect changed, and by how much.
pub(super) struct Change {
    size: usize,
    changed: Vec<bool>,
    /// Mean change of the changed pixels.
    strength: f32,
}

impl Change {
    pub(super) fn between(sound: &Exposure, defective: &Exposure) -> Self {
        let size = sound.size;
        let largest = |(a, b): (&[f32; 3], &[f32; 3])| {
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let change: Vec<f32> = sound.pixels.iter().zip(&defective.pixels).map(largest).collect();
        let noticed: Vec<f32> = change.iter().copied().filter(|c| *c > NOTICED).collect();
        let strength = noticed.iter().sum::<f32>() / noticed.len().max(1) as f32;
        let changed = close(&change.iter().map(|c| *c > NOTICED).collect::<Vec<_>>(), size);
        Self { size, changed, strength }
    }

    /// Whether it is seen well, and neither a speck nor most of the picture.
    pub(super) fn is_fit(&self) -> bool {
        self.share() >= SMALLEST && self.is_allowed() && self.strength >= FAINTEST
    }

    /// Whether there is a change at all, and not of most of the picture.
    pub(super) fn is_allowed(&self) -> bool {
        self.share() > 0.0 && self.share() <= LARGEST
    }

    /// Whether `other` is seen better.
    pub(super) fn is_fainter(&self, other: &Self) -> bool {
        self.strength * self.share().sqrt() < other.strength * other.share().sqrt()
    }

    /// The share of the picture that is changed.
    fn share(&self) -> f32 {
        let count = self.changed.iter().filter(|changed| **changed).count();
        count as f32 / self.changed.len().max(1) as f32
    }

    /// White where the picture is changed.
    pub(super) fn mask(&self) -> GrayImage {
        let size = self.size as u32;
        GrayImage::from_fn(size, size, |x, y| {
            let changed = self.changed[y as usize * self.size + x as usize];
            Luma([if changed { 255 } else { 0 }])
        })
    }
}

/// Fills gaps of one or two pixels (at 112 pixels; more at larger sizes): a stain on a dark thread is
/// still a stain.
fn close(changed: &[bool], size: usize) -> Vec<bool> {
    let reach = (size / 112).max(1);
    let grown = spread(changed, size, reach, true);
    spread(&grown, size, reach, false)
}

/// `value` takes the pixels up to `reach` away in both directions; outside the picture is nothing.
fn spread(pixels: &[bool], size: usize, reach: usize, value: bool) -> Vec<bool> {
    let along = |pixels: &[bool], index: fn(usize, usize, usize) -> usize| {
        let mut result = pixels.to_vec();
        for (line, place) in (0..size).flat_map(|line| (0..size).map(move |place| (line, place))) {
            let window = place.saturating_sub(reach)..=(place + reach).min(size - 1);
            if window.into_iter().any(|at| pixels[index(line, at, size)] == value) {
                result[index(line, place, size)] = value;
            }
        }
        result
    };
    let rows = along(pixels, |line, place, size| line * size + place);
    along(&rows, |line, place, size| place * size + line)
}
