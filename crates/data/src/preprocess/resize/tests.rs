//! The vectorised passes against the plainest way to write them, for shapes that leave rows, taps
//! and strips over.

use grid_resample::AxisWindow;
use pulp::Scalar;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::preprocess::window::FRACTION_BITS;

/// One output value after the other, every weight whole.
fn plain(picture: &Pixels<'_>, size: usize, filter: Filter) -> Vec<u8> {
    let columns = weights(picture.width, size, filter);
    let rows = weights(picture.height, size, filter);
    let sum = |weights: &[i32], value: &dyn Fn(usize) -> u8| {
        let products = weights.iter().enumerate().filter(|(_, weight)| **weight != 0);
        let sum: i32 = products.map(|(at, weight)| i32::from(value(at)) * weight).sum();
        ((sum + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).clamp(0, 255) as u8
    };
    let at = |x: usize, y: usize, channel: usize| {
        picture.bytes[(y * picture.width + x) * CHANNELS + channel]
    };
    let mut planes = Vec::new();
    for channel in 0..CHANNELS {
        let narrow: Vec<Vec<u8>> = (0..picture.height)
            .map(|y| columns.iter().map(|column| sum(column, &|x| at(x, y, channel))).collect())
            .collect();
        for row in rows.iter() {
            planes.extend((0..size).map(|x| sum(row, &|y| narrow[y][x])));
        }
    }
    planes
}

/// For each output the weights of all inputs, in fixed point.
fn weights(inputs: usize, outputs: usize, filter: Filter) -> Vec<Vec<i32>> {
    let fixed = |weight: &f64| (weight * f64::from(1u32 << FRACTION_BITS)).round() as i32;
    let row = |output: usize| {
        let AxisWindow { first, weights } = match filter {
            Filter::Bicubic => AxisWindow::bicubic_antialias(inputs, outputs, output),
            Filter::Bilinear => AxisWindow::bilinear_antialias(inputs, outputs, output),
        };
        let mut row = vec![0; inputs];
        row.iter_mut().skip(first).zip(&weights).for_each(|(to, weight)| *to = fixed(weight));
        row
    };
    (0..outputs).map(row).collect()
}

/// Noise of black, white and what lies between: the sharpest edges there are.
fn noise(width: usize, height: usize) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64((width * 1000 + height) as u64);
    let level = |any: u16| any.saturating_sub(128).min(255) as u8;
    (0..width * height * CHANNELS).map(|_| level(rng.random_range(0..512))).collect()
}

#[test]
fn every_shape_as_written_out_plainly() {
    for (width, height, size) in [
        (1, 1, 5),
        (3, 1, 7),
        (1, 9, 4),
        (5, 6, 43),
        (43, 43, 43),
        (64, 48, 128),
        (37, 1001, 9),
        (1001, 37, 9),
        (250, 330, 129),
    ] {
        let bytes = noise(width, height);
        let picture = Pixels { width, height, bytes: &bytes };
        check(&picture, size, Filter::Bicubic);
        check(&picture, size, Filter::Bilinear);
    }
}

fn check(picture: &Pixels<'_>, size: usize, filter: Filter) {
    let Pixels { width, height, .. } = *picture;
    let plain = plain(picture, size, filter);
    assert!(resize(picture, size, filter) == plain, "{width}x{height} to {size}, {filter:?}");
    let (columns, rows) = (windows(width, size, filter), windows(height, size, filter));
    let passes = || TwoPasses { picture, columns: &columns, rows: &rows };
    assert!(passes().run(Scalar) == plain, "{width}x{height} to {size}, no vectors");
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        let resized = avx2.vectorize(
            #[inline(always)]
            || passes().run(avx2),
        );
        assert!(resized == plain, "{width}x{height} to {size}, AVX2");
    }
}
