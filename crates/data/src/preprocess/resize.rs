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
/// Resized rows that may be kept before those not needed any more are dropped.
const KEPT: usize = 64;

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
        let mut rows = ResizedRows::new(self.picture, self.columns);
        let size = self.columns.len();
        let mut planes = vec![0; CHANNELS * size * size];
        let stride = rows.stride;
        let mut line = vec![0; stride];
        for (y, window) in self.rows.iter().enumerate() {
            along_columns(rows.of(window), stride, &window.weights, &mut line);
            part(&line, planes.chunks_exact_mut(size).skip(y).step_by(size));
        }
        planes
    }
}

/// The same pixel of several rows, one behind the other.
type Woven = [[u8; PADDED]; ROWS];

/// Several rows of padded pixels.
type Padded = [Vec<[u8; PADDED]>; ROWS];

/// The rows pass, a few rows ahead of the columns pass. The rows between them stay in the cache, and
/// a tall picture takes no more memory than a low one.
struct ResizedRows<'a> {
    picture: &'a Pixels<'a>,
    windows: &'a [Window],
    /// Bytes from one resized row to the next: whole strips.
    stride: usize,
    /// The resized rows from `first` on.
    bytes: Vec<u8>,
    first: usize,
    padded: Padded,
    woven: Vec<Woven>,
    outputs: Vec<[u8; LANES]>,
}

impl<'a> ResizedRows<'a> {
    fn new(picture: &'a Pixels<'a>, windows: &'a [Window]) -> Self {
        Self {
            picture,
            windows,
            stride: (windows.len() * CHANNELS).next_multiple_of(STRIP),
            bytes: Vec::new(),
            first: 0,
            padded: Padded::default().map(|_| vec![[0; PADDED]; picture.width]),
            woven: vec![Woven::default(); picture.width],
            outputs: vec![[0; LANES]; windows.len()],
        }
    }

    /// The rows of a window, which does not start before the last one asked for.
    #[inline(always)]
    fn of(&mut self, window: &Window) -> &[u8] {
        if self.bytes.len() > KEPT * self.stride {
            self.bytes.drain(..(window.start - self.first) * self.stride);
            self.first = window.start;
        }
        let start = (window.start - self.first) * self.stride;
        while self.bytes.len() < start + window.weights.len() * self.stride {
            self.resize_next();
        }
        &self.bytes[start..]
    }

    #[inline(always)]
    fn resize_next(&mut self) {
        let (row, made) = (self.picture.width * CHANNELS, self.bytes.len());
        let rows = self.picture.bytes[(self.first + made / self.stride) * row..].chunks_exact(row);
        self.bytes.resize(made + rows.len().min(ROWS) * self.stride, 0);
        weave(rows.take(ROWS), &mut self.padded, &mut self.woven);
        for (output, window) in self.outputs.iter_mut().zip(self.windows) {
            *output = weighted(&self.woven[window.start..], &window.weights);
        }
        unweave(&self.outputs, self.bytes[made..].chunks_exact_mut(self.stride));
    }
}

#[inline(always)]
fn weave<'a>(rows: impl Iterator<Item = &'a [u8]>, padded: &mut Padded, woven: &mut [Woven]) {
    for (padded, row) in padded.iter_mut().zip(rows) {
        pad(row, padded);
    }
    let [a, b, c, d] = padded;
    for ((((woven, a), b), c), d) in woven.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *woven = [*a, *b, *c, *d];
    }
}

/// Four pixels at once are one shuffle.
#[inline(always)]
fn pad(row: &[u8], padded: &mut [[u8; PADDED]]) {
    let (fours, rest) = row.as_chunks::<12>();
    let (padded_fours, padded_rest) = padded.as_chunks_mut::<4>();
    for (padded, p) in padded_fours.iter_mut().zip(fours) {
        *padded = [
            [p[0], p[1], p[2], 0],
            [p[3], p[4], p[5], 0],
            [p[6], p[7], p[8], 0],
            [p[9], p[10], p[11], 0],
        ];
    }
    for (padded, p) in padded_rest.iter_mut().zip(rest.as_chunks::<CHANNELS>().0) {
        *padded = [p[0], p[1], p[2], 0];
    }
}

#[inline(always)]
fn unweave<'a>(woven: &[[u8; LANES]], rows: impl Iterator<Item = &'a mut [u8]>) {
    let (woven_fours, woven_rest) = woven.as_chunks::<4>();
    for (lane, row) in rows.enumerate() {
        let pixel = |woven: &[u8; LANES]| -> [u8; PADDED] { woven.as_chunks().0[lane] };
        let (fours, rest) = row[..woven.len() * CHANNELS].as_chunks_mut::<12>();
        for (four, woven) in fours.iter_mut().zip(woven_fours) {
            let [a, b, c, d] = woven.each_ref().map(pixel);
            *four = [a[0], a[1], a[2], b[0], b[1], b[2], c[0], c[1], c[2], d[0], d[1], d[2]];
        }
        for (values, woven) in rest.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(woven_rest) {
            let [red, green, blue, _] = pixel(woven);
            *values = [red, green, blue];
        }
    }
}

#[inline(always)]
fn weighted(woven: &[Woven], weights: &[i32]) -> [u8; LANES] {
    let mut sums = [HALF; LANES];
    let (pairs, last) = weights.as_chunks::<2>();
    let mut rest = woven;
    for [first, second] in pairs {
        let Some(([a, b], behind)) = rest.split_first_chunk() else { break };
        rest = behind;
        for (sum, (a, b)) in sums.iter_mut().zip(a.as_flattened().iter().zip(b.as_flattened())) {
            *sum = add_product(add_product(*sum, *a, *first), *b, *second);
        }
    }
    if let ([weight], Some(pixels)) = (last, rest.first()) {
        for (sum, value) in sums.iter_mut().zip(pixels.as_flattened()) {
            *sum = add_product(*sum, *value, *weight);
        }
    }
    sums.map(to_byte)
}

/// Resizes every column to one value.
#[inline(always)]
fn along_columns(rows: &[u8], stride: usize, weights: &[i32], line: &mut [u8]) {
    let (strips, _) = line.as_chunks_mut::<STRIP>();
    for (at, strip) in strips.iter_mut().enumerate() {
        let mut sums = [HALF; STRIP];
        for (row, weight) in rows.chunks_exact(stride).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(&row[at * STRIP..][..STRIP]) {
                *sum = add_product(*sum, *value, *weight);
            }
        }
        *strip = sums.map(to_byte);
    }
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

#[cfg(test)]
mod tests;
