//! Large images in tiles: where they lie, how their maps are blended, and how they are scored.
//!
//! A detector sees every image at one size, so a small defect of a large image vanishes. Cut into
//! overlapping tiles, each as large as what the detector takes, nothing is lost. How a tile is read is
//! the caller's: this crate decodes no images.

mod grid;

use std::f64::consts::PI;
use std::ops::ControlFlow;

use burn::tensor::{Tensor, backend::Backend};
use grid_resample::HostResampler;

use crate::detection::resampler;
use crate::{DetectError, Detection, Detector, ImageMap, ScoreRule};
use grid::TileAxis;

pub use grid::{Tile, TileError, TileGrid, Tiling};

/// What a detector says of an image that it saw in tiles.
#[derive(Debug, Clone, PartialEq)]
pub struct TiledDetection {
    /// The blended map, at the image's own size.
    pub map: ImageMap,
    /// The highest opinion that the image head has of a tile, in `[0, 1]`: a mean would lose a defect
    /// that one tile shows among hundreds.
    pub image_score: f32,
    /// How anomalous the image is, by the detector's rule from the blended map's maximum and
    /// `image_score`; of an image that is one tile, the detector's own score.
    pub score: f32,
}

/// A detector that looks at large images tile by tile.
pub struct TiledDetector<'d, B: Backend> {
    detector: &'d mut dyn Detector<B>,
    batch: usize,
}

impl<'d, B: Backend> TiledDetector<'d, B> {
    /// Looks at `batch` tiles at once, at least one; more take more memory.
    pub fn new(detector: &'d mut dyn Detector<B>, batch: usize) -> Self {
        Self { detector, batch: batch.max(1) }
    }

    /// The detection of an image. `read` gives a tile as the detector takes it, `[3, size, size]`,
    /// normalised; `watch` hears of each tile that is done, and may end the work, which then gives
    /// `None`.
    ///
    /// At any time there is a batch of tiles, and one map of the image as f32.
    ///
    /// # Errors
    ///
    /// What `read` fails with; [`DetectError`] as the detector's.
    pub fn detect<E: From<DetectError>>(
        &mut self,
        grid: &TileGrid,
        class: &str,
        mut read: impl FnMut(&Tile) -> Result<Tensor<B, 3>, E>,
        mut watch: impl FnMut(&Tile) -> ControlFlow<()>,
    ) -> Result<Option<TiledDetection>, E> {
        let mut mosaic = Mosaic::new(grid);
        for tiles in grid.tiles().chunks(self.batch) {
            let images = tiles.iter().map(&mut read).collect::<Result<Vec<_>, E>>()?;
            let detections = self.detector.detect(Tensor::stack(images, 0), class)?;
            for (tile, detection) in tiles.iter().zip(&detections) {
                mosaic.add(tile, detection);
                if watch(tile).is_break() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(mosaic.finish(self.detector.score_rule())))
    }
}

/// The map of an image while its tiles come in: every tile's map under a smooth window, and the windows
/// of a pixel sum to one.
struct Mosaic {
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
    fn new(grid: &TileGrid) -> Self {
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
    fn add(&mut self, tile: &Tile, detection: &Detection) {
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

    fn finish(self, rule: ScoreRule) -> TiledDetection {
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

#[cfg(test)]
mod tests;
