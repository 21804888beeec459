//! Bootstrap intervals of a class's metrics, and of their means.

use serde::Serialize;

use super::ClassResult;
use crate::metrics::{Interval, Resamples};

/// Intervals of the metrics; `None` where no draw defines the metric, and those of pixels where they
/// were not asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Intervals {
    /// The share of draws that an interval holds.
    pub level: f64,
    /// Draws.
    pub resamples: usize,
    /// AUROC of the image scores.
    pub image_auroc: Option<Interval>,
    /// Average precision of the image scores.
    pub image_ap: Option<Interval>,
    /// The best F1 of the image scores.
    pub image_f1_max: Option<Interval>,
    /// AUROC over all pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel_auroc: Option<Interval>,
    /// Average precision over all pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel_ap: Option<Interval>,
    /// The best F1 over all pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel_f1_max: Option<Interval>,
    /// Intersection over union at the threshold of the best F1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel_iou: Option<Interval>,
    /// AUPRO to a false-positive rate of 0.3, every threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aupro_exact: Option<Interval>,
    /// What the intervals are of; a mean's are made of its classes'.
    #[serde(skip)]
    draws: Resamples,
}

impl Intervals {
    /// The intervals of a class that was drawn anew.
    pub fn new(draws: Resamples) -> Self {
        Self {
            level: draws.level(),
            resamples: draws.len(),
            image_auroc: draws.interval(|metrics| metrics.auroc),
            image_ap: draws.interval(|metrics| metrics.ap),
            image_f1_max: draws.interval(|metrics| metrics.f1_max),
            pixel_auroc: draws.pixel_interval(|metrics| metrics.auroc),
            pixel_ap: draws.pixel_interval(|metrics| metrics.ap),
            pixel_f1_max: draws.pixel_interval(|metrics| metrics.f1_max),
            pixel_iou: draws.pixel_interval(|metrics| metrics.iou),
            aupro_exact: draws.pixel_interval(|metrics| metrics.aupro_exact),
            draws,
        }
    }

    /// Each in the order of a table's columns: image AUROC, AP, F1-max, then those of pixels and AUPRO.
    pub(super) fn columns(&self) -> [Option<Interval>; 8] {
        [
            self.image_auroc,
            self.image_ap,
            self.image_f1_max,
            self.pixel_auroc,
            self.pixel_ap,
            self.pixel_f1_max,
            self.pixel_iou,
            self.aupro_exact,
        ]
    }

    /// Whether there are intervals of pixel metrics.
    pub(super) fn has_pixels(&self) -> bool {
        self.columns()[3..].iter().any(Option::is_some)
    }

    /// The intervals of the means of classes that were drawn independently. `None` unless every class
    /// was, and equally often.
    pub(super) fn of_mean(classes: &[ClassResult]) -> Option<Self> {
        let draws: Option<Vec<&Resamples>> =
            classes.iter().map(|class| Some(&class.intervals.as_ref()?.draws)).collect();
        Resamples::mean(&draws?).map(Self::new)
    }
}
