//! Queries, keys and values in tiles, and how a product becomes them.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use crate::format::{Format, transpose};
use crate::kernel::Kernel;
use crate::linear::Epilogue;
use crate::rows::Tokens;
use crate::tiles::{ROWS, RegisterTile, SIDE, SharedBlocks, Square};

/// Heads and their channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadSizes {
    pub(crate) heads: usize,
    /// Channels of a head, padded to a multiple of 32.
    pub(crate) channels: usize,
}

impl HeadSizes {
    /// Blocks of a head's channels.
    pub(crate) fn blocks(self) -> usize {
        self.channels / SIDE
    }

    /// Blocks of all heads side by side.
    pub(crate) fn all_blocks(self) -> usize {
        self.heads * self.blocks()
    }

    /// Tiles of queries, or of keys, or of values, of all images and heads.
    pub(crate) fn tiles<F: Format>(self, tokens: Tokens) -> usize {
        2 * tokens.groups() * self.all_blocks() * F::TILES
    }
}

/// Queries, keys and values in tiles, image after image and head after head.
///
/// Queries are a right operand (channels down, 16 queries a strip), keys a left one (16 keys a strip),
/// values a left one too (16 channels a strip, keys along).
pub(crate) struct HeadTiles<'a> {
    pub(crate) queries: &'a mut [RegisterTile],
    pub(crate) keys: &'a mut [RegisterTile],
    pub(crate) values: &'a mut [RegisterTile],
}

impl HeadTiles<'_> {
    /// The same, lent on.
    pub(crate) fn reborrowed(&mut self) -> HeadTiles<'_> {
        HeadTiles { queries: self.queries, keys: self.keys, values: self.values }
    }
}

/// Writes a product with the weights of queries, keys and values as [`HeadTiles`].
pub(crate) struct ToHeads<'a, F> {
    queries: SharedBlocks<'a>,
    keys: SharedBlocks<'a>,
    values: SharedBlocks<'a>,
    /// The other way round, where gradients will be wanted.
    turned: Option<TurnedHeads<'a>>,
    /// By which queries are multiplied.
    scale: f32,
    sizes: HeadSizes,
    tokens: Tokens,
    format: PhantomData<F>,
}

impl<'a, F: Format> ToHeads<'a, F> {
    pub(crate) fn new(heads: HeadTiles<'a>, scale: f32, sizes: HeadSizes, tokens: Tokens) -> Self {
        let along_channels = sizes.blocks() * F::TILES;
        let along_keys = tokens.image_groups() * F::TILES;
        Self {
            queries: SharedBlocks::new(heads.queries, along_channels, F::TILES),
            keys: SharedBlocks::new(heads.keys, along_channels, F::TILES),
            values: SharedBlocks::new(heads.values, along_keys, F::TILES),
            turned: None,
            scale,
            sizes,
            tokens,
            format: PhantomData,
        }
    }

    /// Writes the other way round too: queries as a right operand with queries along, keys as a left
    /// one with keys along, values as a left one with channels along.
    pub(crate) fn with_turned(mut self, heads: HeadTiles<'a>) -> Self {
        let along_channels = self.sizes.blocks() * F::TILES;
        let along_keys = self.tokens.image_groups() * F::TILES;
        self.turned = Some(TurnedHeads {
            queries: SharedBlocks::new(heads.queries, along_keys, F::TILES),
            keys: SharedBlocks::new(heads.keys, along_keys, F::TILES),
            values: SharedBlocks::new(heads.values, along_channels, F::TILES),
        });
        self
    }
}

/// Where [`ToHeads`] writes the other way round.
struct TurnedHeads<'a> {
    queries: SharedBlocks<'a>,
    keys: SharedBlocks<'a>,
    values: SharedBlocks<'a>,
}

impl<F: Format> Epilogue for ToHeads<'_, F> {
    #[inline(always)]
    fn apply<K: Kernel>(&self, group: usize, panel: usize, bias: [K::V; 2], square: &Square) {
        let (part, column) = (panel / self.sizes.all_blocks(), panel % self.sizes.all_blocks());
        let (head, block) = (column / self.sizes.blocks(), column % self.sizes.blocks());
        let groups = self.tokens.image_groups();
        let (image, within) = (group / groups, group % groups);
        let first = image * self.sizes.heads + head;
        let mut sums = *square;
        let scale = K::splat(if part == 0 { self.scale } else { 1.0 });
        for row in &mut sums.0 {
            K::store(K::mul(K::add(K::load(&row[0]), bias[0]), scale), &mut row[0]);
            K::store(K::mul(K::add(K::load(&row[1]), bias[1]), scale), &mut row[1]);
        }
        let across = transpose::<K>(&sums);
        let by_token = BlockPlace { strip: 2 * (first * groups + within), block };
        let by_channel =
            BlockPlace { strip: 2 * (first * self.sizes.blocks() + block), block: within };
        match part {
            0 => write_columns::<K, F>(&self.queries, by_token, &across),
            1 => write_rows::<K, F>(&self.keys, by_token, &sums),
            _ => write_rows::<K, F>(&self.values, by_channel, &across),
        }
        let Some(turned) = &self.turned else { return };
        match part {
            0 => write_columns::<K, F>(&turned.queries, by_channel, &sums),
            1 => write_rows::<K, F>(&turned.keys, by_channel, &across),
            _ => write_rows::<K, F>(&turned.values, by_token, &sums),
        }
    }
}

/// The first of two strips, and a block along them.
#[derive(Clone, Copy)]
pub(crate) struct BlockPlace {
    pub(crate) strip: usize,
    pub(crate) block: usize,
}

/// Writes a square as a block of a left operand's two strips, which no other piece writes.
#[inline(always)]
pub(crate) fn write_rows<K: Kernel, F: Format>(
    to: &SharedBlocks<'_>,
    at: BlockPlace,
    square: &Square,
) {
    for half in 0..2 {
        // SAFETY: each square is one piece's, and so are the blocks it becomes.
        let tiles = unsafe { to.block(at.strip + half, at.block) };
        store_rows::<K, F>(tiles, square, half);
    }
}

/// Writes a square as a block of a right operand's two strips, which no other piece writes.
#[inline(always)]
pub(crate) fn write_columns<K: Kernel, F: Format>(
    to: &SharedBlocks<'_>,
    at: BlockPlace,
    square: &Square,
) {
    for half in 0..2 {
        // SAFETY: each square is one piece's, and so are the blocks it becomes.
        let tiles = unsafe { to.block(at.strip + half, at.block) };
        store_columns::<K, F>(tiles, square, half);
    }
}

/// A half's 16 rows as a left operand's block.
#[inline(always)]
pub(crate) fn store_rows<K: Kernel, F: Format>(
    tiles: &mut [RegisterTile],
    square: &Square,
    half: usize,
) {
    for row in 0..ROWS {
        let [low, high] = &square.0[half * ROWS + row];
        F::store_row::<K>(tiles, row, K::load(low), K::load(high));
    }
}

/// A half's 16 columns as a right operand's block.
#[inline(always)]
pub(crate) fn store_columns<K: Kernel, F: Format>(
    tiles: &mut [RegisterTile],
    square: &Square,
    half: usize,
) {
    for pair in 0..ROWS {
        let [first, second] = [&square.0[2 * pair][half], &square.0[2 * pair + 1][half]];
        F::store_pair::<K>(tiles, pair, K::load(first), K::load(second));
    }
}
