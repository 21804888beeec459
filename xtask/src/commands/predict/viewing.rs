//! How `predict` looks at an image: as a whole or in tiles, and at which size its map is.

use std::ops::ControlFlow;

use anomaly::{
    Calibration, Detection, ImageMap, Tile, TileGrid, TiledDetection, TiledDetector, Tiling,
};
use anyhow::{Context, bail};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clap::{Args, ValueEnum};
use image::RgbImage;
use inspect::LoadedDetector;
use moeclip_data::{ImageSize, Preprocessing};

use super::judged::Judged;
use crate::interrupt;
use crate::progress::Progress;

/// How images are looked at.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ViewingArgs {
    /// Size of the maps that are written: the model's, or the image's own; with --tile the image's
    #[arg(long, value_enum, value_name = "SIZE")]
    map_size: Option<MapSize>,
    /// Cut images into overlapping tiles of so many of their pixels a side, for defects that are small
    /// beside a large image; an image no larger is looked at as a whole
    #[arg(long, value_name = "PIXELS")]
    tile: Option<usize>,
    /// Share of its side that a tile has in common with its neighbour, at least; 0 to 0.75
    #[arg(long, value_name = "SHARE", default_value_t = 0.25, requires = "tile")]
    tile_overlap: f64,
    /// Tiles that are looked at together; more take more memory
    #[arg(long, value_name = "TILES", default_value_t = 4, requires = "tile")]
    tile_batch: usize,
}

/// Sizes of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapSize {
    /// As they are scored
    Model,
    /// As large as the image
    Image,
}

/// What was seen in an image.
pub(super) struct Viewed {
    pub(super) map: ImageMap,
    pub(super) image_score: f32,
    pub(super) score: f32,
    /// How many tiles it was looked at in.
    pub(super) tiles: usize,
    /// What a calibration says of it; `None` without one, and of tiles.
    pub(super) judged: Option<Judged>,
}

/// An image that is looked at, and the means to do so.
pub(super) struct View<'a, B: Backend> {
    pub(super) image: &'a RgbImage,
    pub(super) class: &'a str,
    pub(super) calibration: Option<&'a Calibration>,
    pub(super) preprocessing: &'a Preprocessing,
    pub(super) device: &'a B::Device,
}

impl ViewingArgs {
    /// Whether images are cut.
    pub(super) fn is_tiled(&self) -> bool {
        self.tile.is_some()
    }

    /// Refuses what does not go together, and tilings that no image could have.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.is_tiled() && self.map_size == Some(MapSize::Model) {
            bail!("--map-size model: the map of tiles is as large as the image; leave it out");
        }
        if self.tile_batch == 0 && self.is_tiled() {
            bail!("--tile-batch 0: looks at nothing; use 1 or more");
        }
        self.tiling().map_or(Ok(()), |tiling| Ok(TileGrid::new(1, 1, tiling).map(drop)?))
    }

    /// The calibration where it holds: it is of images that were seen whole. Says on stderr where not.
    pub(super) fn holding(&self, calibration: Option<Calibration>) -> Option<Calibration> {
        if self.is_tiled() && calibration.is_some() {
            eprintln!("note: the calibration is of images seen whole; tiles are given no verdict");
            return None;
        }
        calibration
    }

    /// What is seen in an image; `None` when it was interrupted.
    pub(super) fn look<B: Backend>(
        &self,
        view: &View<'_, B>,
        loaded: &mut LoadedDetector<B>,
    ) -> anyhow::Result<Option<Viewed>> {
        let (width, height) = (view.image.width() as usize, view.image.height() as usize);
        let Some(tiling) = self.tiling() else {
            return self.whole(view, loaded).map(Some);
        };
        let grid = TileGrid::new(width, height, tiling)?;
        let mut progress = Progress::new("tiles", grid.tiles().len());
        let mut detector = TiledDetector::new(&mut *loaded.detector, self.tile_batch);
        let watch = |_: &Tile| {
            progress.advance(view.class.to_owned());
            if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let detected = detector.detect(&grid, view.class, |tile| view.read(tile), watch);
        progress.finish();
        let viewed = |TiledDetection { map, image_score, score }| {
            let tiles = grid.tiles().len();
            Viewed { map, image_score, score, tiles, judged: None }
        };
        Ok(detected?.map(viewed))
    }

    fn whole<B: Backend>(
        &self,
        view: &View<'_, B>,
        loaded: &mut LoadedDetector<B>,
    ) -> anyhow::Result<Viewed> {
        let (width, height) = (view.image.width() as usize, view.image.height() as usize);
        let images = view.tensor(view.preprocessing.image(view.image)?).unsqueeze();
        let detections = loaded.detector.detect(images, view.class)?;
        let detection = detections.into_iter().next().context("the detector gave no map")?;
        let judged = view.calibration.map(|calibration| Judged::of(calibration, &detection));
        let Detection { map, image_score, score } = detection;
        let map = match self.map_size {
            Some(MapSize::Image) => map.resampled(width, height),
            Some(MapSize::Model) | None => map.into(),
        };
        Ok(Viewed { map, image_score, score, tiles: 1, judged })
    }

    fn tiling(&self) -> Option<Tiling> {
        self.tile.map(|side| Tiling { side, overlap: self.tile_overlap })
    }
}

impl<B: Backend> View<'_, B> {
    /// A tile as the detector takes it.
    fn read(&self, tile: &Tile) -> anyhow::Result<Tensor<B, 3>> {
        let Tile { x, y, width, height } = *tile;
        let part = ImageSize { width: width as u32, height: height as u32 };
        let values = self.preprocessing.part(self.image, [x as u32, y as u32], part)?;
        Ok(self.tensor(values))
    }

    fn tensor(&self, values: Vec<f32>) -> Tensor<B, 3> {
        let size = self.preprocessing.size();
        Tensor::from_data(TensorData::new(values, [3, size, size]), self.device)
    }
}
