//! Collects what a detector says about a class's test images, until all of them are there to be
//! compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use anomaly::{Calibration, ScoreRule, Verdict};

use super::decisions::DecisionCounts;
use super::{ClassResult, Decisions, Intervals, Metrics, Protocol};
use crate::error::{require_finite, require_length};
use crate::metrics::{
    self, Bootstrap, Curves, GroupedPixels, MaskedMap, MeasuredPixels, PixelMetrics, PixelScores,
    Workspace,
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
    images: Vec<ScoredImage>,
    groups: Groups,
    pixels: PixelScores,
    has_mask: bool,
    calibration: Option<Arc<Calibration>>,
    /// Decisions on pixels by the calibration's threshold.
    pixel_decisions: DecisionCounts,
    /// Pixels by group, where their intervals are asked for.
    grouped: Option<GroupedPixels>,
    /// Pixel metrics of each draw; they do not depend on rule or protocol either.
    drawn: Option<ResampledPixels>,
    /// Pixel metrics do not depend on rule or protocol, so they are computed once.
    measured: Option<PixelMetrics>,
}

/// Pixel metrics of each of a bootstrap's draws.
#[derive(Clone, Debug)]
struct ResampledPixels {
    bootstrap: Bootstrap,
    pixels: Vec<PixelMetrics>,
}

/// What is kept of an [`ImageRecord`].
#[derive(Debug)]
struct ScoredImage {
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
            calibration: None,
            pixel_decisions: DecisionCounts::default(),
            grouped: None,
            drawn: None,
            measured: None,
        }
    }

    /// The same with the protocol [`Protocol::Deployed`]. To be called before the first image.
    #[must_use]
    pub fn calibrated(self, calibration: Arc<Calibration>) -> Self {
        Self { calibration: Some(calibration), ..self }
    }

    /// The same, keeping what the intervals of pixel metrics take: [`ClassScores::intervals`] then has
    /// them. `workspace` is for these alone. To be called before the first image.
    #[must_use]
    pub fn with_pixel_intervals(self, workspace: Workspace) -> Self {
        Self { grouped: Some(GroupedPixels::new(workspace)), ..self }
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
        self.decide_pixels(&record);
        let group = self.groups.number(record.group);
        if let Some(masked) = record.judged()? {
            self.pixels.push(masked)?;
            self.grouped.as_mut().map_or(Ok(()), |grouped| grouped.push(masked, group))?;
        }
        self.has_mask |= record.mask.is_some();
        (self.measured, self.drawn) = (None, None);
        self.images.push(ScoredImage {
            range: record.map.range(),
            label: record.label,
            image_score: record.image_score,
            group,
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

    /// Each image's score, in the order they were pushed. `None` under [`Protocol::Deployed`] without a
    /// calibration; with one, its own rule decides.
    pub fn image_scores(&self, rule: ScoreRule, protocol: Protocol) -> Option<Vec<f32>> {
        if protocol == Protocol::Deployed {
            let calibration = self.calibration.as_ref()?;
            let score =
                |image: &ScoredImage| calibration.score(image.range.high(), image.image_score);
            return Some(self.images.iter().map(score).collect());
        }
        let mut maxima: Vec<f32> = self.images.iter().map(|image| image.range.high()).collect();
        let mut heads: Vec<f32> = self.images.iter().map(|image| image.image_score).collect();
        if let (Protocol::Paper, Some(maps)) = (protocol, self.range()) {
            maxima.iter_mut().for_each(|maximum| *maximum = maps.fraction(*maximum));
            normalise(&mut heads);
        }
        let pairs = maxima.into_iter().zip(heads);
        Some(pairs.map(|(map, head)| rule.score(map, head)).collect())
    }

    /// The class's metrics under a rule and a protocol. May be called for several; pixels are
    /// counted once. Where image scores are undefined, so are the image metrics.
    ///
    /// # Errors
    /// As [`PixelScores::metrics`].
    pub fn finish(
        &mut self,
        rule: ScoreRule,
        protocol: Protocol,
    ) -> Result<ClassResult, EvalError> {
        let (scores, labels) = (self.image_scores(rule, protocol), self.labels());
        let images = scores.as_ref().map(|scores| metrics::of_finite(scores, &labels));
        let images = images.unwrap_or_default();
        let pixels = self.pixel_metrics()?;
        let ece =
            scores.as_ref().and_then(|scores| metrics::calibration_of_finite(scores, &labels));
        let decisions = match protocol {
            Protocol::Paper | Protocol::Raw => None,
            Protocol::Deployed => scores.as_ref().and_then(|scores| self.decisions(scores)),
        };
        Ok(ClassResult {
            class: self.class.clone(),
            images: labels.len(),
            anomalous: labels.iter().filter(|&&label| label).count(),
            metrics: Metrics::new(images, ece, pixels),
            intervals: None,
            decisions,
        })
    }

    /// Intervals of the class's metrics. The draws of a class follow from the seed and the
    /// class's name, so they do not depend on which other classes are measured. `None` where image
    /// scores are undefined.
    ///
    /// # Errors
    /// [`EvalError::Workspace`] when the temporary files of pixels cannot be read.
    pub fn intervals(
        &mut self,
        rule: ScoreRule,
        protocol: Protocol,
        bootstrap: &Bootstrap,
    ) -> Result<Option<Intervals>, EvalError> {
        let groups: Vec<usize> = self.images.iter().map(|image| image.group).collect();
        let stream = number(&self.class);
        let Some(scores) = self.image_scores(rule, protocol) else { return Ok(None) };
        let draws = bootstrap.draw(&scores, &self.labels(), &groups, stream);
        let pixels = self.drawn_pixels(&groups, stream, bootstrap)?;
        Ok(Some(Intervals::new(draws.with_pixels(pixels))))
    }

    /// Pixel metrics of each draw; none unless they were asked for and there are masks.
    fn drawn_pixels(
        &mut self,
        groups: &[usize],
        stream: u64,
        bootstrap: &Bootstrap,
    ) -> Result<Vec<PixelMetrics>, EvalError> {
        let known = self.drawn.as_ref().filter(|drawn| drawn.bootstrap == *bootstrap);
        if let Some(drawn) = known {
            return Ok(drawn.pixels.clone());
        }
        let pixels = match &mut self.grouped {
            Some(grouped) if self.has_mask => {
                let drawn: Vec<Vec<u64>> = bootstrap.drawn(groups, stream).collect();
                grouped.metrics(&drawn)?
            }
            _ => Vec::new(),
        };
        self.drawn = Some(ResampledPixels { bootstrap: *bootstrap, pixels: pixels.clone() });
        Ok(pixels)
    }

    /// What the calibration's thresholds do to images with these scores.
    fn decisions(&self, scores: &[f32]) -> Option<Decisions> {
        let calibration = self.calibration.as_ref()?;
        let mut images = DecisionCounts::default();
        for (image, &score) in self.images.iter().zip(scores) {
            images.add(image.label, calibration.verdict(score) == Verdict::Anomalous);
        }
        let pixels = if self.has_mask { self.pixel_decisions } else { DecisionCounts::default() };
        Some(Decisions::new(images, pixels))
    }

    /// Decides on the pixels that pixel metrics are over.
    fn decide_pixels(&mut self, record: &ImageRecord<'_>) {
        let Some(calibration) = &self.calibration else { return };
        let threshold = calibration.pixel_threshold.value;
        let values = record.map.values().iter().map(|&value| value > threshold);
        match record.mask {
            Some(mask) => values
                .zip(mask)
                .for_each(|(called, &is_anomalous)| self.pixel_decisions.add(is_anomalous, called)),
            None if !record.label => {
                values.for_each(|called| self.pixel_decisions.add(false, called));
            }
            None => {}
        }
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

impl<'a> ImageRecord<'a> {
    /// What pixel metrics are taken over.
    fn judged(&self) -> Result<Option<MaskedMap<'a>>, EvalError> {
        match self.mask {
            Some(mask) => Ok(Some(MaskedMap::new(self.map, mask)?)),
            None => Ok((!self.label).then(|| MaskedMap::normal(self.map))),
        }
    }

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
