//! Attention over tiles: scores of a few keys at a time, with a softmax that is corrected as larger
//! scores turn up, so the `[tokens, tokens]` matrix never exists.
//!
//! Scores lie with keys down and queries across, so that the softmax's maximum and sum run down the
//! rows without crossing lanes, and weights become the right operand of the product with values as they
//! are.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use crate::format::{Format, transpose};
use crate::heads::{BlockPlace, HeadSizes, HeadTiles, write_rows};
use crate::isa::Isa;
use crate::kernel::{Kernel, Strips, Task, run};
use crate::rows::Tokens;
use crate::tiles::{Operand, ROWS, RegisterTile, SIDE, Shared, SharedBlocks, Square};

/// Which tokens a token attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// All of them, as among patches.
    All,
    /// Itself and those before it, as in text.
    Causal,
}

/// What the softmax of 32 queries was made with: the largest score and one over the sum, each of two
/// halves.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softmax {
    pub(crate) largest: [[f32; 16]; 2],
    pub(crate) inverse: [[f32; 16]; 2],
}

/// Mixes values into a left operand of all heads side by side, and keeps what each softmax was made
/// with if gradients will be wanted.
pub(crate) fn attend<F: Format>(
    isa: Isa,
    heads: &HeadTiles<'_>,
    sizes: HeadSizes,
    tokens: Tokens,
    visibility: Visibility,
    mixed: &mut [RegisterTile],
    kept: Option<&mut [Softmax]>,
) {
    let along_channels = sizes.blocks() * F::TILES;
    let task = AttentionTask::<F> {
        queries: Operand::new(heads.queries, along_channels),
        keys: Operand::new(heads.keys, along_channels),
        values: Operand::new(heads.values, tokens.image_groups() * F::TILES),
        mixed: SharedBlocks::new(mixed, sizes.all_blocks() * F::TILES, F::TILES),
        sizes,
        tokens,
        visibility,
        kept: kept.map(Shared::new),
        format: PhantomData,
    };
    run(isa, tokens.batch * sizes.heads * task.bands(), &task);
}

/// Groups of queries that are one piece of work.
const BAND: usize = 16;

/// Groups of keys whose scores exist at a time.
const KEYS: usize = 8;

/// A score below all others: its weight is zero.
pub(crate) const HIDDEN: f32 = -1e30;

struct AttentionTask<'a, F> {
    queries: Operand<'a>,
    keys: Operand<'a>,
    values: Operand<'a>,
    mixed: SharedBlocks<'a>,
    sizes: HeadSizes,
    tokens: Tokens,
    visibility: Visibility,
    kept: Option<Shared<'a, Softmax>>,
    format: PhantomData<F>,
}

/// What a piece works in.
struct Scratch {
    /// Scores of [`KEYS`] groups.
    scores: [Square; KEYS],
    /// Their weights as a right operand: two strips of as many blocks, at most three tiles each.
    weights: [[RegisterTile; 3 * KEYS]; 2],
}

/// The softmax's state of 32 queries.
struct Running<K: Kernel> {
    largest: [K::V; 2],
    sum: [K::V; 2],
}

impl<F: Format> Task for AttentionTask<'_, F> {
    #[inline(always)]
    fn piece<K: Kernel>(&self, index: usize) {
        let mut scratch =
            Scratch { scores: [Square::ZERO; KEYS], weights: [[RegisterTile::ZERO; 3 * KEYS]; 2] };
        let (head, band) = (index / self.bands(), index % self.bands());
        let groups = band * BAND..((band + 1) * BAND).min(self.tokens.image_groups());
        for group in groups {
            self.queries_of_a_group::<K>(head, group, &mut scratch);
        }
    }
}

impl<F: Format> AttentionTask<'_, F> {
    fn bands(&self) -> usize {
        self.tokens.image_groups().div_ceil(BAND)
    }

    /// `head` is counted over all images.
    #[inline(always)]
    fn queries_of_a_group<K: Kernel>(&self, head: usize, group: usize, scratch: &mut Scratch) {
        let groups = self.tokens.image_groups();
        let seen = match self.visibility {
            Visibility::All => groups,
            Visibility::Causal => group + 1,
        };
        let mut running = Running::<K> { largest: [K::splat(HIDDEN); 2], sum: [K::splat(0.0); 2] };
        let mut sums = [Square::ZERO; MOST_BLOCKS];
        let sums = &mut sums[..self.sizes.blocks()];
        for first in (0..seen).step_by(KEYS) {
            let keys = first..(first + KEYS).min(seen);
            self.score::<K>(head, group, keys.clone(), scratch);
            let count = (self.tokens.count - first * SIDE).min(keys.len() * SIDE);
            weigh::<K, F>(scratch, count, keys.len(), &mut running, sums);
            self.add_values::<K>(head, keys, scratch, sums);
        }
        self.keep::<K>(head, group, &running);
        self.store::<K>(head, group, &running, sums);
    }

    /// Scores of some groups of keys for a group of queries.
    #[inline(always)]
    fn score<K: Kernel>(
        &self,
        head: usize,
        group: usize,
        keys: std::ops::Range<usize>,
        scratch: &mut Scratch,
    ) {
        let groups = self.tokens.image_groups();
        let columns = self.queries.pair(head * groups + group);
        for (key, scores) in keys.zip(&mut scratch.scores) {
            let rows = self.keys.pair(head * groups + key);
            let ahead = rows[0].as_ptr();
            F::multiply::<K>(Strips { rows, columns }, ahead, scores);
            if self.visibility == Visibility::Causal && key == group {
                hide_later_keys(scores);
            }
        }
    }

    /// Adds weighted values, channels down and queries across.
    #[inline(always)]
    fn add_values<K: Kernel>(
        &self,
        head: usize,
        keys: std::ops::Range<usize>,
        scratch: &Scratch,
        sums: &mut [Square],
    ) {
        let (start, len) = (keys.start * F::TILES, keys.len() * F::TILES);
        let columns = [&scratch.weights[0][..len], &scratch.weights[1][..len]];
        for (block, sums) in sums.iter_mut().enumerate() {
            let values = self.values.pair(head * self.sizes.blocks() + block);
            let rows = [&values[0][start..start + len], &values[1][start..start + len]];
            F::add::<K>(Strips { rows, columns }, rows[0].as_ptr(), sums);
        }
    }

    /// Keeps what the softmax was made with, if somebody wants it.
    #[inline(always)]
    fn keep<K: Kernel>(&self, head: usize, group: usize, running: &Running<K>) {
        let Some(kept) = &self.kept else { return };
        let index = head * self.tokens.image_groups() + group;
        // SAFETY: a group of queries of a head is one piece's.
        let [kept] = (unsafe { kept.part(index..index + 1) }) else { return };
        for half in 0..2 {
            K::store(running.largest[half], &mut kept.largest[half]);
            K::store(K::reciprocal(running.sum[half]), &mut kept.inverse[half]);
        }
    }

    /// Divides by the softmax's sums and stores the queries' rows.
    #[inline(always)]
    fn store<K: Kernel>(
        &self,
        head: usize,
        group: usize,
        running: &Running<K>,
        sums: &mut [Square],
    ) {
        let (image, head) = (head / self.sizes.heads, head % self.sizes.heads);
        let inverse = [K::reciprocal(running.sum[0]), K::reciprocal(running.sum[1])];
        for (block, sums) in sums.iter_mut().enumerate() {
            scale_columns::<K>(sums, inverse);
            let strip = 2 * (image * self.tokens.image_groups() + group);
            let at = BlockPlace { strip, block: head * self.sizes.blocks() + block };
            write_rows::<K, F>(&self.mixed, at, &transpose::<K>(sums));
        }
    }
}

/// Most blocks of a head's channels: 8 are 256 channels.
pub(crate) const MOST_BLOCKS: usize = 8;

/// Hides from each query, across, the keys behind it, down.
#[inline(always)]
pub(crate) fn hide_later_keys(scores: &mut Square) {
    for (key, row) in scores.0.iter_mut().enumerate() {
        row.as_flattened_mut()[..key].fill(HIDDEN);
    }
}

/// Multiplies each column.
#[inline(always)]
pub(crate) fn scale_columns<K: Kernel>(sums: &mut Square, by: [K::V; 2]) {
    for row in &mut sums.0 {
        K::store(K::mul(K::load(&row[0]), by[0]), &mut row[0]);
        K::store(K::mul(K::load(&row[1]), by[1]), &mut row[1]);
    }
}

/// Turns the scores of `count` keys in `blocks` groups into weights, and corrects what was summed
/// before if a larger score turned up.
#[inline(always)]
fn weigh<K: Kernel, F: Format>(
    scratch: &mut Scratch,
    count: usize,
    blocks: usize,
    running: &mut Running<K>,
    sums: &mut [Square],
) {
    let rows = Square::rows(&scratch.scores);
    let largest = largest::<K>(&rows[..count], running.largest);
    let before = running.largest;
    if K::any_greater(largest[0], before[0]) || K::any_greater(largest[1], before[1]) {
        let shrink = [
            F::exp2::<K>(K::sub(before[0], largest[0])),
            F::exp2::<K>(K::sub(before[1], largest[1])),
        ];
        for sums in sums.iter_mut() {
            scale_columns::<K>(sums, shrink);
        }
        running.sum = [K::mul(running.sum[0], shrink[0]), K::mul(running.sum[1], shrink[1])];
        running.largest = largest;
    }
    for block in 0..blocks {
        let [low, high] = &mut scratch.weights;
        let tiles = block * F::TILES..(block + 1) * F::TILES;
        let (low, high) = (&mut low[tiles.clone()], &mut high[tiles]);
        for pair in 0..ROWS {
            let key = block * SIDE + 2 * pair;
            let first = weight::<K, F>(rows, key, count, largest);
            let second = weight::<K, F>(rows, key + 1, count, largest);
            let sum = running.sum;
            running.sum = [
                K::add(sum[0], K::add(first[0], second[0])),
                K::add(sum[1], K::add(first[1], second[1])),
            ];
            F::store_pair::<K>(low, pair, first[0], second[0]);
            F::store_pair::<K>(high, pair, first[1], second[1]);
        }
    }
}

/// The weights of a key for 32 queries: none behind the last.
#[inline(always)]
fn weight<K: Kernel, F: Format>(
    rows: &[[[f32; 16]; 2]],
    key: usize,
    count: usize,
    largest: [K::V; 2],
) -> [K::V; 2] {
    if key >= count {
        return [K::splat(0.0); 2];
    }
    let scores = &rows[key];
    [
        F::exp2::<K>(K::sub(K::load(&scores[0]), largest[0])),
        F::exp2::<K>(K::sub(K::load(&scores[1]), largest[1])),
    ]
}

/// The largest score of each query so far.
#[inline(always)]
fn largest<K: Kernel>(rows: &[[[f32; 16]; 2]], before: [K::V; 2]) -> [K::V; 2] {
    let mut one = before;
    let mut other = before;
    let (pairs, rest) = rows.as_chunks::<2>();
    for [first, second] in pairs {
        one = [K::max(one[0], K::load(&first[0])), K::max(one[1], K::load(&first[1]))];
        other = [K::max(other[0], K::load(&second[0])), K::max(other[1], K::load(&second[1]))];
    }
    for last in rest {
        one = [K::max(one[0], K::load(&last[0])), K::max(one[1], K::load(&last[1]))];
    }
    [K::max(one[0], other[0]), K::max(one[1], other[1])]
}
