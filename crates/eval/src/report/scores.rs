//! Collects what a detector says about a class's test images, until all of them are there to be
//! compared.

use std::sync::OnceLock;

use super::{ClassResult, Metrics, Protocol, ScoreRule};
use crate::error::{require_finite, require_length};
use crate::metrics::{self, MaskedMap, PixelMetrics};
use crate::{EvalError, MapRange, MapView};

/// What a detector says about one test image, and what is true of it.
#[derive(Clone, Copy, Debug)]
pub struct ImageRecord<'a> {
    /// The anomaly map, at the size of the mask.
    pub map: MapView<'a>,
    /// `[height, width]`, `true` where anomalous; `None` where there is no mask.
    pub mask: Option<&'a [bool]>,
    /// Whether the image is anomalous.
    pub label: bool,
    /// The image head's score, in 0..=1.
    pub image_score: f32,
}

/// The test images of one class.
///
/// Maps and masks stay in memory: 4 bytes for each pixel of a map and 1 for each of a mask, 1.3 MB
/// for an image of 518x518 with a mask. [`ClassScores::finish`] sorts pixels in 4 bytes more for
/// each normal and 8 for each anomalous one.
///
/// Pixel metrics are taken over the images that have a mask, and over the normal images without
/// one, in which nothing is anomalous. An anomalous image without a mask takes part in the image
/// metrics only. Without any mask there are no pixel metrics.
#[derive(Debug)]
pub struct ClassScores {
    class: String,
    images: Vec<Kept>,
    /// Pixel metrics do not depend on rule or protocol, so they are computed once.
    pixels: OnceLock<PixelMetrics>,
}

/// An [`ImageRecord`] that was taken in.
#[derive(Debug)]
struct Kept {
    width: usize,
    height: usize,
    map: Vec<f32>,
    mask: Option<Vec<bool>>,
    range: MapRange,
    label: bool,
    image_score: f32,
}

impl ClassScores {
    /// A class without images yet.
    pub fn new(class: impl Into<String>) -> Self {
        Self { class: class.into(), images: Vec::new(), pixels: OnceLock::new() }
    }

    /// Takes an image in.
    ///
    /// # Errors
    /// [`EvalError::Record`] when the mask is not as large as the map or the image score is not
    /// finite.
    pub fn push(&mut self, record: ImageRecord<'_>) -> Result<(), EvalError> {
        record.check().map_err(|cause| EvalError::Record {
            class: self.class.clone(),
            index: self.images.len(),
            cause: Box::new(cause),
        })?;
        self.pixels = OnceLock::new();
        self.images.push(Kept {
            width: record.map.width(),
            height: record.map.height(),
            map: record.map.values().to_vec(),
            mask: record.mask.map(<[bool]>::to_vec),
            range: record.map.range(),
            label: record.label,
            image_score: record.image_score,
        });
        Ok(())
    }

    /// How many images are in.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether no image is in yet.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The lowest and highest value of all maps, for pictures that can be compared. `None` without
    /// images.
    pub fn range(&self) -> Option<MapRange> {
        let ranges = self.images.iter().map(|image| image.range);
        ranges.reduce(|all, range| all.union(range))
    }

    /// Each image's score, in the order they were pushed.
    pub fn image_scores(&self, rule: ScoreRule, protocol: Protocol) -> Vec<f32> {
        let mut maxima: Vec<f32> = self.images.iter().map(|image| image.range.high()).collect();
        let mut heads: Vec<f32> = self.images.iter().map(|image| image.image_score).collect();
        if let (Protocol::Paper, Some(maps)) = (protocol, self.range()) {
            maxima.iter_mut().for_each(|maximum| *maximum = maps.fraction(*maximum));
            normalise(&mut heads);
        }
        match rule {
            ScoreRule::MapMax => maxima,
            ScoreRule::Image => heads,
            ScoreRule::MeanOfMapMaxAndImage => {
                maxima.iter().zip(&heads).map(|(map, head)| 0.5 * map + 0.5 * head).collect()
            }
        }
    }

    /// The class's metrics under a rule and a protocol. May be called for several; pixels are
    /// sorted once.
    pub fn finish(&self, rule: ScoreRule, protocol: Protocol) -> ClassResult {
        let labels: Vec<bool> = self.images.iter().map(|image| image.label).collect();
        let images = metrics::of_finite(&self.image_scores(rule, protocol), &labels);
        let pixels = self.pixels.get_or_init(|| self.pixel_metrics());
        ClassResult {
            class: self.class.clone(),
            images: labels.len(),
            anomalous: labels.iter().filter(|&&label| label).count(),
            metrics: Metrics {
                image_auroc: images.auroc,
                image_ap: images.ap,
                image_f1_max: images.f1_max,
                pixel_auroc: pixels.auroc,
                pixel_ap: pixels.ap,
                pixel_f1_max: pixels.f1_max,
                aupro_exact: pixels.aupro_exact,
                aupro_200: pixels.aupro_200,
            },
        }
    }

    fn pixel_metrics(&self) -> PixelMetrics {
        if self.images.iter().all(|image| image.mask.is_none()) {
            return PixelMetrics::default();
        }
        let judged = self.images.iter().filter(|image| image.mask.is_some() || !image.label);
        let maps: Vec<_> = judged.map(Kept::masked_map).collect();
        metrics::pixel_metrics(&maps)
    }
}

impl ImageRecord<'_> {
    fn check(&self) -> Result<(), EvalError> {
        if let Some(mask) = self.mask {
            require_length("mask", self.map.values().len(), mask.len())?;
        }
        require_finite("image score", &[self.image_score])
    }
}

impl Kept {
    fn masked_map(&self) -> MaskedMap<'_> {
        MaskedMap {
            map: MapView::of_checked(self.width, self.height, &self.map),
            mask: self.mask.as_deref(),
        }
    }
}

/// Puts finite scores on 0..=1 by their own lowest and highest; all 0 where they are equal.
fn normalise(scores: &mut [f32]) {
    let (low, high) = scores
        .iter()
        .fold((f32::MAX, f32::MIN), |(low, high), &score| (low.min(score), high.max(score)));
    if let Ok(range) = MapRange::new(low, high) {
        scores.iter_mut().for_each(|score| *score = range.fraction(*score));
    }
}
