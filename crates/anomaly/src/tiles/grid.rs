//! Where the tiles of an image lie.

use thiserror::Error;

/// Shortest side of a tile that can be asked for, in pixels.
const SMALLEST: usize = 16;

/// Most that a tile may share with its neighbour: more would only look at everything again.
const MOST_OVERLAP: f64 = 0.75;

/// Most tiles of an image.
const MOST_TILES: usize = 10_000;

/// How an image is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tiling {
    /// Side of a tile in pixels of the image, 16 or more. As large as the detector's images, a tile is
    /// seen as it is; a larger one is scaled down, a smaller one up.
    pub side: usize,
    /// Share of its side that a tile has in common with its neighbour, at least: 0 to 0.75.
    pub overlap: f64,
}

/// A part of an image, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Left column.
    pub x: usize,
    /// Upper row.
    pub y: usize,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
}

/// All tiles of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct TileGrid {
    pub(super) columns: TileAxis,
    pub(super) rows: TileAxis,
    tiles: Vec<Tile>,
}

/// Tiles along one side of the image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TileAxis {
    /// Pixels of the image.
    pub(super) length: usize,
    /// Pixels of a tile.
    pub(super) side: usize,
    /// Where each starts, ascending.
    pub(super) starts: Vec<usize>,
}

/// An image that cannot be cut.
#[derive(Debug, Error, PartialEq)]
pub enum TileError {
    /// Tiles that show nothing.
    #[error("tiles of {side} pixels are too small to show anything; use {SMALLEST} or more")]
    Side {
        /// What was asked for.
        side: usize,
    },
    /// Tiles that never get on.
    #[error("an overlap of {overlap} is not usable; use 0 to {MOST_OVERLAP}, a share of the tile")]
    Overlap {
        /// What was asked for.
        overlap: f64,
    },
    /// An image without pixels.
    #[error("an image of {width}x{height} has no pixels to cut into tiles")]
    Empty {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
    },
    /// More tiles than anybody waits for.
    #[error(
        "an image of {width}x{height} would be {tiles} tiles; use larger ones, {MOST_TILES} at most"
    )]
    TooMany {
        /// Pixels across.
        width: usize,
        /// Pixels down.
        height: usize,
        /// How many there would be.
        tiles: usize,
    },
}

impl TileGrid {
    /// Cuts an image of `width` by `height` pixels. All tiles have the same size, and the first and
    /// last of a row or column end with the image: where the side is no multiple, all of them overlap
    /// a little more. Where the image is shorter than a tile, tiles are as short, so that an image
    /// smaller than a tile is one tile, itself.
    ///
    /// # Errors
    ///
    /// [`TileError`] when the tiling is out of its range, or the image has no pixels or too many tiles.
    pub fn new(width: usize, height: usize, tiling: Tiling) -> Result<Self, TileError> {
        let Tiling { side, overlap } = tiling;
        if side < SMALLEST {
            return Err(TileError::Side { side });
        }
        if !(0.0..=MOST_OVERLAP).contains(&overlap) {
            return Err(TileError::Overlap { overlap });
        }
        if width == 0 || height == 0 {
            return Err(TileError::Empty { width, height });
        }
        let count = |length| TileAxis::count(length, side, overlap);
        let tiles = count(width).saturating_mul(count(height));
        if tiles > MOST_TILES {
            return Err(TileError::TooMany { width, height, tiles });
        }
        let axis = |length| TileAxis::new(length, side, count(length));
        Ok(Self::of(axis(width), axis(height)))
    }

    fn of(columns: TileAxis, rows: TileAxis) -> Self {
        let (width, height) = (columns.side, rows.side);
        let row = |&y: &usize| columns.starts.iter().map(move |&x| Tile { x, y, width, height });
        let tiles = rows.starts.iter().flat_map(row).collect();
        Self { columns, rows, tiles }
    }

    /// The tiles, row by row.
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// Whether the image is one tile.
    pub fn is_whole(&self) -> bool {
        self.tiles.len() == 1
    }
}

impl TileAxis {
    /// Tiles that it takes to cover `length` with at least this overlap.
    fn count(length: usize, side: usize, overlap: f64) -> usize {
        // The overlap is at most three quarters, so a step is at least a quarter of the side.
        let step = side - (side as f64 * overlap).round() as usize;
        1 + length.saturating_sub(side).div_ceil(step)
    }

    /// So many tiles, evenly spread from one end to the other.
    fn new(length: usize, side: usize, count: usize) -> Self {
        let side = side.min(length);
        let last = count - 1;
        // In 128 bits no product can overflow.
        let (room, half) = ((length - side) as u128, last as u128 / 2);
        let start =
            |at: usize| (at as u128 * room + half).checked_div(last as u128).unwrap_or(0) as usize;
        Self { length, side, starts: (0..count).map(start).collect() }
    }
}
