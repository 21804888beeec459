//! Large images in tiles: where they lie, how their maps are blended, and how they are scored.
//!
//! A detector sees every image at one size, so a small defect of a large image vanishes. Cut into
//! overlapping tiles, each as large as what the detector takes, nothing is lost. How a tile is read is
//! the caller's: this crate decodes no images.

mod blend;
mod grid;

use std::ops::ControlFlow;

use burn::tensor::{Tensor, backend::Backend};

use self::blend::Mosaic;
pub use self::grid::{Tile, TileError, TileGrid, Tiling};
use crate::{DetectError, Detector, ImageMap};

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

#[cfg(test)]
mod tests;
