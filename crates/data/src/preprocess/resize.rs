//! Resizing of 8-bit pictures, bit for bit as Pillow does it.
//!
//! A picture one grey level off in places moves a ViT's tokens by 5e-4, more than the whole model is
//! allowed to differ from its reference. Libraries that round their weights to 16 bits are that far
//! off, so the two passes stand here: weights of 22 bits, rows first, rounded and clipped to bytes
//! after each pass.
//!
//! A processor adds the products of four bytes and four small weights in one instruction. So columns
//! and rows are taken four by four, and bytes are laid down in the order in which that instruction
//! takes them. A sum cannot overflow: the weights of a window sum to one, their magnitudes to less
//! than two, and a byte has 8 bits beside the 22.

mod products;
mod vnni;

use products::{LANES, QuadProducts, QuadVector, QuadWork, with_widest};

use super::window::{Filter, QUAD, Windows, windows};

const CHANNELS: usize = 3;
/// Bytes of a pixel while it is resized: a fourth one makes four rows one vector.
const PADDED: usize = 4;
/// Bytes of a pixel of four rows, or of four pixels of a row.
const BLOCK: usize = PADDED * QUAD;
/// Bytes of sixteen pixels of a picture, of which four blocks are made.
const SIXTEEN: usize = 4 * QUAD * CHANNELS;
/// Pixels of four rows in a vector.
const PIXELS: usize = LANES / PADDED;

/// Vectors that the columns pass takes at once: a strip of four rows.
const STRIP: usize = 4;
/// Quads of resized rows that may be kept before those not needed any more are dropped.
const KEPT: usize = 16;

/// An interleaved 8-bit picture of three channels.
pub(super) struct Pixels<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bytes: &'a [u8],
}

/// `[3, size, size]` bytes.
pub(super) fn resize(picture: &Pixels<'_>, size: usize, filter: Filter) -> Vec<u8> {
    let columns = windows(picture.width, size, filter);
    let rows = windows(picture.height, size, filter);
    with_widest(TwoPasses { picture, columns: &columns, rows: &rows })
}

/// Both passes of one picture.
struct TwoPasses<'a> {
    picture: &'a Pixels<'a>,
    columns: &'a Windows,
    rows: &'a Windows,
}

impl QuadWork for TwoPasses<'_> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn run<P: QuadProducts>(self, products: P) -> Vec<u8> {
        let size = self.columns.firsts.len();
        let weights = packed(self.rows, products);
        let mut rows = ResizedRows::new(self.picture, self.columns, products);
        let mut planes = vec![0; CHANNELS * size * size];
        let stride = rows.stride;
        let mut line = vec![0; stride * LANES];
        let windows = self.rows.firsts.iter().zip(weights.chunks_exact(self.rows.quads));
        for (y, (first, weights)) in windows.enumerate() {
            along_columns(rows.of(*first, weights.len()), stride, weights, products, &mut line);
            part(&line, planes.chunks_exact_mut(size).skip(y).step_by(size));
        }
        planes
    }
}

/// The weights as the processor takes them.
#[inline(always)]
fn packed<P: QuadProducts>(windows: &Windows, products: P) -> Vec<P::Weights> {
    let mut weights = Vec::with_capacity(windows.weights.len());
    for quad in &windows.weights {
        weights.push(products.weights(*quad));
    }
    weights
}

/// The rows pass, a few rows ahead of the columns pass. The rows between them stay in the cache, and
/// a tall picture takes no more memory than a low one.
struct ResizedRows<'a, P: QuadProducts> {
    picture: &'a Pixels<'a>,
    windows: &'a Windows,
    weights: Vec<P::Weights>,
    products: P,
    /// Vectors from one quad of resized rows to the next: whole strips.
    stride: usize,
    /// The quads of resized rows from `first` on: each value of the four rows, upper row first.
    resized: Vec<QuadVector>,
    first: usize,
    /// Four rows, four pixels at once.
    woven: Vec<QuadVector>,
}

impl<'a, P: QuadProducts> ResizedRows<'a, P> {
    #[inline(always)]
    fn new(picture: &'a Pixels<'a>, windows: &'a Windows, products: P) -> Self {
        Self {
            picture,
            windows,
            weights: packed(windows, products),
            products,
            stride: windows.firsts.len().div_ceil(PIXELS).next_multiple_of(STRIP),
            resized: Vec::new(),
            first: 0,
            // No window begins behind the last quad of pixels.
            woven: vec![QuadVector::ZERO; picture.width.div_ceil(QUAD) + windows.quads],
        }
    }

    /// So many quads of rows from `first` on, which is not above the last one asked for.
    #[inline(always)]
    fn of(&mut self, first: usize, quads: usize) -> &[QuadVector] {
        if self.resized.len() > KEPT * self.stride {
            self.resized.drain(..(first - self.first) * self.stride);
            self.first = first;
        }
        let start = (first - self.first) * self.stride;
        let end = start + quads * self.stride;
        while self.resized.len() < end {
            self.resize_next();
        }
        &self.resized[start..end]
    }

    #[inline(always)]
    fn resize_next(&mut self) {
        let (row, made) = (self.picture.width * CHANNELS, self.resized.len());
        let (next, last) = (QUAD * (self.first + made / self.stride), self.picture.height - 1);
        // Rows below the last one are given no weight, so they may be that one again.
        let rows =
            std::array::from_fn(|at| &self.picture.bytes[row * last.min(next + at)..][..row]);
        weave(rows, &mut self.woven);
        self.resized.resize(made + self.stride, QuadVector::ZERO);
        match self.windows.quads {
            1 => self.sum_windows::<1>(made),
            2 => self.sum_windows::<2>(made),
            3 => self.sum_windows::<3>(made),
            _ => self.sum_windows::<4>(made),
        }
    }

    /// The woven rows resized, put at `made`, so many quads of a window without a loop.
    #[inline(always)]
    fn sum_windows<const N: usize>(&mut self, made: usize) {
        let (products, quads) = (self.products, self.windows.quads);
        let windows = self.windows.firsts.chunks(PIXELS).zip(self.weights.chunks(PIXELS * quads));
        for (output, (firsts, weights)) in self.resized[made..].iter_mut().zip(windows) {
            let windows = firsts.iter().zip(weights.chunks_exact(quads));
            for (output, (first, weights)) in output.blocks_mut().iter_mut().zip(windows) {
                let mut sums = products.start();
                let (values, _) = self.woven[*first..][..quads].as_chunks::<N>();
                for (values, weights) in values.iter().zip(weights.as_chunks::<N>().0) {
                    for (values, weights) in values.iter().zip(weights) {
                        sums = products.add(sums, products.values(values), *weights);
                    }
                }
                *output = across(&products.bytes(sums));
            }
        }
    }
}

impl QuadVector {
    const ZERO: Self = Self([0; QUAD * LANES]);

    /// Four pixels of each row, or each row of four pixels.
    #[inline(always)]
    fn blocks_mut(&mut self) -> &mut [[u8; BLOCK]] {
        self.0.as_chunks_mut().0
    }
}

/// Four pixels of each of four rows: row by row, channel by channel.
#[inline(always)]
fn weave(rows: [&[u8]; QUAD], woven: &mut [QuadVector]) {
    for (at, row) in rows.into_iter().enumerate() {
        let (sixteens, rest) = row.as_chunks();
        let (fours, last) = woven.as_chunks_mut();
        for (four, pixels) in fours.iter_mut().zip(sixteens) {
            weave_sixteen(pixels, four, at);
        }
        let left = fours[sixteens.len()..].as_flattened_mut().iter_mut().chain(last);
        for (woven, pixels) in left.zip(rest.chunks(QUAD * CHANNELS)) {
            let mut few = [0; SIXTEEN];
            few[..pixels.len()].copy_from_slice(pixels);
            woven.blocks_mut()[at] = by_channel(&few, 0, 12);
        }
    }
}

/// Sixteen pixels of row `at`.
#[inline(always)]
fn weave_sixteen(pixels: &[u8; SIXTEEN], woven: &mut [QuadVector; 4], at: usize) {
    let [first, second, third, last] = woven.each_mut().map(|woven| &mut woven.blocks_mut()[at]);
    *first = by_channel(pixels, 0, 12);
    *second = by_channel(pixels, 12, 24);
    *third = by_channel(pixels, 24, 36);
    *last = by_channel(pixels, 36, 32);
}

/// The four values of each channel, of the four pixels from byte `at` on, and in the place of a fourth
/// channel the four bytes from `next` on: where these lie beside each other, it is one shuffle.
#[inline(always)]
fn by_channel(p: &[u8; SIXTEEN], at: usize, next: usize) -> [u8; BLOCK] {
    [
        p[at],
        p[at + 3],
        p[at + 6],
        p[at + 9],
        p[at + 1],
        p[at + 4],
        p[at + 7],
        p[at + 10],
        p[at + 2],
        p[at + 5],
        p[at + 8],
        p[at + 11],
        p[next],
        p[next + 1],
        p[next + 2],
        p[next + 3],
    ]
}

/// Channels of four rows as rows of four channels, and the other way round.
#[inline(always)]
fn across(p: &[u8; BLOCK]) -> [u8; BLOCK] {
    [
        p[0], p[4], p[8], p[12], p[1], p[5], p[9], p[13], p[2], p[6], p[10], p[14], p[3], p[7],
        p[11], p[15],
    ]
}

/// Resizes every column to one value.
#[inline(always)]
fn along_columns<P: QuadProducts>(
    rows: &[QuadVector],
    stride: usize,
    weights: &[P::Weights],
    products: P,
    line: &mut [u8],
) {
    for (at, line) in line.as_chunks_mut::<{ LANES * STRIP }>().0.iter_mut().enumerate() {
        let mut sums = [products.start(); STRIP];
        for (row, weights) in rows.chunks_exact(stride).zip(weights) {
            for (sums, quads) in sums.iter_mut().zip(&row[at * STRIP..][..STRIP]) {
                *sums = products.add(*sums, products.values(quads), *weights);
            }
        }
        let (vectors, _) = line.as_chunks_mut::<LANES>();
        for (vector, sums) in vectors.iter_mut().zip(sums) {
            *vector = products.bytes(sums);
        }
    }
}

/// Writes each channel of a line of pixels to a row of its own. Shifts become vectors, indices do not.
#[inline(always)]
fn part<'a>(line: &[u8], rows: impl Iterator<Item = &'a mut [u8]>) {
    let (pixels, _) = line.as_chunks::<PADDED>();
    for (channel, row) in rows.enumerate() {
        for (value, pixel) in row.iter_mut().zip(pixels) {
            *value = (u32::from_le_bytes(*pixel) >> (8 * channel)) as u8;
        }
    }
}

#[cfg(test)]
mod tests;
