//! Collects what a detector says about a class's test images, until all of them are there to be
//! compared.

use std::collections::BTreeMap;

use super::{ClassResult, Intervals, Metrics, Protocol, ScoreRule};
use crate::error::{require_finite, require_length};
use crate::metrics::{
    self, Bootstrap, Curves, MaskedMap, MeasuredPixels, PixelMetrics, PixelScores, Workspace,
};
use crate::{EvalError, MapRange, MapView};

/// What a detector says about one test image, and what is true of it.
#[derive(Clone, Copy, Debug)]
pub struct ImageRecord<'a> {
    /// What errors and saved records call the image, mostly its path.
    pub name: &'a str,
    /// What the image has in common with others that are not independent of it, such as a patient.
    pub group: Option<&'a str>,
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
/// Of an image a few numbers are kept; its pixels go into [`PixelScores`], which stays within the
/// [`Workspace`].
///
/// Pixel metrics are taken over the images that have a mask, and over the normal images without
/// one, in which nothing is anomalous. An anomalous image without a mask takes part in the image
/// metrics only. Without any mask there are no pixel metrics.
#[derive(Debug)]
pub struct ClassScores {
    class: String,
    images: Vec<Kept>,
    groups: Groups,
    pixels: PixelScores,
    has_mask: bool,
    /// Pixel metrics do not depend on rule or protocol, so they are computed once.
    measured: Option<PixelMetrics>,
}

/// What is kept of an [`ImageRecord`].
#[derive(Debug)]
struct Kept {
    range: MapRange,
    label: bool,
    image_score: f32,
    group: usize,
}

/// Numbers groups in the order they are met; an image without one is a group of its own.
#[derive(Debug, Default)]
struct Groups {
    named: BTreeMap<String, usize>,
    count: usize,
}

impl ClassScores {
    /// A class without images yet.
    pub fn new(class: impl Into<String>, workspace: Workspace) -> Self {
        Self {
            class: class.into(),
            images: Vec::new(),
            groups: Groups::default(),
            pixels: PixelScores::new(workspace),
            has_mask: false,
            measured: None,
        }
    }

    /// The class's name.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// Takes an image in.
    ///
    /// # Errors
    /// [`EvalError::Record`] when the mask is not as large as the map or the image score is not
    /// finite; as [`PixelScores::push`].
    pub fn push(&mut self, record: ImageRecord<'_>) -> Result<(), EvalError> {
        record.check().map_err(|cause| EvalError::Record {
            class: self.class.clone(),
            image: record.name.to_owned(),
            cause: Box::new(cause),
        })?;
        match record.mask {
            Some(mask) => self.pixels.push(MaskedMap::new(record.map, mask)?)?,
            None if !record.label => self.pixels.push(MaskedMap::normal(record.map))?,
            None => {}
        }
        self.has_mask |= record.mask.is_some();
        self.measured = None;
        self.images.push(Kept {
            range: record.map.range(),
            label: record.label,
            image_score: record.image_score,
            group: self.groups.number(record.group),
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
    /// counted once.
    ///
    /// # Errors
    /// As [`PixelScores::metrics`].
    pub fn finish(
        &mut self,
        rule: ScoreRule,
        protocol: Protocol,
    ) -> Result<ClassResult, EvalError> {
        let (scores, labels) = (self.image_scores(rule, protocol), self.labels());
        let images = metrics::of_finite(&scores, &labels);
        let pixels = self.pixel_metrics()?;
        Ok(ClassResult {
            class: self.class.clone(),
            images: labels.len(),
            anomalous: labels.iter().filter(|&&label| label).count(),
            metrics: Metrics {
                image_auroc: images.auroc,
                image_ap: images.ap,
                image_f1_max: images.f1_max,
                image_ece: metrics::calibration_of_finite(&scores, &labels),
                pixel_auroc: pixels.auroc,
                pixel_ap: pixels.ap,
                pixel_f1_max: pixels.f1_max,
                pixel_iou: pixels.iou,
                aupro_exact: pixels.aupro_exact,
                aupro_200: pixels.aupro_200,
            },
            intervals: None,
        })
    }

    /// Intervals of the class's image metrics. The draws of a class follow from the seed and the
    /// class's name, so they do not depend on which other classes are measured.
    pub fn intervals(
        &self,
        rule: ScoreRule,
        protocol: Protocol,
        bootstrap: &Bootstrap,
    ) -> Intervals {
        let groups: Vec<usize> = self.images.iter().map(|image| image.group).collect();
        let scores = self.image_scores(rule, protocol);
        Intervals::new(bootstrap.draw(&scores, &self.labels(), &groups, number(&self.class)))
    }

    /// Whether each image is anomalous, in the order they were pushed.
    pub fn labels(&self) -> Vec<bool> {
        self.images.iter().map(|image| image.label).collect()
    }

    /// The pixels' curves; `None` where undefined. Counted in one pass with the metrics, so it comes
    /// before [`ClassScores::finish`].
    ///
    /// # Errors
    /// As [`PixelScores::metrics`].
    pub fn pixel_curves(&mut self) -> Result<Option<Curves>, EvalError> {
        if !self.has_mask {
            return Ok(None);
        }
        let MeasuredPixels { metrics, curves } = self.pixels.metrics_and_curves()?;
        self.measured = Some(metrics);
        Ok(curves)
    }

    fn pixel_metrics(&mut self) -> Result<PixelMetrics, EvalError> {
        let metrics = match self.measured {
            Some(metrics) => metrics,
            None if self.has_mask => self.pixels.metrics()?,
            None => PixelMetrics::default(),
        };
        self.measured = Some(metrics);
        Ok(metrics)
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

impl Groups {
    fn number(&mut self, group: Option<&str>) -> usize {
        let next = self.count;
        let number = match group {
            Some(name) => *self.named.entry(name.to_owned()).or_insert(next),
            None => next,
        };
        self.count += usize::from(number == next);
        number
    }
}

/// A number of a name's own (FNV-1a).
fn number(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
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
