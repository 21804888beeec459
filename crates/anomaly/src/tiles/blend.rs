//! One map of many: every tile's map under a smooth window, and the windows of a pixel sum to one.

use std::f64::consts::PI;

use grid_resample::HostResampler;

use super::grid::TileAxis;
use super::{Tile, TileGrid, TiledDetection};
use crate::detection::resampler;
use crate::{Detection, ImageMap, ScoreRule};

/// The map of an image while its tiles come in.
pub(super) struct Mosaic {
    columns: Windows,
    rows: Windows,
    map: ImageMap,
    /// From the size of the detector's maps to a tile's; known with the first.
    resampler: Option<HostResampler>,
    image_score: f32,
    /// The detector's own score, where there is but one tile.
    whole: Option<f32>,
    is_whole: bool,
}

impl Mosaic {
    pub(super) fn new(grid: &TileGrid) -> Self {
        let (width, height) = (grid.columns.length, grid.rows.length);
        Self {
            columns: Windows::new(&grid.columns),
            rows: Windows::new(&grid.rows),
            map: ImageMap { width, height, values: vec![0.0; width * height] },
            resampler: None,
            image_score: f32::NEG_INFINITY,
            whole: None,
            is_whole: grid.is_whole(),
        }
    }

    /// Adds what was detected in a tile of the grid.
    pub(super) fn add(&mut self, tile: &Tile, detection: &Detection) {
        let Detection { map, image_score, score } = detection;
        let resampler =
            self.resampler.get_or_insert_with(|| resampler(map.size, tile.width, tile.height));
        let values = resampler.grid(&map.values);
        let (columns, rows) = (self.columns.of(tile.x), self.rows.of(tile.y));
        let lines = self.map.values.chunks_mut(self.map.width).skip(tile.y);
        for ((line, values), row) in lines.zip(values.chunks(tile.width)).zip(rows) {
            for ((sum, value), column) in line[tile.x..].iter_mut().zip(values).zip(columns) {
                *sum += (row * column * f64::from(*value)) as f32;
            }
        }
        self.image_score = self.image_score.max(*image_score);
        self.whole = self.is_whole.then_some(*score);
    }

    pub(super) fn finish(self, rule: ScoreRule) -> TiledDetection {
        let Self { map, image_score, whole, .. } = self;
        let score = whole.unwrap_or_else(|| rule.score(map.maximum(), image_score));
        TiledDetection { map, image_score, score }
    }
}

/// The windows of the tiles along one side: `sin²(pi (i + 1/2) / side)`, divided by the sum of all that
/// lie over the same pixel.
struct Windows {
    starts: Vec<usize>,
    weights: Vec<Vec<f64>>,
}

impl Windows {
    fn new(axis: &TileAxis) -> Self {
        let bell = |at: usize| (PI * (at as f64 + 0.5) / axis.side as f64).sin().powi(2);
        let window: Vec<f64> = (0..axis.side).map(bell).collect();
        let mut sums = vec![0.0; axis.length];
        for &start in &axis.starts {
            sums[start..].iter_mut().zip(&window).for_each(|(sum, weight)| *sum += weight);
        }
        let share = |&start: &usize| {
            window.iter().zip(&sums[start..]).map(|(weight, sum)| weight / sum).collect()
        };
        Self { starts: axis.starts.clone(), weights: axis.starts.iter().map(share).collect() }
    }

    /// The window of the tile that starts there.
    fn of(&self, start: usize) -> &[f64] {
        let tile = self.starts.binary_search(&start);
        tile.ok().and_then(|tile| self.weights.get(tile)).map_or(&[], Vec::as_slice)
    }
}
