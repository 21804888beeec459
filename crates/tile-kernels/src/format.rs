//! How numbers lie in tiles: f32 as they are, bf16, or f32 in three parts of bf16.

use crate::kernel::{Kernel, Strips};
use crate::micro;
use crate::tiles::{RegisterTile, Square};

/// How numbers lie in tiles. A block is 16 rows (or columns) of 32 numbers along the inner dimension.
pub(crate) trait Format: Copy + Send + Sync + 'static {
    /// Tiles of a block.
    const TILES: usize;

    /// One row of a left operand's block: 32 numbers along the inner dimension.
    fn store_row<K: Kernel>(block: &mut [RegisterTile], row: usize, low: K::V, high: K::V);

    /// What [`Format::store_row`] stored.
    fn load_row<K: Kernel>(block: &[RegisterTile], row: usize) -> [K::V; 2];

    /// Inner places `2 * pair` and the next of a right operand's block, each for 16 columns.
    fn store_pair<K: Kernel>(block: &mut [RegisterTile], pair: usize, first: K::V, second: K::V);

    /// What [`Format::store_pair`] stored.
    fn load_pair<K: Kernel>(block: &[RegisterTile], pair: usize) -> (K::V, K::V);

    /// Writes the product of strips.
    fn multiply<K: Kernel>(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square);

    /// Adds the product of strips.
    fn add<K: Kernel>(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square);

    /// `2^x`, as exact as the format needs.
    fn exp2<K: Kernel>(x: K::V) -> K::V;
}

/// f32 as they are: the numbers of kernels without AMX.
#[derive(Debug, Clone, Copy)]
pub(crate) struct F32;

/// Rounded to bf16.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bf16;

/// f32 as sums of three bf16, of whose nine products the six largest are taken: as exact as f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitF32;

impl Format for F32 {
    const TILES: usize = 2;

    #[inline(always)]
    fn store_row<K: Kernel>(block: &mut [RegisterTile], row: usize, low: K::V, high: K::V) {
        K::store_bits(low, &mut block[0].0[row]);
        K::store_bits(high, &mut block[1].0[row]);
    }

    #[inline(always)]
    fn load_row<K: Kernel>(block: &[RegisterTile], row: usize) -> [K::V; 2] {
        [K::load_bits(&block[0].0[row]), K::load_bits(&block[1].0[row])]
    }

    #[inline(always)]
    fn store_pair<K: Kernel>(block: &mut [RegisterTile], pair: usize, first: K::V, second: K::V) {
        let (tile, row) = (pair / 8, 2 * (pair % 8));
        K::store_bits(first, &mut block[tile].0[row]);
        K::store_bits(second, &mut block[tile].0[row + 1]);
    }

    #[inline(always)]
    fn load_pair<K: Kernel>(block: &[RegisterTile], pair: usize) -> (K::V, K::V) {
        let (tile, row) = (pair / 8, 2 * (pair % 8));
        (K::load_bits(&block[tile].0[row]), K::load_bits(&block[tile].0[row + 1]))
    }

    #[inline(always)]
    fn multiply<K: Kernel>(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        *to = Square::ZERO;
        Self::add::<K>(strips, ahead, to);
    }

    #[inline(always)]
    fn add<K: Kernel>(strips: Strips<'_>, _ahead: *const RegisterTile, to: &mut Square) {
        K::add_product::<micro::SingleRows>(strips, to);
    }

    #[inline(always)]
    fn exp2<K: Kernel>(x: K::V) -> K::V {
        exp2::<K, 6>(x, EXP2_OF_F32)
    }
}

impl Format for Bf16 {
    const TILES: usize = 1;

    #[inline(always)]
    fn store_row<K: Kernel>(block: &mut [RegisterTile], row: usize, low: K::V, high: K::V) {
        K::store_bits(K::row(low, high), &mut block[0].0[row]);
    }

    #[inline(always)]
    fn load_row<K: Kernel>(block: &[RegisterTile], row: usize) -> [K::V; 2] {
        K::of_row(K::load_bits(&block[0].0[row]))
    }

    #[inline(always)]
    fn store_pair<K: Kernel>(block: &mut [RegisterTile], pair: usize, first: K::V, second: K::V) {
        K::store_bits(K::pairs(first, second), &mut block[0].0[pair]);
    }

    #[inline(always)]
    fn load_pair<K: Kernel>(block: &[RegisterTile], pair: usize) -> (K::V, K::V) {
        K::of_pairs(K::load_bits(&block[0].0[pair]))
    }

    #[inline(always)]
    fn multiply<K: Kernel>(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        K::multiply_bf16(strips, ahead, to);
    }

    #[inline(always)]
    fn add<K: Kernel>(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        K::add_bf16(strips, ahead, to);
    }

    #[inline(always)]
    fn exp2<K: Kernel>(x: K::V) -> K::V {
        exp2::<K, 4>(x, EXP2_OF_BF16)
    }
}

impl Format for SplitF32 {
    const TILES: usize = 3;

    #[inline(always)]
    fn store_row<K: Kernel>(block: &mut [RegisterTile], row: usize, low: K::V, high: K::V) {
        let (mut low, mut high) = (low, high);
        for tile in &mut block[..3] {
            let (low_part, high_part) = (K::round_bf16(low), K::round_bf16(high));
            K::store_bits(K::row(low_part, high_part), &mut tile.0[row]);
            (low, high) = (K::sub(low, low_part), K::sub(high, high_part));
        }
    }

    #[inline(always)]
    fn load_row<K: Kernel>(block: &[RegisterTile], row: usize) -> [K::V; 2] {
        let a = K::of_row(K::load_bits(&block[0].0[row]));
        let b = K::of_row(K::load_bits(&block[1].0[row]));
        let c = K::of_row(K::load_bits(&block[2].0[row]));
        [K::add(K::add(c[0], b[0]), a[0]), K::add(K::add(c[1], b[1]), a[1])]
    }

    #[inline(always)]
    fn store_pair<K: Kernel>(block: &mut [RegisterTile], pair: usize, first: K::V, second: K::V) {
        let (mut first, mut second) = (first, second);
        for tile in &mut block[..3] {
            let (first_part, second_part) = (K::round_bf16(first), K::round_bf16(second));
            K::store_bits(K::pairs(first_part, second_part), &mut tile.0[pair]);
            (first, second) = (K::sub(first, first_part), K::sub(second, second_part));
        }
    }

    #[inline(always)]
    fn load_pair<K: Kernel>(block: &[RegisterTile], pair: usize) -> (K::V, K::V) {
        let a = K::of_pairs(K::load_bits(&block[0].0[pair]));
        let b = K::of_pairs(K::load_bits(&block[1].0[pair]));
        let c = K::of_pairs(K::load_bits(&block[2].0[pair]));
        (K::add(K::add(c.0, b.0), a.0), K::add(K::add(c.1, b.1), a.1))
    }

    #[inline(always)]
    fn multiply<K: Kernel>(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        K::multiply_split(strips, ahead, to);
    }

    #[inline(always)]
    fn add<K: Kernel>(strips: Strips<'_>, ahead: *const RegisterTile, to: &mut Square) {
        K::add_split(strips, ahead, to);
    }

    #[inline(always)]
    fn exp2<K: Kernel>(x: K::V) -> K::V {
        exp2::<K, 6>(x, EXP2_OF_F32)
    }
}

/// Powers of x from the zeroth, of a polynomial that is `2^x` within 7.5e-8 of it for x in `[0, 1)`.
const EXP2_OF_F32: [f32; 6] =
    [0.999_999_93, 0.693_153_1, 0.240_153_62, 0.055_826_318, 0.008_989_34, 0.001_877_576_7];

/// The same within 7.5e-5, a fiftieth of what rounding to bf16 does.
const EXP2_OF_BF16: [f32; 4] = [0.999_925_2, 0.695_833_5, 0.226_067_16, 0.078_024_52];

/// `2^x` by a polynomial of the fraction and a power of two.
#[inline(always)]
fn exp2<K: Kernel, const TERMS: usize>(x: K::V, terms: [f32; TERMS]) -> K::V {
    let fraction = K::fraction(x);
    let mut value = K::splat(terms[TERMS - 1]);
    for power in (0..TERMS - 1).rev() {
        value = K::mul_add(value, fraction, K::splat(terms[power]));
    }
    K::times_power(value, x)
}

/// Rows to columns.
#[inline(always)]
pub(crate) fn transpose<K: Kernel>(square: &Square) -> Square {
    let mut turned = Square::ZERO;
    for down in 0..2 {
        for across in 0..2 {
            let mut rows = [K::splat(0.0); 16];
            for row in 0..16 {
                rows[row] = K::load(&square.0[16 * down + row][across]);
            }
            K::transpose(&mut rows);
            for row in 0..16 {
                K::store(rows[row], &mut turned.0[16 * across + row][down]);
            }
        }
    }
    turned
}
