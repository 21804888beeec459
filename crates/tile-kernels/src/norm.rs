//! Layer normalisation, from rows of f32 to tiles.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use crate::format::Format;
use crate::isa::Isa;
use crate::kernel::{Kernel, Task, run};
use crate::lanes::Lanes;
use crate::rows::{Tokens, read, read_padded, write};
use crate::tiles::{ROWS, RegisterTile, SIDE, Shared, SharedBlocks};

/// Scale and shift of a layer normalisation, padded with zeros to a multiple of 32.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    width: usize,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    pub(crate) fn new(gamma: &[f32], beta: &[f32], epsilon: f32) -> Self {
        let padded = |values: &[f32]| {
            let mut padded = values.to_vec();
            padded.resize(values.len().next_multiple_of(SIDE), 0.0);
            padded
        };
        Self { width: gamma.len(), gamma: padded(gamma), beta: padded(beta), epsilon }
    }

    /// Numbers of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Blocks of a normalised row.
    pub(crate) fn blocks(&self) -> usize {
        self.gamma.len() / SIDE
    }

    /// Normalises rows into strips.
    ///
    /// # Shapes
    ///
    /// - stream: `[batch * tokens, width]`
    pub(crate) fn to_tiles<F: Format>(
        &self,
        isa: Isa,
        stream: &[f32],
        tokens: Tokens,
        to: &mut [RegisterTile],
    ) {
        let to = SharedBlocks::new(to, self.blocks() * F::TILES, F::TILES);
        let task = NormTask::<F> { norm: self, stream, tokens, to, format: PhantomData };
        run(isa, tokens.groups().div_ceil(GROUPS), &task);
    }
}

impl Norm {
    /// Adds to `gradient` that of the input, from that of the normalised rows.
    ///
    /// # Shapes
    ///
    /// - input, normed_gradient, gradient: `[batch * tokens, width]`
    pub(crate) fn add_input_gradient(
        &self,
        isa: Isa,
        input: &[f32],
        normed_gradient: &[f32],
        gradient: &mut [f32],
    ) {
        let gradient = Shared::new(gradient);
        let task = NormGradientTask { norm: self, input, normed_gradient, gradient };
        run(isa, (input.len() / self.width).div_ceil(GROUPS * SIDE), &task);
    }
}

/// Rows of f32 as strips, as they are.
///
/// # Shapes
///
/// - rows: `[batch * tokens, width]`
pub(crate) fn rows_to_tiles<F: Format>(
    isa: Isa,
    rows: &[f32],
    width: usize,
    tokens: Tokens,
    to: &mut [RegisterTile],
) {
    let blocks = width.div_ceil(SIDE);
    let to = SharedBlocks::new(to, blocks * F::TILES, F::TILES);
    let task = RowsTask::<F> { rows, width, tokens, to, format: PhantomData };
    run(isa, tokens.groups().div_ceil(GROUPS), &task);
}

/// Groups of rows that are one piece of work.
const GROUPS: usize = 4;

struct RowsTask<'a, F> {
    rows: &'a [f32],
    width: usize,
    tokens: Tokens,
    to: SharedBlocks<'a>,
    format: PhantomData<F>,
}

impl<F: Format> Task for RowsTask<'_, F> {
    #[inline(always)]
    fn piece<K: Kernel>(&self, index: usize) {
        for group in index * GROUPS..((index + 1) * GROUPS).min(self.tokens.groups()) {
            let rows = self.tokens.rows(group);
            for row in 0..SIDE {
                let start = (rows.start + row) * self.width;
                for block in 0..self.width.div_ceil(SIDE) {
                    let [low, high] = if row < rows.len() {
                        read::<K>(&self.rows[start..start + self.width], block)
                    } else {
                        [K::splat(0.0); 2]
                    };
                    // SAFETY: groups are written by one piece each, and a row's block is let go at once.
                    let tiles = unsafe { self.to.block(2 * group + row / ROWS, block) };
                    F::store_row::<K>(tiles, row % ROWS, low, high);
                }
            }
        }
    }
}

struct NormGradientTask<'a> {
    norm: &'a Norm,
    input: &'a [f32],
    normed_gradient: &'a [f32],
    gradient: Shared<'a, f32>,
}

impl Task for NormGradientTask<'_> {
    #[inline(always)]
    fn piece<K: Kernel>(&self, index: usize) {
        let width = self.norm.width;
        let rows = self.input.len() / width;
        for row in index * GROUPS * SIDE..((index + 1) * GROUPS * SIDE).min(rows) {
            let values = row * width..(row + 1) * width;
            // SAFETY: rows are written by one piece each.
            let to = unsafe { self.gradient.part(values.clone()) };
            let (input, gradient) = (&self.input[values.clone()], &self.normed_gradient[values]);
            self.norm.add_row_gradient::<K>(input, gradient, to);
        }
    }
}

/// 32 numbers of a row: the input, the gradient of what it was normalised to, and the scale.
struct RowBlock<K: Kernel> {
    x: [K::V; 2],
    g: [K::V; 2],
    gamma: [K::V; 2],
}

impl Norm {
    /// One row: with `unit` the normalised input and `scaled` the gradient times gamma, adds
    /// `(scaled - mean(scaled) - unit mean(scaled unit)) / deviation`.
    #[inline(always)]
    fn add_row_gradient<K: Kernel>(&self, input: &[f32], gradient: &[f32], to: &mut [f32]) {
        let Moments { mean, inverse } = moments::<K>(input, self.epsilon);
        let (middle, factor) = (K::splat(mean), K::splat(inverse));
        let mut total = [K::splat(0.0); 2];
        let mut along = [K::splat(0.0); 2];
        for block in 0..self.blocks() {
            let RowBlock { x, g, gamma } = self.read_row::<K>(input, gradient, block);
            for half in 0..2 {
                let scaled = K::mul(g[half], gamma[half]);
                let unit = K::mul(K::sub(x[half], middle), factor);
                total[half] = K::add(total[half], scaled);
                along[half] = K::mul_add(scaled, unit, along[half]);
            }
        }
        let count = self.width as f32;
        let total = K::splat(K::sum(K::add(total[0], total[1])) / count);
        let along = K::splat(K::sum(K::add(along[0], along[1])) / count);
        for block in 0..self.blocks() {
            let RowBlock { x, g, gamma } = self.read_row::<K>(input, gradient, block);
            let mut sums = read::<K>(to, block);
            for half in 0..2 {
                let scaled = K::mul(g[half], gamma[half]);
                let unit = K::mul(K::sub(x[half], middle), factor);
                let through = K::sub(K::sub(scaled, total), K::mul(unit, along));
                sums[half] = K::mul_add(through, factor, sums[half]);
            }
            write::<K>(sums, to, block);
        }
    }

    #[inline(always)]
    fn read_row<K: Kernel>(&self, input: &[f32], gradient: &[f32], block: usize) -> RowBlock<K> {
        RowBlock {
            x: read::<K>(input, block),
            g: read::<K>(gradient, block),
            gamma: read::<K>(&self.gamma, block),
        }
    }
}

struct NormTask<'a, F> {
    norm: &'a Norm,
    stream: &'a [f32],
    tokens: Tokens,
    to: SharedBlocks<'a>,
    format: PhantomData<F>,
}

impl<F: Format> Task for NormTask<'_, F> {
    #[inline(always)]
    fn piece<K: Kernel>(&self, index: usize) {
        let groups = index * GROUPS..((index + 1) * GROUPS).min(self.tokens.groups());
        for group in groups {
            let rows = self.tokens.rows(group);
            for row in 0..SIDE {
                let inside = row < rows.len();
                let values = if inside {
                    let start = (rows.start + row) * self.norm.width;
                    &self.stream[start..start + self.norm.width]
                } else {
                    &[]
                };
                self.store_row::<K>(group, row, values);
            }
        }
    }
}

impl<F: Format> NormTask<'_, F> {
    /// Writes one row, or zeros if it has no values.
    #[inline(always)]
    fn store_row<K: Kernel>(&self, group: usize, row: usize, values: &[f32]) {
        let norm = self.norm;
        let Moments { mean, inverse } = moments::<K>(values, norm.epsilon);
        let shift = K::splat(-mean * inverse);
        let inverse = K::splat(inverse);
        for block in 0..norm.blocks() {
            let [low, high] = if values.is_empty() {
                [K::splat(0.0); 2]
            } else {
                let [low, high] = read::<K>(values, block);
                let gamma = read::<K>(&norm.gamma, block);
                let beta = read::<K>(&norm.beta, block);
                let (low, high) =
                    (K::mul_add(low, inverse, shift), K::mul_add(high, inverse, shift));
                [K::mul_add(low, gamma[0], beta[0]), K::mul_add(high, gamma[1], beta[1])]
            };
            // SAFETY: groups are written by one piece each, and a row's block is let go at once.
            let tiles = unsafe { self.to.block(2 * group + row / ROWS, block) };
            F::store_row::<K>(tiles, row % ROWS, low, high);
        }
    }
}

/// What a row is normalised by.
pub(crate) struct Moments {
    pub(crate) mean: f32,
    /// `1 / sqrt(variance + epsilon)`.
    pub(crate) inverse: f32,
}

/// Mean and variance of a row, in two passes.
#[inline(always)]
pub(crate) fn moments<L: Lanes>(values: &[f32], epsilon: f32) -> Moments {
    let blocks = values.len().div_ceil(SIDE);
    let count = values.len().max(1) as f32;
    let mut sums = [L::splat(0.0); 2];
    for block in 0..blocks {
        let x = read::<L>(values, block);
        sums = [L::add(sums[0], x[0]), L::add(sums[1], x[1])];
    }
    let mean = L::sum(L::add(sums[0], sums[1])) / count;
    let middle = L::splat(mean);
    let mut squares = [L::splat(0.0); 2];
    for block in 0..blocks {
        // Behind the end stands the mean, so that nothing is added for it.
        let [low, high] = read_padded::<L>(values, block, mean);
        let x = [L::sub(low, middle), L::sub(high, middle)];
        squares = [L::mul_add(x[0], x[0], squares[0]), L::mul_add(x[1], x[1], squares[1])];
    }
    let sum = L::sum(L::add(squares[0], squares[1]));
    Moments { mean, inverse: (sum / count + epsilon).sqrt().recip() }
}
