//! Bicubic resizing of 8-bit pictures, bit for bit as Pillow does it.
//!
//! A picture one grey level off in places moves a ViT's tokens by 5e-4, more than the whole model is
//! allowed to differ from its reference. Libraries that round their weights to 16 bits are that far
//! off, so the two passes stand here: weights of 22 bits, rows first, rounded and clipped to bytes
//! after each pass.
//!
//! The innermost loops run over arrays of fixed length without looking for overflow, so that the
//! compiler makes vector instructions of them, and `pulp` runs them compiled for the processor at
//! hand. A sum cannot overflow: the weights of a window sum to one, their magnitudes to less than
//! two, and a byte has 8 bits beside the 22.

use pulp::{Arch, Simd, WithSimd};

use super::window::{FRACTION_BITS, Window, windows};

/// Half of the last place, so that the shift rounds.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

const CHANNELS: usize = 3;

/// Bytes of a pixel in the rows pass: a fourth one makes four rows one vector.
const PADDED: usize = 4;
/// Rows that the rows pass takes at once.
const ROWS: usize = 4;
const LANES: usize = ROWS * PADDED;

/// Values of a row that the columns pass takes at once.
const STRIP: usize = 128;

/// An interleaved 8-bit picture of three channels.
pub(super) struct Pixels<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bytes: &'a [u8],
}

/// `[3, size, size]` bytes.
pub(super) fn bicubic(picture: &Pixels<'_>, size: usize) -> Vec<u8> {
    let columns = windows(picture.width, size);
    let rows = windows(picture.height, size);
    Arch::new().dispatch(Bicubic { picture, columns: &columns, rows: &rows })
}

/// Both passes of one picture.
struct Bicubic<'a> {
    picture: &'a Pixels<'a>,
    columns: &'a [Window],
    rows: &'a [Window],
}

impl WithSimd for Bicubic<'_> {
    type Output = Vec<u8>;

    // Only what is inlined here is compiled for the processor's vectors.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<u8> {
        let rows = along_rows(self.picture, self.columns);
        along_columns(&rows, self.columns.len(), self.rows)
    }
}

/// Bytes from one row to the next between the passes: whole strips.
fn stride(size: usize) -> usize {
    (size * CHANNELS).next_multiple_of(STRIP)
}

/// The same pixel of several rows, one behind the other.
type Woven = [[u8; PADDED]; ROWS];

/// Several rows of padded pixels.
type Padded = [Vec<[u8; PADDED]>; ROWS];

/// Resizes every row; rows stay as many, [`stride`] bytes apart.
#[inline(always)]
fn along_rows(picture: &Pixels<'_>, windows: &[Window]) -> Vec<u8> {
    let row = picture.width * CHANNELS;
    let stride = stride(windows.len());
    let mut resized = vec![0; picture.height * stride];
    let mut padded = Padded::default().map(|_| vec![[0; PADDED]; picture.width]);
    let mut woven = vec![Woven::default(); picture.width];
    let mut outputs = vec![[0; LANES]; windows.len()];
    for (rows, resized) in picture.bytes.chunks(row * ROWS).zip(resized.chunks_mut(stride * ROWS)) {
        weave(rows.chunks_exact(row), &mut padded, &mut woven);
        for (output, window) in outputs.iter_mut().zip(windows) {
            *output = weighted(&woven[window.start..], &window.weights);
        }
        unweave(&outputs, resized.chunks_exact_mut(stride));
    }
    resized
}

#[inline(always)]
fn weave<'a>(rows: impl Iterator<Item = &'a [u8]>, padded: &mut Padded, woven: &mut [Woven]) {
    for (padded, row) in padded.iter_mut().zip(rows) {
        let (pixels, _) = row.as_chunks::<CHANNELS>();
        for (padded, [red, green, blue]) in padded.iter_mut().zip(pixels) {
            *padded = [*red, *green, *blue, 0];
        }
    }
    let [a, b, c, d] = padded;
    for ((((woven, a), b), c), d) in woven.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *woven = [*a, *b, *c, *d];
    }
}

#[inline(always)]
fn unweave<'a>(woven: &[[u8; LANES]], rows: impl Iterator<Item = &'a mut [u8]>) {
    for (lane, row) in rows.enumerate() {
        let (pixels, _) = row.as_chunks_mut::<CHANNELS>();
        for (pixel, woven) in pixels.iter_mut().zip(woven) {
            let [red, green, blue, _]: [u8; PADDED] = woven.as_chunks().0[lane];
            *pixel = [red, green, blue];
        }
    }
}

#[inline(always)]
fn weighted(woven: &[Woven], weights: &[i32]) -> [u8; LANES] {
    let mut sums = [HALF; LANES];
    let mut woven = woven.iter();
    // Not zipped: the compiler would vectorise along the window, which is short, and not across it.
    for weight in weights {
        let Some(pixels) = woven.next() else { break };
        for (sum, value) in sums.iter_mut().zip(pixels.as_flattened()) {
            *sum = add_product(*sum, *value, *weight);
        }
    }
    sums.map(to_byte)
}

/// Resizes every column and parts the channels.
#[inline(always)]
fn along_columns(bytes: &[u8], size: usize, windows: &[Window]) -> Vec<u8> {
    let stride = stride(size);
    let mut planes = vec![0; CHANNELS * size * size];
    let mut line = vec![0; stride];
    for (y, window) in windows.iter().enumerate() {
        let rows = &bytes[window.start * stride..];
        let (strips, _) = line.as_chunks_mut::<STRIP>();
        for (at, strip) in strips.iter_mut().enumerate() {
            *strip = weighted_strip(rows[at * STRIP..].chunks(stride), &window.weights);
        }
        part(&line, planes.chunks_exact_mut(size).skip(y).step_by(size));
    }
    planes
}

/// The first values of each row, weighted.
#[inline(always)]
fn weighted_strip<'a>(rows: impl Iterator<Item = &'a [u8]>, weights: &[i32]) -> [u8; STRIP] {
    let mut sums = [HALF; STRIP];
    for (row, weight) in rows.zip(weights) {
        for (sum, value) in sums.iter_mut().zip(&row[..STRIP]) {
            *sum = add_product(*sum, *value, *weight);
        }
    }
    sums.map(to_byte)
}

/// Writes each channel of a line of pixels to a row of its own.
#[inline(always)]
fn part<'a>(line: &[u8], rows: impl Iterator<Item = &'a mut [u8]>) {
    let (pixels, _) = line.as_chunks::<CHANNELS>();
    for (channel, row) in rows.enumerate() {
        for (value, pixel) in row.iter_mut().zip(pixels) {
            *value = pixel[channel];
        }
    }
}

#[inline(always)]
fn add_product(sum: i32, value: u8, weight: i32) -> i32 {
    sum.wrapping_add(i32::from(value).wrapping_mul(weight))
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}
