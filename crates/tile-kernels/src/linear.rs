//! Products with packed weights, and what happens to each 32 x 32 of them while it is in the cache.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use crate::block::DenseLayer;
use crate::format::{Format, transpose};
use crate::heads::store_columns;
use crate::isa::Isa;
use crate::kernel::{Kernel, Strips, Task, run};
use crate::lanes::portable::Portable;
use crate::rows::{Tokens, read, write};
use crate::tiles::{Buffer, Operand, ROWS, RegisterTile, SIDE, Shared, Square};

/// Weights of a linear layer as a right operand, and its bias.
#[derive(Debug)]
pub(crate) struct Linear<F> {
    tiles: Buffer<RegisterTile>,
    /// Blocks along the inputs.
    blocks: usize,
    /// Groups of 32 outputs.
    panels: usize,
    bias: Vec<f32>,
    format: PhantomData<F>,
}

impl<F: Format> Linear<F> {
    /// Packs weights that are read one by one, `weight(input, output)`, and a bias, `bias(output)`.
    /// Inputs and outputs are multiples of 32.
    pub(crate) fn pack(
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize, usize) -> f32 + Sync,
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        assert!(inputs.is_multiple_of(SIDE) && outputs.is_multiple_of(SIDE));
        let blocks = inputs / SIDE;
        let mut tiles = Buffer::<RegisterTile>::zeros(outputs / ROWS * blocks * F::TILES);
        tiles.par_chunks_mut(blocks * F::TILES).enumerate().for_each(|(strip, tiles)| {
            for (block, tiles) in tiles.chunks_mut(F::TILES).enumerate() {
                for pair in 0..ROWS {
                    let input = block * SIDE + 2 * pair;
                    let row =
                        |input| std::array::from_fn(|column| weight(input, strip * ROWS + column));
                    F::store_pair::<Portable>(tiles, pair, row(input), row(input + 1));
                }
            }
        });
        let bias = (0..outputs).map(bias).collect();
        Self { tiles, blocks, panels: outputs / SIDE, bias, format: PhantomData }
    }

    /// Weights and bias unpacked, from the padded places of inputs and outputs.
    pub(crate) fn dense(
        &self,
        inputs: usize,
        outputs: usize,
        padded: impl Fn(usize, usize) -> (usize, usize) + Sync,
    ) -> DenseLayer {
        let mut weight = vec![0.0; inputs * outputs];
        weight.par_chunks_mut(outputs).enumerate().for_each(|(input, row)| {
            for (output, weight) in row.iter_mut().enumerate() {
                let (input, output) = padded(input, output);
                *weight = self.weight(input, output);
            }
        });
        let bias = (0..outputs).map(|output| self.bias[padded(0, output).1]).collect();
        DenseLayer { weight, bias }
    }

    /// A weight as it is stored, rounded to the format.
    fn weight(&self, input: usize, output: usize) -> f32 {
        let strip = self.blocks * F::TILES;
        let block = output / ROWS * strip + input / SIDE * F::TILES;
        let tiles = &self.tiles[block..block + F::TILES];
        let (first, second) = F::load_pair::<Portable>(tiles, input % SIDE / 2);
        let row = if input.is_multiple_of(2) { first } else { second };
        row[output % ROWS]
    }

    /// Groups of 32 outputs.
    pub(crate) fn panels(&self) -> usize {
        self.panels
    }

    /// Multiplies strips of rows by the weights, and hands each square to an epilogue.
    pub(crate) fn apply<E: Epilogue>(
        &self,
        isa: Isa,
        rows: &[RegisterTile],
        tokens: Tokens,
        epilogue: &E,
    ) {
        let strip = self.blocks * F::TILES;
        let groups = tokens.groups();
        let plan = Plan::new(groups, self.panels, 2 * strip * size_of::<RegisterTile>());
        let task =
            LinearTask { linear: self, rows: Operand::new(rows, strip), groups, plan, epilogue };
        run(isa, plan.pieces(), &task);
    }
}

impl<F: Format> Linear<F> {
    /// Multiplies strips of rows by the weights with inputs and outputs exchanged, as gradients pass
    /// backwards; without the bias.
    pub(crate) fn apply_turned<E: Epilogue>(
        &self,
        isa: Isa,
        rows: &[RegisterTile],
        tokens: Tokens,
        epilogue: &E,
    ) {
        let strip = self.panels * F::TILES;
        let groups = tokens.groups();
        let plan = Plan::new(groups, self.blocks, 2 * strip * size_of::<RegisterTile>());
        let task =
            TurnedTask { linear: self, rows: Operand::new(rows, strip), groups, plan, epilogue };
        run(isa, plan.pieces(), &task);
    }

    /// 32 inputs as the columns of a right operand, with the outputs along: two strips behind one
    /// another. A panel is turned in the cache, so no second copy of the weights is kept.
    #[inline(always)]
    pub(crate) fn turn_panel<K: Kernel>(&self, inputs: usize, to: &mut [RegisterTile]) {
        let (low, high) = to.split_at_mut(self.panels * F::TILES);
        let weights = Operand::new(&self.tiles, self.blocks * F::TILES);
        for panel in 0..self.panels {
            let strips = weights.pair(panel);
            let mut square = Square::ZERO;
            for half in 0..2 {
                let block = &strips[half][inputs * F::TILES..][..F::TILES];
                for pair in 0..ROWS {
                    let (first, second) = F::load_pair::<K>(block, pair);
                    K::store(first, &mut square.0[2 * pair][half]);
                    K::store(second, &mut square.0[2 * pair + 1][half]);
                }
            }
            let turned = transpose::<K>(&square);
            let tiles = panel * F::TILES..(panel + 1) * F::TILES;
            store_columns::<K, F>(&mut low[tiles.clone()], &turned, 0);
            store_columns::<K, F>(&mut high[tiles], &turned, 1);
        }
    }

    /// Strips of a panel of outputs.
    #[inline(always)]
    pub(crate) fn panel(&self, panel: usize) -> [&[RegisterTile]; 2] {
        Operand::new(&self.tiles, self.blocks * F::TILES).pair(panel)
    }

    /// The bias of a panel of outputs.
    #[inline(always)]
    pub(crate) fn panel_bias<K: Kernel>(&self, panel: usize) -> [K::V; 2] {
        read::<K>(&self.bias, panel)
    }

    /// Tiles of a panel that [`Linear::turn_panel`] writes.
    pub(crate) fn turned_tiles(&self) -> usize {
        2 * self.panels * F::TILES
    }
}

struct TurnedTask<'a, F, E> {
    linear: &'a Linear<F>,
    rows: Operand<'a>,
    groups: usize,
    plan: Plan,
    epilogue: &'a E,
}

impl<F: Format, E: Epilogue> Task for TurnedTask<'_, F, E> {
    #[inline(always)]
    fn piece<K: Kernel>(&self, index: usize) {
        let Part { groups, panels } = self.plan.part(index, self.groups, self.linear.blocks);
        let mut turned = Buffer::zeros(self.linear.turned_tiles());
        let mut square = Square::ZERO;
        for panel in panels {
            self.linear.turn_panel::<K>(panel, &mut turned);
            let (low, high) = turned.split_at(turned.len() / 2);
            for group in groups.clone() {
                let strips = Strips { rows: self.rows.pair(group), columns: [low, high] };
                F::multiply::<K>(strips, low.as_ptr(), &mut square);
                self.epilogue.apply::<K>(group, panel, [K::splat(0.0); 2], &square);
            }
        }
    }
}

/// What is done with a square of a product while it is in the cache.
pub(crate) trait Epilogue: Sync {
    /// `group` of 32 rows, `panel` of 32 columns, whose bias is still to be added.
    fn apply<K: Kernel>(&self, group: usize, panel: usize, bias: [K::V; 2], square: &Square);
}

/// How a product is cut: chunks of rows that stay in the cache, bands of panels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    chunk: usize,
    chunks: usize,
    band: usize,
    bands: usize,
}

/// Bytes of rows that stay in the second cache beside the weights that pass through it.
const CHUNK: usize = 1_300_000;

/// Products, in thousands, that are worth a piece of their own.
const WORTHWHILE: usize = 2_000;

impl Plan {
    pub(crate) fn new(groups: usize, panels: usize, group_bytes: usize) -> Self {
        let chunks = groups.div_ceil((CHUNK / group_bytes).max(1));
        let chunk = groups.div_ceil(chunks);
        let chunks = groups.div_ceil(chunk);
        let kilo_products = chunk * group_bytes / 64 * SIDE / 1000;
        let band = (WORTHWHILE / kilo_products.max(1)).clamp(4, panels.max(4));
        Self { chunk, chunks, band, bands: panels.div_ceil(band) }
    }

    pub(crate) fn pieces(&self) -> usize {
        self.chunks * self.bands
    }

    /// Groups of rows and panels of a piece.
    pub(crate) fn part(&self, index: usize, groups: usize, panels: usize) -> Part {
        let first = index / self.bands * self.chunk;
        let band = index % self.bands * self.band;
        Part {
            groups: first..(first + self.chunk).min(groups),
            panels: band..(band + self.band).min(panels),
        }
    }
}

/// Groups of rows and panels that one piece multiplies.
pub(crate) struct Part {
    pub(crate) groups: Range<usize>,
    pub(crate) panels: Range<usize>,
}

struct LinearTask<'a, F, E> {
    linear: &'a Linear<F>,
    rows: Operand<'a>,
    groups: usize,
    plan: Plan,
    epilogue: &'a E,
}

impl<F: Format, E: Epilogue> Task for LinearTask<'_, F, E> {
    #[inline(always)]
    fn piece<K: Kernel>(&self, index: usize) {
        let Part { groups, panels } = self.plan.part(index, self.groups, self.linear.panels);
        let mut square = Square::ZERO;
        for panel in panels.clone() {
            let columns = self.linear.panel(panel);
            let bias = self.linear.panel_bias::<K>(panel);
            let next = self.linear.panel((panel + 1).min(panels.end - 1))[0];
            for (passed, group) in groups.clone().enumerate() {
                let rows = self.rows.pair(group);
                // Each group fetches an eighth of a strip's length of the next panel.
                let ahead = next.as_ptr().wrapping_byte_add(passed * next.len() * 128);
                F::multiply::<K>(Strips { rows, columns }, ahead, &mut square);
                self.epilogue.apply::<K>(group, panel, bias, &square);
            }
        }
    }
}

/// Adds a product to rows of f32.
pub(crate) struct AddTo<'a> {
    stream: Shared<'a, f32>,
    width: usize,
    tokens: Tokens,
}

impl<'a> AddTo<'a> {
    /// # Shapes
    ///
    /// - stream: `[batch * tokens, width]`
    pub(crate) fn new(stream: &'a mut [f32], width: usize, tokens: Tokens) -> Self {
        Self { stream: Shared::new(stream), width, tokens }
    }
}

impl Epilogue for AddTo<'_> {
    #[inline(always)]
    fn apply<K: Kernel>(&self, group: usize, panel: usize, bias: [K::V; 2], square: &Square) {
        let columns = panel * SIDE..((panel + 1) * SIDE).min(self.width);
        for (row, sums) in self.tokens.rows(group).zip(&square.0) {
            let start = row * self.width;
            // SAFETY: each square of the product is one piece's, and so are the numbers it is added to.
            let to = unsafe { self.stream.part(start + columns.start..start + columns.end) };
            let sums = [K::add(K::load(&sums[0]), bias[0]), K::add(K::load(&sums[1]), bias[1])];
            let before = read::<K>(to, 0);
            write::<K>([K::add(before[0], sums[0]), K::add(before[1], sums[1])], to, 0);
        }
    }
}

/// Writes a product as rows of f32.
pub(crate) struct WriteTo<'a>(AddTo<'a>);

impl<'a> WriteTo<'a> {
    /// # Shapes
    ///
    /// - rows: `[batch * tokens, width]`
    pub(crate) fn new(rows: &'a mut [f32], width: usize, tokens: Tokens) -> Self {
        Self(AddTo::new(rows, width, tokens))
    }
}

impl Epilogue for WriteTo<'_> {
    #[inline(always)]
    fn apply<K: Kernel>(&self, group: usize, panel: usize, bias: [K::V; 2], square: &Square) {
        let AddTo { stream, width, tokens } = &self.0;
        let columns = panel * SIDE..((panel + 1) * SIDE).min(*width);
        for (row, sums) in tokens.rows(group).zip(&square.0) {
            let start = row * width;
            // SAFETY: each square of the product is one piece's, and so are the numbers it becomes.
            let to = unsafe { stream.part(start + columns.start..start + columns.end) };
            let sums = [K::add(K::load(&sums[0]), bias[0]), K::add(K::load(&sums[1]), bias[1])];
            write::<K>(sums, to, 0);
        }
    }
}
