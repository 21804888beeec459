//! The one list of metrics, over which tables, files and pages go; a class's numbers by it, and their
//! bootstrap intervals.

use std::ops::{Index, IndexMut};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{ClassResult, Level};
use crate::metrics::{BinaryMetrics, Interval, PixelMetrics, Resamples, mean_of_defined};

/// A metric of a report, a fraction of 1. To add one is to add it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// AUROC of the image scores.
    ImageAuroc,
    /// Average precision of the image scores.
    ImageAp,
    /// The best F1 of the image scores.
    ImageF1Max,
    /// Expected calibration error of the image scores, 15 bins of equal width; undefined where a
    /// score lies outside 0..=1.
    ImageEce,
    /// AUROC over all pixels.
    PixelAuroc,
    /// Average precision over all pixels.
    PixelAp,
    /// The best F1 over all pixels.
    PixelF1Max,
    /// Intersection over union at the threshold of the best F1 over all pixels.
    PixelIou,
    /// AUPRO to a false-positive rate of 0.3, every threshold, interpolated at 0.3.
    AuproExact,
    /// AUPRO by the 200-step research standard.
    Aupro200,
}

/// Which values of a metric are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The highest is best.
    Higher,
    /// The lowest is best.
    Lower,
}

impl Metric {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 10] = [
        Self::ImageAuroc,
        Self::ImageAp,
        Self::ImageF1Max,
        Self::ImageEce,
        Self::PixelAuroc,
        Self::PixelAp,
        Self::PixelF1Max,
        Self::PixelIou,
        Self::AuproExact,
        Self::Aupro200,
    ];

    /// Its name in files.
    pub fn key(self) -> &'static str {
        match self {
            Self::ImageAuroc => "image_auroc",
            Self::ImageAp => "image_ap",
            Self::ImageF1Max => "image_f1_max",
            Self::ImageEce => "image_ece",
            Self::PixelAuroc => "pixel_auroc",
            Self::PixelAp => "pixel_ap",
            Self::PixelF1Max => "pixel_f1_max",
            Self::PixelIou => "pixel_iou",
            Self::AuproExact => "aupro_exact",
            Self::Aupro200 => "aupro_200",
        }
    }

    /// The head of its column.
    pub fn head(self) -> &'static str {
        match self {
            Self::ImageAuroc => "I-AUROC",
            Self::ImageAp => "I-AP",
            Self::ImageF1Max => "I-F1",
            Self::ImageEce => "I-ECE",
            Self::PixelAuroc => "P-AUROC",
            Self::PixelAp => "P-AP",
            Self::PixelF1Max => "P-F1",
            Self::PixelIou => "P-IoU",
            Self::AuproExact => "AUPRO",
            Self::Aupro200 => "AUPRO200",
        }
    }

    /// What a table's reader must know besides its head.
    pub fn note(self) -> Option<&'static str> {
        match self {
            Self::ImageEce => Some("15 bins"),
            Self::PixelIou => Some("at the threshold of P-F1"),
            Self::AuproExact => Some("every threshold to FPR 0.3"),
            Self::Aupro200 => Some("the 200-step standard"),
            _ => None,
        }
    }

    /// The unit that tables write it in.
    pub fn unit(self) -> &'static str {
        "percent"
    }

    /// Which of its values are good.
    pub fn direction(self) -> Direction {
        match self {
            Self::ImageEce => Direction::Lower,
            _ => Direction::Higher,
        }
    }

    /// What it is taken over.
    pub fn level(self) -> Level {
        match self {
            Self::ImageAuroc | Self::ImageAp | Self::ImageF1Max | Self::ImageEce => Level::Image,
            _ => Level::Pixel,
        }
    }

    /// Whether it has bootstrap intervals.
    pub fn has_intervals(self) -> bool {
        !matches!(self, Self::ImageEce | Self::Aupro200)
    }
}

/// The metrics of a class or a mean of classes, as fractions of 1; `None` (`null`) where undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics([Option<f64>; Metric::ALL.len()]);

impl Metrics {
    /// Those of a class: of its image scores, their calibration error, and of its pixels.
    pub(super) fn new(images: BinaryMetrics, ece: Option<f64>, pixels: PixelMetrics) -> Self {
        Self(Metric::ALL.map(|metric| match metric {
            Metric::ImageAuroc => images.auroc,
            Metric::ImageAp => images.ap,
            Metric::ImageF1Max => images.f1_max,
            Metric::ImageEce => ece,
            Metric::PixelAuroc => pixels.auroc,
            Metric::PixelAp => pixels.ap,
            Metric::PixelF1Max => pixels.f1_max,
            Metric::PixelIou => pixels.iou,
            Metric::AuproExact => pixels.aupro_exact,
            Metric::Aupro200 => pixels.aupro_200,
        }))
    }

    /// The same with another value of one metric.
    #[must_use]
    pub fn with(mut self, metric: Metric, value: Option<f64>) -> Self {
        self[metric] = value;
        self
    }

    /// Each metric's mean over the rows where it is defined; `None` where no row defines it.
    pub fn mean<'a>(rows: impl Iterator<Item = &'a Metrics>) -> Metrics {
        Self(means(rows.map(|row| row.0)))
    }

    /// The values in the order of [`Metric::ALL`].
    pub fn values(&self) -> [Option<f64>; Metric::ALL.len()] {
        self.0
    }
}

impl Index<Metric> for Metrics {
    type Output = Option<f64>;

    fn index(&self, metric: Metric) -> &Option<f64> {
        &self.0[metric as usize]
    }
}

impl IndexMut<Metric> for Metrics {
    fn index_mut(&mut self, metric: Metric) -> &mut Option<f64> {
        &mut self.0[metric as usize]
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Metric::ALL.map(Metric::key).into_iter().zip(self.0))
    }
}

/// For each column the mean of the values that there are.
pub(super) fn means<const N: usize>(
    rows: impl Iterator<Item = [Option<f64>; N]>,
) -> [Option<f64>; N] {
    let rows: Vec<[Option<f64>; N]> = rows.collect();
    std::array::from_fn(|column| mean_of_defined(rows.iter().filter_map(|row| row[column])))
}

/// Intervals of the metrics; `None` where no draw defines the metric, and those of pixels where they
/// were not asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    /// The share of draws that an interval holds.
    pub level: f64,
    /// Draws.
    pub resamples: usize,
    intervals: [Option<Interval>; Metric::ALL.len()],
    /// What the intervals are of; a mean's are made of its classes'.
    draws: Resamples,
}

impl Intervals {
    /// The intervals of a class that was drawn anew.
    pub fn new(draws: Resamples) -> Self {
        let intervals = Metric::ALL.map(|metric| match metric {
            Metric::ImageAuroc => draws.interval(|metrics| metrics.auroc),
            Metric::ImageAp => draws.interval(|metrics| metrics.ap),
            Metric::ImageF1Max => draws.interval(|metrics| metrics.f1_max),
            Metric::PixelAuroc => draws.pixel_interval(|metrics| metrics.auroc),
            Metric::PixelAp => draws.pixel_interval(|metrics| metrics.ap),
            Metric::PixelF1Max => draws.pixel_interval(|metrics| metrics.f1_max),
            Metric::PixelIou => draws.pixel_interval(|metrics| metrics.iou),
            Metric::AuproExact => draws.pixel_interval(|metrics| metrics.aupro_exact),
            Metric::ImageEce | Metric::Aupro200 => None,
        });
        Self { level: draws.level(), resamples: draws.len(), intervals, draws }
    }

    /// Whether there are intervals of pixel metrics.
    pub(super) fn has_pixels(&self) -> bool {
        let mut all = Metric::ALL.into_iter();
        all.any(|metric| metric.level() == Level::Pixel && self[metric].is_some())
    }

    /// The intervals of the means of classes that were drawn independently. `None` unless every class
    /// was, and equally often.
    pub(super) fn of_mean(classes: &[ClassResult]) -> Option<Self> {
        let draws: Option<Vec<&Resamples>> =
            classes.iter().map(|class| Some(&class.intervals.as_ref()?.draws)).collect();
        Resamples::mean(&draws?).map(Self::new)
    }
}

impl Index<Metric> for Intervals {
    type Output = Option<Interval>;

    fn index(&self, metric: Metric) -> &Option<Interval> {
        &self.intervals[metric as usize]
    }
}

impl Serialize for Intervals {
    /// Of images every metric has its key, of pixels only those that were asked for.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("level", &self.level)?;
        map.serialize_entry("resamples", &self.resamples)?;
        for metric in Metric::ALL.into_iter().filter(|metric| metric.has_intervals()) {
            let interval = &self[metric];
            if interval.is_some() || metric.level() == Level::Image {
                map.serialize_entry(metric.key(), interval)?;
            }
        }
        map.end()
    }
}
