//! Bicubic resizing of 8-bit pictures, bit for bit as Pillow does it.
//!
//! A picture one grey level off in places moves a ViT's tokens by 5e-4, more than the whole model is
//! allowed to differ from its reference. Libraries that round their weights to 16 bits are that far
//! off, so the two passes stand here: weights of 22 bits, rows first, rounded and clipped to bytes
//! after each pass.
//!
//! A processor multiplies pairs of 16-bit numbers and adds both products in one instruction. So each
//! weight is split into two such numbers, columns and rows are taken two by two, and values are laid
//! down in the order in which that instruction takes them. A sum cannot overflow: the weights of a
//! window sum to one, their magnitudes to less than two, and a byte has 8 bits beside the 22.

mod products;

use products::{LANES, PairProducts, PairWork, Sums, with_widest};

use super::window::{PairWeights, Window, windows};

const CHANNELS: usize = 3;
/// Bytes of a pixel while it is resized: a fourth one makes four rows one vector.
const PADDED: usize = 4;
/// Bytes of a pixel of two rows, or of two pixels of a row.
const PAIR: usize = 2 * PADDED;
/// Pairs of rows that the rows pass takes at once.
const ROW_PAIRS: usize = LANES / PAIR;

/// Vectors that the columns pass takes at once.
const VECTORS: usize = 4;
/// Bytes of them, of two rows.
const STRIP: usize = 2 * LANES * VECTORS;
/// Pairs of resized rows that may be kept before those not needed any more are dropped.
const KEPT: usize = 32;

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
    with_widest(Bicubic { picture, columns: &columns, rows: &rows })
}

/// Both passes of one picture.
struct Bicubic<'a> {
    picture: &'a Pixels<'a>,
    columns: &'a [Window],
    rows: &'a [Window],
}

impl PairWork for Bicubic<'_> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn run<P: PairProducts>(self, products: P) -> Vec<u8> {
        let size = self.columns.len();
        let mut rows = ResizedRows::new(self.picture, self.columns, products);
        let mut planes = vec![0; CHANNELS * size * size];
        let stride = rows.stride;
        let mut line = vec![0; stride / 2];
        for (y, window) in self.rows.iter().enumerate() {
            along_columns(rows.of(window), stride, &window.weights, products, &mut line);
            part(&line, planes.chunks_exact_mut(size).skip(y).step_by(size));
        }
        planes
    }
}

/// The rows pass, a few rows ahead of the columns pass. The rows between them stay in the cache, and
/// a tall picture takes no more memory than a low one.
struct ResizedRows<'a, P: PairProducts> {
    picture: &'a Pixels<'a>,
    windows: &'a [Window],
    products: P,
    /// Bytes from one pair of resized rows to the next: whole strips.
    stride: usize,
    /// The pairs of resized rows from `first` on: each value of the upper row, then the lower row's.
    bytes: Vec<u8>,
    first: usize,
    /// Rows, two pixels behind each other: both reds, both greens, both blues.
    paired: [[Vec<[u8; PAIR]>; 2]; ROW_PAIRS],
    woven: Vec<P::Values>,
}

impl<'a, P: PairProducts> ResizedRows<'a, P> {
    fn new(picture: &'a Pixels<'a>, windows: &'a [Window], products: P) -> Self {
        let pairs = picture.width.div_ceil(2);
        let row = || vec![[0; PAIR]; pairs];
        Self {
            picture,
            windows,
            products,
            stride: (windows.len() * PAIR).next_multiple_of(STRIP),
            bytes: Vec::new(),
            first: 0,
            paired: std::array::from_fn(|_| [row(), row()]),
            woven: vec![products.values(&[0; 2 * LANES]); pairs],
        }
    }

    /// The rows of a window, which does not start before the last one asked for.
    #[inline(always)]
    fn of(&mut self, window: &Window) -> &[u8] {
        if self.bytes.len() > KEPT * self.stride {
            self.bytes.drain(..(window.first - self.first) * self.stride);
            self.first = window.first;
        }
        let start = (window.first - self.first) * self.stride;
        while self.bytes.len() < start + window.weights.len() * self.stride {
            self.resize_next();
        }
        &self.bytes[start..]
    }

    #[inline(always)]
    fn resize_next(&mut self) {
        let (row, made) = (self.picture.width * CHANNELS, self.bytes.len());
        let next = 2 * (self.first + made / self.stride);
        let rows = self.picture.bytes[next * row..].chunks_exact(row);
        // Rows below the last one stay what they were: no window gives them any weight.
        for (paired, row) in self.paired.as_flattened_mut().iter_mut().zip(rows) {
            pair_up(row, paired);
        }
        weave(&self.paired, self.products, &mut self.woven);
        self.bytes.resize(made + ROW_PAIRS * self.stride, 0);
        let (upper, lower) = self.bytes[made..].split_at_mut(self.stride);
        let outputs = upper.as_chunks_mut().0.iter_mut().zip(lower.as_chunks_mut().0);
        for ((upper, lower), window) in outputs.zip(self.windows) {
            let mut sums = Sums::start(self.products);
            for (values, weights) in self.woven[window.first..].iter().zip(&window.weights) {
                sums.add(*values, weights, self.products);
            }
            let bytes = self.products.bytes(sums);
            let (pairs, _) = bytes.as_chunks::<PAIR>();
            (*upper, *lower) = (pairs[0], pairs[1]);
        }
    }
}

/// Four pixels at once are one shuffle of the 16 bytes that begin with them.
#[inline(always)]
fn pair_up(row: &[u8], paired: &mut [[u8; PAIR]]) {
    let mut rest = row;
    let (fours, _) = paired.as_chunks_mut::<2>();
    let mut done = 0;
    for four in fours {
        let Some(p) = rest.first_chunk::<16>() else { break };
        *four = [
            [p[0], p[3], p[1], p[4], p[2], p[5], p[3], p[6]],
            [p[6], p[9], p[7], p[10], p[8], p[11], p[9], p[12]],
        ];
        rest = &rest[4 * CHANNELS..];
        done += 2;
    }
    for (two, pixels) in paired[done..].iter_mut().zip(rest.chunks(2 * CHANNELS)) {
        let p = |at| pixels.get(at).copied().unwrap_or(0);
        *two = [p(0), p(3), p(1), p(4), p(2), p(5), 0, 0];
    }
}

/// Two pixels of every row as one vector: for each channel the upper row's two, the lower row's two.
#[inline(always)]
fn weave<P: PairProducts>(
    rows: &[[Vec<[u8; PAIR]>; 2]; ROW_PAIRS],
    products: P,
    woven: &mut [P::Values],
) {
    let [[a, b], [c, d]] = rows;
    for ((((woven, a), b), c), d) in woven.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let mut pairs = [0; 2 * LANES];
        let (halves, _) = pairs.as_chunks_mut::<LANES>();
        (halves[0], halves[1]) = (interleave(a, b), interleave(c, d));
        *woven = products.values(&pairs);
    }
}

#[inline(always)]
fn interleave(a: &[u8; PAIR], b: &[u8; PAIR]) -> [u8; LANES] {
    [a[0], a[1], b[0], b[1], a[2], a[3], b[2], b[3], a[4], a[5], b[4], b[5], a[6], a[7], b[6], b[7]]
}

/// Resizes every column to one value.
#[inline(always)]
fn along_columns<P: PairProducts>(
    rows: &[u8],
    stride: usize,
    weights: &[PairWeights],
    products: P,
    line: &mut [u8],
) {
    for (at, line) in line.as_chunks_mut::<{ STRIP / 2 }>().0.iter_mut().enumerate() {
        let mut sums = [Sums::start(products); VECTORS];
        for (row, weights) in rows.chunks_exact(stride).zip(weights) {
            let (vectors, _) = row[at * STRIP..][..STRIP].as_chunks::<{ 2 * LANES }>();
            for (sums, values) in sums.iter_mut().zip(vectors) {
                sums.add(products.values(values), weights, products);
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
