//! Micro-kernels: 32 rows times 32 columns, along whatever inner length the strips have.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;

use crate::kernel::Strips;
use crate::lanes::Lanes;
use crate::tiles::{ROWS, RegisterTile, Square};

/// What rows of tiles hold: at each step along the inner dimension a lane is one number or a pair.
pub(crate) trait RowKind {
    /// Tiles that belong together along the inner dimension.
    const TILES: usize;
    /// What a step holds for sixteen columns, or for one row in all lanes.
    type Numbers<L: Lanes>: Copy;

    /// The numbers of sixteen columns in row `step` of their tiles.
    fn of_columns<L: Lanes>(tiles: &[RegisterTile], step: usize) -> Self::Numbers<L>;
    /// The numbers of row `row` at place `step`, in all lanes.
    fn of_row<L: Lanes>(tiles: &[RegisterTile], row: usize, step: usize) -> Self::Numbers<L>;
    /// Adds the products of a row and sixteen columns to their sums.
    fn add<L: Lanes>(row: Self::Numbers<L>, columns: Self::Numbers<L>, sums: L::V) -> L::V;
}

/// Rows of 16 f32.
pub(crate) struct SingleRows;

impl RowKind for SingleRows {
    const TILES: usize = 1;
    type Numbers<L: Lanes> = L::V;

    #[inline(always)]
    fn of_columns<L: Lanes>(tiles: &[RegisterTile], step: usize) -> L::V {
        L::load_bits(&tiles[0].0[step])
    }

    #[inline(always)]
    fn of_row<L: Lanes>(tiles: &[RegisterTile], row: usize, step: usize) -> L::V {
        L::splat(f32::from_bits(tiles[0].0[row][step]))
    }

    #[inline(always)]
    fn add<L: Lanes>(row: L::V, columns: L::V, sums: L::V) -> L::V {
        L::mul_add(row, columns, sums)
    }
}

/// Rows of 16 pairs of bf16, widened to f32.
pub(crate) struct HalfRows;

impl RowKind for HalfRows {
    const TILES: usize = 1;
    type Numbers<L: Lanes> = (L::V, L::V);

    #[inline(always)]
    fn of_columns<L: Lanes>(tiles: &[RegisterTile], step: usize) -> (L::V, L::V) {
        L::of_pairs(L::load_bits(&tiles[0].0[step]))
    }

    #[inline(always)]
    fn of_row<L: Lanes>(tiles: &[RegisterTile], row: usize, step: usize) -> (L::V, L::V) {
        L::splat_pair(tiles[0].0[row][step])
    }

    #[inline(always)]
    fn add<L: Lanes>(row: (L::V, L::V), columns: (L::V, L::V), sums: L::V) -> L::V {
        L::mul_add(row.1, columns.1, L::mul_add(row.0, columns.0, sums))
    }
}

/// Rows of 16 pairs of f32 in three parts, each a bf16 in a tile of its own, put together again.
pub(crate) struct SplitRows;

impl RowKind for SplitRows {
    const TILES: usize = 3;
    type Numbers<L: Lanes> = (L::V, L::V);

    #[inline(always)]
    fn of_columns<L: Lanes>(tiles: &[RegisterTile], step: usize) -> (L::V, L::V) {
        joined::<L>(
            HalfRows::of_columns::<L>(tiles, step),
            HalfRows::of_columns::<L>(&tiles[1..], step),
            HalfRows::of_columns::<L>(&tiles[2..], step),
        )
    }

    #[inline(always)]
    fn of_row<L: Lanes>(tiles: &[RegisterTile], row: usize, step: usize) -> (L::V, L::V) {
        joined::<L>(
            HalfRows::of_row::<L>(tiles, row, step),
            HalfRows::of_row::<L>(&tiles[1..], row, step),
            HalfRows::of_row::<L>(&tiles[2..], row, step),
        )
    }

    #[inline(always)]
    fn add<L: Lanes>(row: (L::V, L::V), columns: (L::V, L::V), sums: L::V) -> L::V {
        HalfRows::add::<L>(row, columns, sums)
    }
}

/// Pairs of f32 from their three parts, the smallest first.
#[inline(always)]
fn joined<L: Lanes>(a: (L::V, L::V), b: (L::V, L::V), c: (L::V, L::V)) -> (L::V, L::V) {
    (L::add(L::add(c.0, b.0), a.0), L::add(L::add(c.1, b.1), a.1))
}

/// Adds a product with `HEIGHT` rows and 16 columns of sums in registers at a time.
#[inline(always)]
pub(crate) fn add_narrow<R: RowKind, L: Lanes, const HEIGHT: usize>(
    strips: Strips<'_>,
    to: &mut Square,
) {
    for (side, columns) in strips.columns.into_iter().enumerate() {
        add_band::<R, L, HEIGHT, 1>(strips.rows, [columns], side, to);
    }
}

/// Adds a product with `HEIGHT` rows and 32 columns of sums in registers at a time.
#[inline(always)]
pub(crate) fn add_wide<R: RowKind, L: Lanes, const HEIGHT: usize>(
    strips: Strips<'_>,
    to: &mut Square,
) {
    add_band::<R, L, HEIGHT, 2>(strips.rows, strips.columns, 0, to);
}

/// 32 rows times `WIDTH` strips of columns, the first of which is the square's half `side`.
#[inline(always)]
fn add_band<R: RowKind, L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
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
            for (block, left) in rows.chunks_exact(R::TILES).enumerate() {
                let mut right = columns;
                for column in 0..WIDTH {
                    right[column] = &columns[column][block * R::TILES..][..R::TILES];
                }
                for step in 0..ROWS {
                    let mut numbers = [R::of_columns::<L>(right[0], step); WIDTH];
                    for column in 1..WIDTH {
                        numbers[column] = R::of_columns::<L>(right[column], step);
                    }
                    for row in 0..HEIGHT {
                        let left = R::of_row::<L>(left, first + row, step);
                        for column in 0..WIDTH {
                            sums[row][column] =
                                R::add::<L>(left, numbers[column], sums[row][column]);
                        }
                    }
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
