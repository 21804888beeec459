//! The vectorised passes against the plainest way to write them, for shapes that leave rows, taps
//! and strips over.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// One output value after the other.
fn plain(picture: &Pixels<'_>, size: usize) -> Vec<u8> {
    let (columns, rows) = (windows(picture.width, size), windows(picture.height, size));
    let sum = |window: &Window, value: &dyn Fn(usize) -> u8| {
        let products = window.weights.iter().enumerate();
        let products = products.map(|(at, w)| i32::from(value(window.start + at)) * w);
        to_byte(HALF + products.sum::<i32>())
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
        assert!(bicubic(&picture, size) == plain(&picture, size), "{width}x{height} to {size}");
    }
}
