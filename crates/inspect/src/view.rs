//! Looking at a picture: as a whole or in tiles, at which size its map is, and what a calibration says.

use std::ops::ControlFlow;

use anomaly::{
    Calibration, Detection, ImageMap, Judgement, Tile, TileGrid, TiledDetection, TiledDetector,
    Tiling, Verdict,
};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use image::RgbImage;
use moeclip_data::{ImageSize, Preprocessing, SampleBits};
use moeclip_eval::{MapRange, MapView};
use serde::Serialize;

use crate::error::{Context, refuse};
use crate::{InspectError, LoadedDetector, Warning, Watcher, WorkKind};

/// How images are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Viewing {
    /// Size of the maps; the model's of whole images, the image's own of tiles.
    pub map_size: Option<MapSize>,
    /// How images are cut, if they are.
    pub tiling: Option<Tiling>,
    /// Tiles that are looked at together.
    pub tile_batch: usize,
    /// How many bits of 16-bit pictures hold the picture, where it is not all of them.
    pub bits: Option<SampleBits>,
}

/// Sizes of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapSize {
    /// As they are scored.
    Model,
    /// As large as the image.
    Image,
}

/// What was seen in an image.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenMap {
    /// Where it is anomalous.
    pub map: ImageMap,
    /// What the detector says of the image besides its map.
    pub image_score: f32,
    /// How anomalous the image is.
    pub score: f32,
    /// How many tiles it was looked at in.
    pub tiles: usize,
    /// What a calibration says of it; `None` without one, and of tiles.
    pub judged: Option<Judged>,
}

/// What a calibration says of an image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Judged {
    /// The calibrated score.
    pub calibrated_score: f32,
    /// Above it an image is anomalous.
    pub threshold: f32,
    /// Whether it is.
    pub verdict: Verdict,
    /// The share of pixels above the threshold of pixels.
    pub anomalous_share: f64,
}

impl Judged {
    /// What `calibration` says of a detection.
    pub fn of(calibration: &Calibration, detection: &Detection) -> Self {
        let Judgement { score, verdict, anomalous_share } = calibration.judge(detection);
        let threshold = calibration.image_threshold.value;
        Self { calibrated_score: score, threshold, verdict, anomalous_share }
    }

    /// Whether the image is anomalous.
    pub fn is_anomalous(&self) -> bool {
        self.verdict == Verdict::Anomalous
    }
}

impl Viewing {
    /// Refuses what does not go together, and tilings that no image could have.
    ///
    /// # Errors
    /// The refusal; as [`TileGrid::new`].
    pub fn check(&self) -> Result<(), InspectError> {
        let Some(tiling) = self.tiling else { return Ok(()) };
        if self.map_size == Some(MapSize::Model) {
            refuse!("--map-size model: the map of tiles is as large as the image; leave it out");
        }
        if self.tile_batch == 0 {
            refuse!("--tile-batch 0: looks at nothing; use 1 or more");
        }
        Ok(TileGrid::new(1, 1, tiling).map(drop)?)
    }

    /// The calibration where it holds: it is of images that were seen whole. Warns where it is not.
    pub fn holding(
        &self,
        calibration: Option<Calibration>,
        watch: &mut dyn Watcher,
    ) -> Option<Calibration> {
        if self.tiling.is_some() && calibration.is_some() {
            watch.warn(Warning::TilesNotJudged);
            return None;
        }
        calibration
    }

    /// What a detector sees in an image of `class`.
    ///
    /// # Errors
    /// As the detector and [`TileGrid::new`]; cancellation between tiles.
    pub fn look<B: Backend>(
        &self,
        image: &RgbImage,
        class: &str,
        calibration: Option<&Calibration>,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
        watch: &mut dyn Watcher,
    ) -> Result<SeenMap, InspectError> {
        let Some(tiling) = self.tiling else {
            return self.whole(image, class, calibration, loaded, device);
        };
        let grid = TileGrid::new(image.width() as usize, image.height() as usize, tiling)?;
        watch.begin(WorkKind::Tiles, grid.tiles().len());
        let preprocessing = loaded.preprocessing;
        let read = |tile: &Tile| -> Result<Tensor<B, 3>, InspectError> {
            let Tile { x, y, width, height } = *tile;
            let part = ImageSize { width: width as u32, height: height as u32 };
            let values = preprocessing.part(image, [x as u32, y as u32], part)?;
            Ok(tensor(&preprocessing, values, device))
        };
        let mut detector = TiledDetector::new(&mut *loaded.detector, self.tile_batch);
        let detected = detector.detect(&grid, class, read, |_| {
            watch.advance(class.to_owned());
            if watch.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        watch.end();
        let TiledDetection { map, image_score, score } =
            detected?.ok_or_else(|| InspectError::cancelled("interrupted between two tiles"))?;
        Ok(SeenMap { map, image_score, score, tiles: grid.tiles().len(), judged: None })
    }

    fn whole<B: Backend>(
        &self,
        image: &RgbImage,
        class: &str,
        calibration: Option<&Calibration>,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
    ) -> Result<SeenMap, InspectError> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let values = loaded.preprocessing.image(image)?;
        let images = tensor(&loaded.preprocessing, values, device).unsqueeze();
        let detections = loaded.detector.detect(images, class)?;
        let detection = detections.into_iter().next().context("the detector gave no map")?;
        let judged = calibration.map(|calibration| Judged::of(calibration, &detection));
        let Detection { map, image_score, score } = detection;
        let map = match self.map_size {
            Some(MapSize::Image) => map.resampled(width, height),
            Some(MapSize::Model) | None => map.into(),
        };
        Ok(SeenMap { map, image_score, score, tiles: 1, judged })
    }
}

/// What an overlay's legend says.
pub(crate) struct Legend {
    pub(crate) title: String,
    pub(crate) score: f32,
}

impl Legend {
    /// Of an image of `class`: its verdict and calibrated score, where there are any.
    pub(crate) fn of(class: &str, score: f32, judged: Option<&Judged>) -> Self {
        let Some(judged) = judged else { return Self { title: class.to_owned(), score } };
        let verdict = if judged.is_anomalous() { "anomalous" } else { "normal" };
        Self { title: format!("{class}: {verdict}"), score: judged.calibrated_score }
    }
}

/// The values that overlays show as weakest and strongest: as asked for, those of all normal images,
/// or the map's own.
pub(crate) fn colours(
    asked: Option<MapRange>,
    calibration: Option<&Calibration>,
    map: MapView<'_>,
) -> Result<MapRange, InspectError> {
    match (asked, calibration) {
        (Some(range), _) => Ok(range),
        (None, Some(Calibration { map, .. })) => Ok(MapRange::new(map.low, map.high)?),
        (None, None) => Ok(map.range()),
    }
}

/// A prepared picture on a device, `[3, size, size]`.
fn tensor<B: Backend>(
    preprocessing: &Preprocessing,
    values: Vec<f32>,
    device: &B::Device,
) -> Tensor<B, 3> {
    let size = preprocessing.size();
    Tensor::from_data(TensorData::new(values, [3, size, size]), device)
}
