//! Micro-kernels: 32 rows times 32 columns, along whatever inner length the strips have.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;

use crate::kernel::Strips;
use crate::lanes::Lanes;
use crate::tiles::{ROWS, RegisterTile, Square};

/// How products of two 64-byte rows of tiles are summed.
pub(crate) trait Products {
    /// Tiles that belong together along the inner dimension.
    const TILES: usize;

    /// Adds to `HEIGHT` rows of `WIDTH` times 16 sums the products of one step along a tile.
    ///
    /// `left` are the tiles of the rows, of which `HEIGHT` from `first` on are taken; `right` those of
    /// the columns; `step` is the row of the right tiles and the place in the left ones.
    fn step<L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
        left: &[RegisterTile],
        first: usize,
        right: [&[RegisterTile]; WIDTH],
        step: usize,
        sums: &mut [[L::V; WIDTH]; HEIGHT],
    );
}

/// Rows of 16 f32.
pub(crate) struct SingleRows;

impl Products for SingleRows {
    const TILES: usize = 1;

    #[inline(always)]
    fn step<L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
        left: &[RegisterTile],
        first: usize,
        right: [&[RegisterTile]; WIDTH],
        step: usize,
        sums: &mut [[L::V; WIDTH]; HEIGHT],
    ) {
        let mut columns = [L::splat(0.0); WIDTH];
        for column in 0..WIDTH {
            columns[column] = L::load_bits(&right[column][0].0[step]);
        }
        for row in 0..HEIGHT {
            let left = L::splat(f32::from_bits(left[0].0[first + row][step]));
            for column in 0..WIDTH {
                sums[row][column] = L::mul_add(left, columns[column], sums[row][column]);
            }
        }
    }
}

/// Rows of 16 pairs of bf16, widened to f32.
pub(crate) struct HalfRows;

impl Products for HalfRows {
    const TILES: usize = 1;

    #[inline(always)]
    fn step<L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
        left: &[RegisterTile],
        first: usize,
        right: [&[RegisterTile]; WIDTH],
        step: usize,
        sums: &mut [[L::V; WIDTH]; HEIGHT],
    ) {
        let mut columns = [(L::splat(0.0), L::splat(0.0)); WIDTH];
        for column in 0..WIDTH {
            columns[column] = L::of_pairs(L::load_bits(&right[column][0].0[step]));
        }
        for row in 0..HEIGHT {
            let left = L::splat_pair(left[0].0[first + row][step]);
            for column in 0..WIDTH {
                let sum = L::mul_add(left.0, columns[column].0, sums[row][column]);
                sums[row][column] = L::mul_add(left.1, columns[column].1, sum);
            }
        }
    }
}

/// Rows of 16 pairs of f32 in three parts, each a bf16 in a tile of its own, put together again.
pub(crate) struct SplitRows;

impl Products for SplitRows {
    const TILES: usize = 3;

    #[inline(always)]
    fn step<L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
        left: &[RegisterTile],
        first: usize,
        right: [&[RegisterTile]; WIDTH],
        step: usize,
        sums: &mut [[L::V; WIDTH]; HEIGHT],
    ) {
        let mut columns = [(L::splat(0.0), L::splat(0.0)); WIDTH];
        for column in 0..WIDTH {
            let tiles = right[column];
            let a = L::of_pairs(L::load_bits(&tiles[0].0[step]));
            let b = L::of_pairs(L::load_bits(&tiles[1].0[step]));
            let c = L::of_pairs(L::load_bits(&tiles[2].0[step]));
            columns[column] = (L::add(L::add(c.0, b.0), a.0), L::add(L::add(c.1, b.1), a.1));
        }
        for row in 0..HEIGHT {
            let a = L::splat_pair(left[0].0[first + row][step]);
            let b = L::splat_pair(left[1].0[first + row][step]);
            let c = L::splat_pair(left[2].0[first + row][step]);
            let left = (L::add(L::add(c.0, b.0), a.0), L::add(L::add(c.1, b.1), a.1));
            for column in 0..WIDTH {
                let sum = L::mul_add(left.0, columns[column].0, sums[row][column]);
                sums[row][column] = L::mul_add(left.1, columns[column].1, sum);
            }
        }
    }
}

/// Adds a product with `HEIGHT` rows and 16 columns of sums in registers at a time.
#[inline(always)]
pub(crate) fn add_narrow<P: Products, L: Lanes, const HEIGHT: usize>(
    strips: Strips<'_>,
    to: &mut Square,
) {
    for (side, columns) in strips.columns.into_iter().enumerate() {
        add_band::<P, L, HEIGHT, 1>(strips.rows, [columns], side, to);
    }
}

/// Adds a product with `HEIGHT` rows and 32 columns of sums in registers at a time.
#[inline(always)]
pub(crate) fn add_wide<P: Products, L: Lanes, const HEIGHT: usize>(
    strips: Strips<'_>,
    to: &mut Square,
) {
    add_band::<P, L, HEIGHT, 2>(strips.rows, strips.columns, 0, to);
}

/// 32 rows times `WIDTH` strips of columns, the first of which is the square's half `side`.
#[inline(always)]
fn add_band<P: Products, L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
    rows: [&[RegisterTile]; 2],
    columns: [&[RegisterTile]; WIDTH],
    side: usize,
    to: &mut Square,
) {
    for (half, rows) in rows.into_iter().enumerate() {
        for first in (0..ROWS).step_by(HEIGHT) {
            let top = half * ROWS + first;
            let mut sums = [[L::splat(0.0); WIDTH]; HEIGHT];
            for row in 0..HEIGHT {
                for column in 0..WIDTH {
                    sums[row][column] = L::load(&to.0[top + row][side + column]);
                }
            }
            for (block, left) in rows.chunks_exact(P::TILES).enumerate() {
                let mut right = columns;
                for column in 0..WIDTH {
                    right[column] = &columns[column][block * P::TILES..][..P::TILES];
                }
                for step in 0..ROWS {
                    P::step::<L, HEIGHT, WIDTH>(left, first, right, step, &mut sums);
                }
            }
            for row in 0..HEIGHT {
                for column in 0..WIDTH {
                    L::store(sums[row][column], &mut to.0[top + row][side + column]);
                }
            }
        }
    }
}
