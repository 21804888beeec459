//! Bicubic resizing of 8-bit pictures, bit for bit as Pillow does it.
//!
//! A picture one grey level off in places moves a ViT's tokens by 5e-4, more than the whole model is
//! allowed to differ from its reference. Libraries that round their weights to 16 bits are that far
//! off, so the two passes stand here: weights of 22 bits, rows first, rounded and clipped to bytes
//! after each pass.

use grid_resample::AxisMatrix;

/// Bits behind the point of a weight: as many as leave room for the sum of a window of bytes.
const FRACTION_BITS: u32 = 22;

/// Half of the last place, so that the shift rounds.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// An interleaved 8-bit picture of three channels.
pub(super) struct Pixels<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bytes: &'a [u8],
}

const CHANNELS: usize = 3;

/// `[size, size, 3]` bytes.
pub(super) fn bicubic(picture: &Pixels<'_>, size: usize) -> Vec<u8> {
    let Pixels { width, height, bytes } = *picture;
    let rows = along_rows(bytes, width, &windows(width, size));
    along_columns(&rows, size * CHANNELS, &windows(height, size))
}

/// The source positions that make one output, and their weights.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

fn windows(inputs: usize, outputs: usize) -> Vec<Window> {
    let axis = AxisMatrix::bicubic_antialias(inputs, outputs);
    (0..outputs).map(|output| Window::of(axis.row(output))).collect()
}

impl Window {
    /// The part of a row of weights that is not zero, in fixed point.
    fn of(row: &[f64]) -> Self {
        let start = row.iter().position(|weight| *weight != 0.0).unwrap_or(0);
        let end = row.iter().rposition(|weight| *weight != 0.0).map_or(0, |last| last + 1);
        let fixed = |weight: &f64| (weight * f64::from(1u32 << FRACTION_BITS)).round() as i32;
        Self { start, weights: row.get(start..end).unwrap_or_default().iter().map(fixed).collect() }
    }
}

/// Resizes every row; rows stay as many.
fn along_rows(bytes: &[u8], width: usize, windows: &[Window]) -> Vec<u8> {
    let mut resized = Vec::with_capacity(bytes.len() / width.max(1) * windows.len());
    for row in bytes.chunks_exact(width * CHANNELS) {
        for window in windows {
            let pixels = row[window.start * CHANNELS..].chunks_exact(CHANNELS);
            let mut sums = [HALF; CHANNELS];
            for (pixel, weight) in pixels.zip(&window.weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            resized.extend(sums.map(to_byte));
        }
    }
    resized
}

/// Resizes every column of a picture whose rows have `stride` bytes.
fn along_columns(bytes: &[u8], stride: usize, windows: &[Window]) -> Vec<u8> {
    let mut resized = Vec::with_capacity(windows.len() * stride);
    let mut sums = vec![HALF; stride];
    for window in windows {
        sums.fill(HALF);
        for (row, weight) in bytes.chunks_exact(stride).skip(window.start).zip(&window.weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        resized.extend(sums.iter().map(|sum| to_byte(*sum)));
    }
    resized
}

fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}
