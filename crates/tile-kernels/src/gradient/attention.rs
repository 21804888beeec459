//! The gradients of queries, keys and values, with the scores computed once more.
//!
//! With `p` a weight, `s` its score, `o` what is mixed and `g` the gradient of that, for each query:
//! `ds = ln 2 p (v g - sum(o g))`, `dq = ds k`, `dk = ds q`, `dv = p g`. Scores are powers of two.
#![allow(unsafe_code)]

use std::f32::consts::LN_2;
use std::marker::PhantomData;
use std::ops::Range;

use crate::attention::{HIDDEN, Softmax, Visibility, hide_later_keys, scale_columns};
use crate::format::{Format, transpose};
use crate::heads::{
    BlockPlace, HeadSizes, HeadTiles, store_columns, store_rows, write_columns, write_rows,
};
use crate::isa::Isa;
use crate::kernel::{Kernel, Strips, Task, run};
use crate::linear::Epilogue;
use crate::rows::Tokens;
use crate::tiles::{Buffer, Operand, ROWS, RegisterTile, SIDE, Shared, SharedBlocks, Square};

/// Writes the gradient of what attention mixed as right operands, and what each query's weights take
/// of it together, `sum(o g)`.
pub(super) struct MixedGradient<'a, F> {
    mixed: Operand<'a>,
    /// Channels down, queries across.
    across: SharedBlocks<'a>,
    /// Queries down, channels across.
    along_queries: SharedBlocks<'a>,
    /// A part for each block of channels.
    along: Shared<'a, [[f32; 16]; 2]>,
    sizes: HeadSizes,
    tokens: Tokens,
    format: PhantomData<F>,
}

impl<'a, F: Format> MixedGradient<'a, F> {
    pub(super) fn new(
        mixed: &'a [RegisterTile],
        across: &'a mut [RegisterTile],
        along_queries: &'a mut [RegisterTile],
        along: &'a mut [[[f32; 16]; 2]],
        sizes: HeadSizes,
        tokens: Tokens,
    ) -> Self {
        Self {
            mixed: Operand::new(mixed, sizes.all_blocks() * F::TILES),
            across: SharedBlocks::new(across, sizes.blocks() * F::TILES, F::TILES),
            along_queries: SharedBlocks::new(
                along_queries,
                tokens.image_groups() * F::TILES,
                F::TILES,
            ),
            along: Shared::new(along),
            sizes,
            tokens,
            format: PhantomData,
        }
    }
}

impl<F: Format> Epilogue for MixedGradient<'_, F> {
    #[inline(always)]
    fn apply<K: Kernel>(&self, group: usize, panel: usize, _bias: [K::V; 2], square: &Square) {
        let (head, block) = (panel / self.sizes.blocks(), panel % self.sizes.blocks());
        let groups = self.tokens.image_groups();
        let (image, within) = (group / groups, group % groups);
        let head = image * self.sizes.heads + head;
        let strips = self.mixed.pair(group);
        let index = (head * groups + within) * self.sizes.blocks() + block;
        // SAFETY: each square of the product is one piece's, and so is its part of the sums.
        let along = unsafe { self.along.part(index..index + 1) };
        for half in 0..2 {
            let tiles = &strips[half][panel * F::TILES..][..F::TILES];
            for row in 0..ROWS {
                let mixed = F::load_row::<K>(tiles, row);
                let gradient = &square.0[half * ROWS + row];
                let low = K::mul(mixed[0], K::load(&gradient[0]));
                let both = K::mul_add(mixed[1], K::load(&gradient[1]), low);
                along[0][half][row] = K::sum(both);
            }
        }
        let by_token = BlockPlace { strip: 2 * (head * groups + within), block };
        write_columns::<K, F>(&self.across, by_token, &transpose::<K>(square));
        let by_channel =
            BlockPlace { strip: 2 * (head * self.sizes.blocks() + block), block: within };
        write_columns::<K, F>(&self.along_queries, by_channel, square);
    }
}

/// What the gradients of queries, keys and values are made from.
pub(super) struct AttentionGradient<'a, F> {
    pub(super) heads: &'a HeadTiles<'a>,
    pub(super) turned: &'a HeadTiles<'a>,
    pub(super) mixed_gradient: &'a [RegisterTile],
    pub(super) turned_mixed_gradient: &'a [RegisterTile],
    pub(super) softmax: &'a [Softmax],
    pub(super) along: &'a [[[f32; 16]; 2]],
    /// By which queries were multiplied.
    pub(super) scale: f32,
    pub(super) sizes: HeadSizes,
    pub(super) tokens: Tokens,
    pub(super) visibility: Visibility,
    pub(super) format: PhantomData<F>,
}

impl<F: Format> AttentionGradient<'_, F> {
    /// Writes them side by side as a left operand.
    pub(super) fn to_tiles(&self, isa: Isa, to: &mut [RegisterTile]) {
        let along_channels = self.sizes.blocks() * F::TILES;
        let along_tokens = self.tokens.image_groups() * F::TILES;
        let task = GradientTask {
            of: self,
            queries: Operand::new(self.heads.queries, along_channels),
            keys: Operand::new(self.heads.keys, along_channels),
            values: Operand::new(self.turned.values, along_channels),
            mixed_gradient: Operand::new(self.mixed_gradient, along_channels),
            turned_queries: Operand::new(self.turned.queries, along_tokens),
            turned_keys: Operand::new(self.turned.keys, along_tokens),
            turned_mixed_gradient: Operand::new(self.turned_mixed_gradient, along_tokens),
            to: SharedBlocks::new(to, 3 * self.sizes.all_blocks() * F::TILES, F::TILES),
        };
        run(isa, self.tokens.batch * self.sizes.heads, &task);
    }
}

/// Groups of queries whose weights are multiplied together.
const BAND: usize = 4;

struct GradientTask<'a, F> {
    of: &'a AttentionGradient<'a, F>,
    queries: Operand<'a>,
    keys: Operand<'a>,
    values: Operand<'a>,
    mixed_gradient: Operand<'a>,
    turned_queries: Operand<'a>,
    turned_keys: Operand<'a>,
    turned_mixed_gradient: Operand<'a>,
    to: SharedBlocks<'a>,
}

/// What a piece works in: sums of a head, and operands of a group of keys.
struct Scratch {
    /// Of a band: channels down, queries across.
    queries: Buffer<Square>,
    keys: Buffer<Square>,
    values: Buffer<Square>,
    /// Weights and gradients of scores, keys down and the band's queries along.
    weights: [[RegisterTile; 3 * BAND]; 2],
    slopes: [[RegisterTile; 3 * BAND]; 2],
    /// Gradients of scores with keys along.
    turned_slopes: [[RegisterTile; 3]; 2],
}

impl<F: Format> Task for GradientTask<'_, F> {
    #[inline(always)]
    fn piece<K: Kernel>(&self, head: usize) {
        let (groups, blocks) = (self.of.tokens.image_groups(), self.of.sizes.blocks());
        let mut scratch = Scratch {
            queries: Buffer::zeros(BAND * blocks),
            keys: Buffer::zeros(groups * blocks),
            values: Buffer::zeros(groups * blocks),
            weights: [[RegisterTile::ZERO; 3 * BAND]; 2],
            slopes: [[RegisterTile::ZERO; 3 * BAND]; 2],
            turned_slopes: [[RegisterTile::ZERO; 3]; 2],
        };
        for first in (0..groups).step_by(BAND) {
            let band = first..(first + BAND).min(groups);
            scratch.queries.fill(Square::ZERO);
            let seen = match self.of.visibility {
                Visibility::All => groups,
                Visibility::Causal => band.end,
            };
            for key in 0..seen {
                self.add_keys::<K>(head, key, band.clone(), &mut scratch);
            }
            for (place, group) in band.enumerate() {
                for block in 0..blocks {
                    let sums = &mut scratch.queries[place * blocks + block];
                    scale_columns::<K>(sums, [K::splat(self.of.scale); 2]);
                    let rows = transpose::<K>(sums);
                    write_rows::<K, F>(&self.to, self.place(head, group, 0, block), &rows);
                }
            }
        }
        for group in 0..groups {
            for block in 0..blocks {
                let at = group * blocks + block;
                let (keys, values) = (&scratch.keys[at], &scratch.values[at]);
                write_rows::<K, F>(&self.to, self.place(head, group, 1, block), keys);
                write_rows::<K, F>(&self.to, self.place(head, group, 2, block), values);
            }
        }
    }
}

impl<F: Format> GradientTask<'_, F> {
    /// Where the queries' (0), keys' (1) or values' (2) gradient of a head goes.
    #[inline(always)]
    fn place(&self, head: usize, group: usize, part: usize, block: usize) -> BlockPlace {
        let sizes = self.of.sizes;
        let (image, head) = (head / sizes.heads, head % sizes.heads);
        BlockPlace {
            strip: 2 * (image * self.of.tokens.image_groups() + group),
            block: part * sizes.all_blocks() + head * sizes.blocks() + block,
        }
    }

    /// Adds what a group of keys and a band of queries have to do with one another.
    #[inline(always)]
    fn add_keys<K: Kernel>(
        &self,
        head: usize,
        key: usize,
        band: Range<usize>,
        scratch: &mut Scratch,
    ) {
        let blocks = self.of.sizes.blocks();
        for (place, group) in band.clone().enumerate() {
            self.weigh::<K>(head, key, group, place, scratch);
            let tiles = F::TILES;
            let columns = [&scratch.turned_slopes[0][..tiles], &scratch.turned_slopes[1][..tiles]];
            for block in 0..blocks {
                let strips = self.turned_keys.pair(head * blocks + block);
                let rows = [&strips[0][key * tiles..][..tiles], &strips[1][key * tiles..][..tiles]];
                let sums = &mut scratch.queries[place * blocks + block];
                F::add::<K>(Strips { rows, columns }, rows[0].as_ptr(), sums);
            }
        }
        let len = band.len() * F::TILES;
        for block in 0..blocks {
            let at = key * blocks + block;
            let pair = head * blocks + block;
            let columns = along::<F>(self.turned_mixed_gradient.pair(pair), &band);
            let rows = [&scratch.weights[0][..len], &scratch.weights[1][..len]];
            F::add::<K>(Strips { rows, columns }, columns[0].as_ptr(), &mut scratch.values[at]);
            let columns = along::<F>(self.turned_queries.pair(pair), &band);
            let rows = [&scratch.slopes[0][..len], &scratch.slopes[1][..len]];
            F::add::<K>(Strips { rows, columns }, columns[0].as_ptr(), &mut scratch.keys[at]);
        }
    }

    /// Weights of a group of keys for a group of queries, and gradients of their scores, as operands.
    #[inline(always)]
    fn weigh<K: Kernel>(
        &self,
        head: usize,
        key: usize,
        group: usize,
        place: usize,
        scratch: &mut Scratch,
    ) {
        let groups = self.of.tokens.image_groups();
        let (query, key_strips) = (head * groups + group, head * groups + key);
        let (mut weights, mut slopes) = (Square::ZERO, Square::ZERO);
        let rows = self.keys.pair(key_strips);
        let strips = Strips { rows, columns: self.queries.pair(query) };
        F::multiply::<K>(strips, rows[0].as_ptr(), &mut weights);
        if self.of.visibility == Visibility::Causal && key >= group {
            if key == group {
                hide_later_keys(&mut weights);
            } else {
                weights = Square([[[HIDDEN; 16]; 2]; SIDE]);
            }
        }
        let rows = self.values.pair(key_strips);
        let strips = Strips { rows, columns: self.mixed_gradient.pair(query) };
        F::multiply::<K>(strips, rows[0].as_ptr(), &mut slopes);
        let count = (self.of.tokens.count - key * SIDE).min(SIDE);
        self.finish::<K>(query, count, &mut weights, &mut slopes);
        let tiles = place * F::TILES..(place + 1) * F::TILES;
        for half in 0..2 {
            store_rows::<K, F>(&mut scratch.weights[half][tiles.clone()], &weights, half);
            store_rows::<K, F>(&mut scratch.slopes[half][tiles.clone()], &slopes, half);
            store_columns::<K, F>(&mut scratch.turned_slopes[half][..F::TILES], &slopes, half);
        }
    }

    /// Scores become weights, and gradients of weights become those of scores. Keys from `count` on are
    /// padding.
    #[inline(always)]
    fn finish<K: Kernel>(
        &self,
        query: usize,
        count: usize,
        weights: &mut Square,
        slopes: &mut Square,
    ) {
        let blocks = self.of.sizes.blocks();
        let softmax = &self.of.softmax[query];
        for half in 0..2 {
            let largest = K::load(&softmax.largest[half]);
            let inverse = K::load(&softmax.inverse[half]);
            let mut along = K::splat(0.0);
            for block in 0..blocks {
                along = K::add(along, K::load(&self.of.along[query * blocks + block][half]));
            }
            for key in 0..SIDE {
                let (weight, slope) = (&mut weights.0[key][half], &mut slopes.0[key][half]);
                if key >= count {
                    (*weight, *slope) = ([0.0; 16], [0.0; 16]);
                    continue;
                }
                let power = F::exp2::<K>(K::sub(K::load(weight), largest));
                let share = K::mul(power, inverse);
                K::store(share, weight);
                let apart = K::sub(K::load(slope), along);
                K::store(K::mul(K::mul(share, apart), K::splat(LN_2)), slope);
            }
        }
    }
}

/// A band's blocks of strips.
#[inline(always)]
fn along<'a, F: Format>(
    strips: [&'a [RegisterTile]; 2],
    band: &Range<usize>,
) -> [&'a [RegisterTile]; 2] {
    let tiles = band.start * F::TILES..band.end * F::TILES;
    [&strips[0][tiles.clone()], &strips[1][tiles]]
}
