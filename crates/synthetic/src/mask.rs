//! The mask of a defect: the pixels that it changed noticeably, found by taking the same picture with
//! and without it.

use image::{GrayImage, Luma};

use super::camera::Exposure;

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
