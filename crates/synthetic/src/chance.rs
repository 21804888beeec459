//! The random numbers of one picture: all of them follow from seed, category, state and index, so
//! the bytes do not depend on which thread draws a picture, or when. [`Noise`] is a smooth random
//! field over the plane, from a hash of the lattice: what textures are made of. It is sixty lines,
//! for the crates that have such fields compute in f64 and bring random numbers of their own.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::canvas::{Colour, Point, mix};

/// A stream of random numbers with the draws that scenes are made of.
#[derive(Clone)]
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of a key; no two keys share one.
    pub(super) fn new(key: [u64; 4]) -> Self {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(key) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// The stream of the same key for the `attempt`th defect: what the defect draws moves nothing
    /// else in the picture.
    pub(super) fn fork(&self, attempt: u64) -> Self {
        let mut fork = self.0.clone();
        fork.set_stream(attempt + 1);
        Self(fork)
    }

    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.0.random::<f32>()
    }

    /// One of `0..count`; 0 where there is none.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count.max(1))
    }

    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.0.random_bool(probability)
    }

    /// 1 or -1.
    pub(super) fn sign(&mut self) -> f32 {
        if self.happens(0.5) { 1.0 } else { -1.0 }
    }

    pub(super) fn angle(&mut self) -> f32 {
        self.between(0.0, std::f32::consts::TAU)
    }

    /// A point of the square around 0.
    pub(super) fn point(&mut self, half_side: f32) -> Point {
        Point::new(self.between(-half_side, half_side), self.between(-half_side, half_side))
    }

    pub(super) fn pick<T: Copy, const N: usize>(&mut self, among: [T; N]) -> T {
        among[self.0.random_range(0..N)]
    }

    pub(super) fn noise(&mut self) -> Noise {
        Noise::new(self.0.random())
    }

    /// One of these colours, a little lighter or darker and of a slightly other hue.
    pub(super) fn colour<const N: usize>(&mut self, among: [Colour; N]) -> Colour {
        let light = self.between(0.85, 1.15);
        self.pick(among).map(|part| (part * light * self.between(0.94, 1.06)).clamp(0.02, 0.95))
    }
}

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
