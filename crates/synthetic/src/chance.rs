//! The random numbers of one picture: all of them follow from seed, category, state and index, so
//! the bytes do not depend on which thread draws a picture, or when.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::noise::Noise;
use super::shape::Point;
use super::texel::Colour;

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
