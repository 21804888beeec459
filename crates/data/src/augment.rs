//! The training augmentation: image and mask rotated, shifted and flipped together, after resizing
//! and normalisation.
//!
//! The four steps are nearest-neighbour look-ups one after the other, as torchvision's `rotate`,
//! `affine` and flips on tensors. A chain of look-ups is one look-up, so a [`Placement`] is applied
//! in a single pass with the same result. What comes from outside the frame is 0: in a normalised
//! image the mean colour, in a mask normal.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// How strongly and how often training pictures are moved. The default is the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Rotation is drawn uniformly from minus to plus this many degrees.
    pub max_rotation_degrees: f64,
    /// How often a picture is rotated, 0 to 1.
    pub rotation_probability: f64,
    /// Each axis is shifted by a whole number of pixels, uniformly within plus or minus this
    /// fraction of the side.
    pub max_shift: f64,
    /// How often a picture is shifted, 0 to 1.
    pub shift_probability: f64,
    /// How often left and right are swapped, 0 to 1.
    pub horizontal_flip_probability: f64,
    /// How often top and bottom are swapped, 0 to 1.
    pub vertical_flip_probability: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            max_rotation_degrees: 30.0,
            rotation_probability: 0.5,
            max_shift: 0.15,
            shift_probability: 0.5,
            horizontal_flip_probability: 0.5,
            vertical_flip_probability: 0.5,
        }
    }
}

impl Augmentation {
    /// Leaves every picture as it is.
    pub fn none() -> Self {
        Self {
            rotation_probability: 0.0,
            shift_probability: 0.0,
            horizontal_flip_probability: 0.0,
            vertical_flip_probability: 0.0,
            ..Self::default()
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`DataError::Setting`] naming the first value that is out of its range.
    pub fn validate(&self) -> Result<(), DataError> {
        within("max_rotation_degrees", self.max_rotation_degrees, 180.0, "use 0 to 180")?;
        within("max_shift", self.max_shift, 1.0, "use a fraction of the side, 0 to 1")?;
        for (key, value) in [
            ("rotation_probability", self.rotation_probability),
            ("shift_probability", self.shift_probability),
            ("horizontal_flip_probability", self.horizontal_flip_probability),
            ("vertical_flip_probability", self.vertical_flip_probability),
        ] {
            within(key, value, 1.0, "use a probability, 0 to 1")?;
        }
        Ok(())
    }

    /// Draws the movement of one picture of `size` x `size` pixels.
    ///
    /// Seven numbers are drawn whatever the settings, so changing one setting leaves the others'
    /// draws as they were.
    pub fn draw(&self, size: usize, rng: &mut impl Rng) -> Placement {
        let rotated = happens(rng, self.rotation_probability);
        let degrees = symmetric(rng) * self.max_rotation_degrees;
        let shifted = happens(rng, self.shift_probability);
        let mut pixels =
            || (symmetric(rng) * self.max_shift * size as f64).round_ties_even() as i64;
        let (right, down) = (pixels(), pixels());
        Placement {
            rotation_degrees: if rotated { degrees } else { 0.0 },
            shift_right: if shifted { right } else { 0 },
            shift_down: if shifted { down } else { 0 },
            flipped_horizontally: happens(rng, self.horizontal_flip_probability),
            flipped_vertically: happens(rng, self.vertical_flip_probability),
        }
    }
}

fn within(key: &'static str, value: f64, most: f64, remedy: &'static str) -> Result<(), DataError> {
    if (0.0..=most).contains(&value) {
        return Ok(());
    }
    Err(DataError::setting(key, value, remedy))
}

fn happens(rng: &mut impl Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

/// Uniform in -1 to 1.
fn symmetric(rng: &mut impl Rng) -> f64 {
    2.0 * rng.random::<f64>() - 1.0
}

/// One drawn movement: rotate about the centre, then shift, then flip.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Placement {
    /// Counterclockwise, in degrees.
    pub rotation_degrees: f64,
    /// Pixels to the right.
    pub shift_right: i64,
    /// Pixels down.
    pub shift_down: i64,
    /// Left and right are swapped.
    pub flipped_horizontally: bool,
    /// Top and bottom are swapped.
    pub flipped_vertically: bool,
}

impl Placement {
    /// Moves `planes`, `[channels, size, size]` row by row, every channel alike. Surplus values are
    /// dropped.
    pub fn apply(&self, planes: &[f32], size: usize) -> Vec<f32> {
        let area = size.saturating_mul(size);
        if area == 0 {
            return Vec::new();
        }
        let sources = self.sources(size);
        let mut moved = Vec::with_capacity(planes.len());
        for plane in planes.chunks_exact(area) {
            let value = |source: &Option<usize>| source.and_then(|at| plane.get(at).copied());
            moved.extend(sources.iter().map(|source| value(source).unwrap_or(0.0)));
        }
        moved
    }

    /// For each pixel of the moved picture the one it shows, `None` where that is out of frame.
    fn sources(&self, size: usize) -> Vec<Option<usize>> {
        let rotation = Rotation::new(self.rotation_degrees, size);
        let side = size as i64;
        let mut sources = Vec::with_capacity(size * size);
        for row in 0..side {
            let y = if self.flipped_vertically { side - 1 - row } else { row };
            let y = y.saturating_sub(self.shift_down);
            for column in 0..side {
                let x = if self.flipped_horizontally { side - 1 - column } else { column };
                sources.push(rotation.source(x.saturating_sub(self.shift_right), y));
            }
        }
        sources
    }
}

/// Looks a rotated picture's pixels up in the picture as it was.
struct Rotation {
    sine: f64,
    cosine: f64,
    centre: f64,
    side: i64,
}

impl Rotation {
    fn new(degrees: f64, size: usize) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        Self { sine, cosine, centre: (size as f64 - 1.0) / 2.0, side: size as i64 }
    }

    /// Index of the source pixel; `None` when this pixel or its source is out of frame.
    fn source(&self, x: i64, y: i64) -> Option<usize> {
        let frame = 0..self.side;
        if !frame.contains(&x) || !frame.contains(&y) {
            return None;
        }
        let (dx, dy) = (x as f64 - self.centre, y as f64 - self.centre);
        let nearest = |offset: f64| (offset + self.centre).round_ties_even() as i64;
        let from_x = nearest(self.cosine * dx - self.sine * dy);
        let from_y = nearest(self.sine * dx + self.cosine * dy);
        let inside = frame.contains(&from_x) && frame.contains(&from_y);
        inside.then(|| usize::try_from(from_y * self.side + from_x).ok()).flatten()
    }
}

#[cfg(test)]
mod tests;
