//! Smooth random fields over the plane, from a hash of the lattice: what textures are made of.
//! Sixty lines, for the crates that have them compute in f64 and bring random numbers of their own.

use super::shape::{Point, mix};

/// A field that follows from its seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    seed: u32,
}

/// The cell of a plane strewn with seeds that a point lies in.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoiseCell {
    /// Distance to the nearest seed; the lattice's side is 1.
    pub(super) distance: f32,
    /// How much further the next seed is: 0 on the border between two cells.
    pub(super) border: f32,
    /// A number in 0..1 for each cell.
    pub(super) id: f32,
}

impl Noise {
    pub(super) fn new(seed: u32) -> Self {
        Self { seed }
    }

    /// A number in 0..1 for each point of the lattice.
    pub(super) fn hash(self, x: i32, y: i32) -> f32 {
        (self.bits(x, y) >> 8) as f32 / (1 << 24) as f32
    }

    /// Gradient noise: about -1 to 1, 0 in the mean, features of size 1.
    pub(super) fn at(self, point: Point) -> f32 {
        let (x, y) = (point.x.floor(), point.y.floor());
        let (right, down) = (point.x - x, point.y - y);
        let (x, y) = (x as i32, y as i32);
        let corner = |i: i32, j: i32| {
            let bits = self.bits(x + i, y + j);
            let slope = |bits: u32| (bits & 0xFFFF) as f32 / 32767.5 - 1.0;
            slope(bits) * (right - i as f32) + slope(bits >> 16) * (down - j as f32)
        };
        let fade = |t: f32| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
        let top = mix(corner(0, 0), corner(1, 0), fade(right));
        let bottom = mix(corner(0, 1), corner(1, 1), fade(right));
        1.6 * mix(top, bottom, fade(down))
    }

    /// The sum of `octaves` fields, each of half the size and half the strength of the one before.
    pub(super) fn fractal(self, point: Point, octaves: u32) -> f32 {
        let octave = |i: u32| {
            let scale = (1 << i) as f32;
            Self::new(self.seed.wrapping_add(i * 0x9E37)).at(point * scale) / scale
        };
        (0..octaves).map(octave).sum()
    }

    /// Thin branching lines where the field is near 1, 0 elsewhere.
    pub(super) fn ridges(self, point: Point, width: f32) -> f32 {
        let distance = self.fractal(point, 3).abs() / width;
        (1.0 - distance).max(0.0)
    }

    /// The cell around `point`; seeds lie in a lattice of side 1, each anywhere in its square.
    pub(super) fn cell(self, point: Point) -> NoiseCell {
        let (x, y) = (point.x.floor() as i32, point.y.floor() as i32);
        let mut nearest = NoiseCell { distance: f32::MAX, border: f32::MAX, id: 0.0 };
        let mut second = f32::MAX;
        for (i, j) in (-1..=1).flat_map(|j| (-1..=1).map(move |i| (x + i, y + j))) {
            let bits = self.bits(i, j);
            let part = |bits: u32| (bits & 0x3FF) as f32 / 1023.0;
            let seed = Point::new(i as f32 + part(bits), j as f32 + part(bits >> 10));
            let distance = (point - seed).length();
            if distance < nearest.distance {
                second = nearest.distance;
                nearest = NoiseCell { distance, border: 0.0, id: part(bits >> 20) };
            } else {
                second = second.min(distance);
            }
        }
        NoiseCell { border: second - nearest.distance, ..nearest }
    }

    /// All 32 bits depend on all of seed, x and y (the finaliser of MurmurHash3).
    fn bits(self, x: i32, y: i32) -> u32 {
        let mut bits = self.seed
            ^ (x as u32).wrapping_mul(0x9E37_79B1)
            ^ (y as u32).wrapping_mul(0x85EB_CA77).rotate_left(13);
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x85EB_CA6B);
        bits = (bits ^ (bits >> 13)).wrapping_mul(0xC2B2_AE35);
        bits ^ (bits >> 16)
    }
}
