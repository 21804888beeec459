//! Parts of a crop replaced by something else: what the self-supervised term has to find.
//!
//! A blob or a band of the crop is filled with another place of the same picture, another picture, the
//! same place in other colours, or nearly one colour, behind a soft edge. Whoever can tell where that was has
//! learned what is regular on a surface. No defect is involved: the crops are of normal pictures.

use std::f32::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::view::Colour;

/// A change of a pixel by less than this share of white cannot be seen.
const NOTICED: f32 = 0.04;

/// Changed pixels that make a patch a replaced one.
const ENOUGH: usize = 4;

/// Which pixels are replaced, and how much, 0 to 1.
struct Blob {
    shares: Vec<f32>,
}

/// Replaces a part of `pixels`, `side` by `side`, drawing on `other` of the same size; returns for each
/// patch of `patch` pixels whether it was changed, 1 or 0.
pub(crate) fn replace(
    pixels: &mut [Colour],
    other: &[Colour],
    patch: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<f32> {
    let side = (pixels.len() as f64).sqrt().round() as usize;
    let before = pixels.to_vec();
    for _ in 0..rng.random_range(1..=2) {
        let blob =
            if rng.random_bool(0.6) { Blob::round(side, rng) } else { Blob::band(side, rng) };
        let filling = filling(pixels, other, side, rng);
        for ((pixel, fill), share) in pixels.iter_mut().zip(filling).zip(&blob.shares) {
            *pixel = mix(*pixel, fill, *share);
        }
    }
    changed(&before, pixels, side, patch)
}

/// What a blob is filled with, for every pixel.
fn filling(pixels: &[Colour], other: &[Colour], side: usize, rng: &mut ChaCha8Rng) -> Vec<Colour> {
    let moved = |from: &[Colour], rng: &mut ChaCha8Rng| -> Vec<Colour> {
        let (down, right) = (rng.random_range(0..side), rng.random_range(0..side));
        let transposed = rng.random_bool(0.5);
        let source = |index: usize| {
            let (y, x) = (index / side, index % side);
            let (y, x) = if transposed { (x, y) } else { (y, x) };
            from[(y + down) % side * side + (x + right) % side]
        };
        (0..side * side).map(source).collect()
    };
    match rng.random_range(0..5) {
        0 => moved(pixels, rng),
        1 => moved(other, rng),
        2 | 3 => {
            let light = rng.random_range(-0.25..0.25_f32);
            let tint: Colour = std::array::from_fn(|_| light + rng.random_range(-0.12..0.12_f32));
            let contrast = rng.random_range(0.5..1.4_f32);
            let mean = mean(pixels);
            let recolour = |pixel: &Colour| {
                std::array::from_fn(|c| {
                    (mean[c] + (pixel[c] - mean[c]) * contrast + tint[c]).clamp(0.0, 1.0)
                })
            };
            pixels.iter().map(recolour).collect()
        }
        _ => {
            let colour: Colour = pixels[rng.random_range(0..pixels.len())];
            let shift = rng.random_range(-0.2..0.2_f32);
            let texture = rng.random_range(0.0..0.8_f32);
            let mean = mean(other);
            let rough = |pixel: &Colour| {
                std::array::from_fn(|c| {
                    (colour[c] + shift + (pixel[c] - mean[c]) * texture).clamp(0.0, 1.0)
                })
            };
            other.iter().map(rough).collect()
        }
    }
}

impl Blob {
    /// A disc with a wavy outline.
    fn round(side: usize, rng: &mut ChaCha8Rng) -> Self {
        let whole = side as f32;
        let middle = [rng.random_range(0.0..whole), rng.random_range(0.0..whole)];
        let radius = rng.random_range(2.5..11.0_f32);
        let stretch = rng.random_range(0.6..1.6_f32);
        let waves: [(f32, f32); 3] =
            std::array::from_fn(|_| (rng.random_range(0.0..0.25), rng.random_range(0.0..TAU)));
        let softness = rng.random_range(0.6..2.0_f32);
        Self::of(side, |y, x| {
            let (y, x) = ((y - middle[0]) * stretch, x - middle[1]);
            let angle = y.atan2(x);
            let wave = |(i, (height, phase)): (usize, &(f32, f32))| {
                height * ((i + 2) as f32 * angle + phase).sin()
            };
            let outline = radius * (1.0 + waves.iter().enumerate().map(wave).sum::<f32>());
            (outline - y.hypot(x)) / softness
        })
    }

    /// A bent band.
    fn band(side: usize, rng: &mut ChaCha8Rng) -> Self {
        let whole = side as f32;
        let middle = [rng.random_range(0.0..whole), rng.random_range(0.0..whole)];
        let angle = rng.random_range(0.0..TAU);
        let half_length = rng.random_range(4.0..0.45 * whole);
        let half_width = rng.random_range(0.5..2.2_f32);
        let bend = rng.random_range(-0.02..0.02_f32);
        let softness = rng.random_range(0.5..1.0_f32);
        Self::of(side, |y, x| {
            let (y, x) = (y - middle[0], x - middle[1]);
            let along = x * angle.cos() + y * angle.sin();
            let across = y * angle.cos() - x * angle.sin() - bend * along * along;
            (half_width - across.abs()).min(half_length - along.abs()) / softness
        })
    }

    /// From the distance to the outline, positive inside.
    fn of(side: usize, distance: impl Fn(f32, f32) -> f32) -> Self {
        let share = |index: usize| {
            let (y, x) = ((index / side) as f32, (index % side) as f32);
            (0.5 + distance(y, x)).clamp(0.0, 1.0)
        };
        Self { shares: (0..side * side).map(share).collect() }
    }
}

fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| from[c] + (to[c] - from[c]) * share)
}

fn mean(pixels: &[Colour]) -> Colour {
    let sum = |c: usize| pixels.iter().map(|pixel| pixel[c]).sum::<f32>();
    std::array::from_fn(|c| sum(c) / pixels.len().max(1) as f32)
}

/// For each patch, whether enough of its pixels have changed.
fn changed(before: &[Colour], after: &[Colour], side: usize, patch: usize) -> Vec<f32> {
    let columns = side / patch;
    let mut counts = vec![0_usize; columns * columns];
    for (index, (before, after)) in before.iter().zip(after).enumerate() {
        let (row, column) = (index / side / patch, index % side / patch);
        let change = before.iter().zip(after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if change > NOTICED && row < columns && column < columns {
            counts[row * columns + column] += 1;
        }
    }
    counts.into_iter().map(|count| if count >= ENOUGH { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_patch_counts_as_replaced_when_enough_of_it_has_changed() {
        let before = vec![[0.5; 3]; 64];
        let mut after = before.clone();
        (0..3).for_each(|x| after[x] = [0.9; 3]);
        assert_eq!(changed(&before, &after, 8, 4), [0.0; 4]);
        after[8] = [0.5, 0.5, 0.4];
        after[63] = [0.51; 3];
        assert_eq!(changed(&before, &after, 8, 4), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_replaced_follows_from_the_seed_and_stays_a_part() {
        let other = vec![[0.9, 0.1, 0.2]; 32 * 32];
        let draw = |seed| {
            let mut pixels = vec![[0.3; 3]; 32 * 32];
            let told = replace(&mut pixels, &other, 8, &mut ChaCha8Rng::seed_from_u64(seed));
            (pixels, told)
        };
        assert_eq!(draw(1), draw(1));
        let shares = (0..40).map(|seed| draw(seed).1.iter().sum::<f32>());
        let total: f32 = shares.sum();
        assert!((0.05..0.6).contains(&(total / (40.0 * 16.0))), "{total}");
    }
}
