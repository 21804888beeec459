//! Bootstrap intervals of a class's image metrics, and of their means.

use serde::Serialize;

use super::ClassResult;
use crate::metrics::{Interval, Resamples};

/// Intervals of the image metrics; `None` where no draw defines the metric.
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
            draws,
        }
    }

    /// The intervals of the means of classes that were drawn independently. `None` unless every class
    /// was, and equally often.
    pub(super) fn of_mean(classes: &[ClassResult]) -> Option<Self> {
        let draws: Option<Vec<&Resamples>> =
            classes.iter().map(|class| Some(&class.intervals.as_ref()?.draws)).collect();
        Resamples::mean(&draws?).map(Self::new)
    }
}
