//! The field's metrics, computed exactly: every distinct score is a threshold, and equal scores
//! move together.
//!
//! All of them read ties, from the highest score to the lowest, in one pass. Image scores are sorted
//! in memory; pixels are kept by [`PixelScores`] within a limit of memory, whatever their number.
//! Counts are integers until the last division, so neither the order of images nor the limit of
//! memory changes a bit of any number.
//!
//! A metric is `None` where it is undefined: only one class among the labels, or nothing at all.

mod aupro;
mod bootstrap;
mod curves;
mod pixels;
mod resampled;
mod sweep;
mod tie;

use serde::Serialize;

use crate::error::{require_finite, require_length};
use crate::{EvalError, MapView};
use tie::Ranking;

pub use bootstrap::{Bootstrap, Interval, Resamples};
pub use curves::Curves;
pub use pixels::{MeasuredPixels, PixelLevel, PixelScores, Workspace};
pub(crate) use resampled::GroupedPixels;

/// The false-positive rate up to which AUPRO integrates.
pub const AUPRO_FPR_LIMIT: f64 = 0.3;

/// The metrics of scores against yes-or-no labels, as fractions of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BinaryMetrics {
    /// Area under the ROC curve; a tie between a normal and an anomalous score counts half.
    pub auroc: Option<f64>,
    /// Average precision, step-wise: the sum over thresholds of (recall gained) x precision, as
    /// scikit-learn has it.
    pub ap: Option<f64>,
    /// The best F1 over all thresholds.
    pub f1_max: Option<f64>,
}

/// The metrics of anomaly maps against masks, as fractions of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PixelMetrics {
    /// AUROC over all pixels.
    pub auroc: Option<f64>,
    /// Average precision over all pixels.
    pub ap: Option<f64>,
    /// The best F1 over all thresholds and pixels.
    pub f1_max: Option<f64>,
    /// Intersection over union of flagged and anomalous pixels, all images together, at the
    /// threshold of `f1_max`.
    pub iou: Option<f64>,
    /// Area under the per-region overlap curve to a false-positive rate of 0.3, divided by 0.3:
    /// every distinct score is a threshold, and the curve is interpolated at 0.3. A region is an
    /// 8-connected part of a mask; each counts the same.
    pub aupro_exact: Option<f64>,
    /// The same area as papers usually compute it: 200 equal steps from the lowest to the highest
    /// score, the points under 0.3 kept, their false-positive rates stretched to 0..1. `None` also
    /// where fewer than two rates are kept.
    pub aupro_200: Option<f64>,
}

/// An anomaly map with the mask it is judged by.
#[derive(Clone, Copy, Debug)]
pub struct MaskedMap<'a> {
    map: MapView<'a>,
    /// As long as the map; `None` where nothing is anomalous.
    mask: Option<&'a [bool]>,
}

impl<'a> MaskedMap<'a> {
    /// Pairs a map with its mask `[height, width]`, `true` where anomalous.
    ///
    /// # Errors
    /// [`EvalError::Length`] when the mask has not one value for each pixel of the map.
    pub fn new(map: MapView<'a>, mask: &'a [bool]) -> Result<Self, EvalError> {
        require_length("mask", map.values().len(), mask.len())?;
        let mask = Some(mask);
        Ok(Self { map, mask })
    }

    /// A map of an image in which nothing is anomalous.
    pub fn normal(map: MapView<'a>) -> Self {
        Self { map, mask: None }
    }
}

/// AUROC, AP and F1-max from one sort; `labels` are `true` where anomalous.
///
/// # Errors
/// [`EvalError::Length`] when there is not one label for each score, [`EvalError::NotFinite`] on
/// NaN or an infinity.
pub fn binary_metrics(scores: &[f32], labels: &[bool]) -> Result<BinaryMetrics, EvalError> {
    check(scores, labels)?;
    Ok(of_finite(scores, labels))
}

/// All metrics of maps that are in memory; [`PixelScores`] takes them one at a time. Maps may differ
/// in size.
///
/// # Errors
/// As [`PixelScores::push`].
pub fn pixel_metrics(maps: &[MaskedMap<'_>]) -> Result<PixelMetrics, EvalError> {
    let mut scores = PixelScores::new(Workspace::default());
    maps.iter().try_for_each(|map| scores.push(*map))?;
    scores.metrics()
}

/// [`binary_metrics`] of finite scores with as many labels.
pub(crate) fn of_finite(scores: &[f32], labels: &[bool]) -> BinaryMetrics {
    Ranking::new(scores, labels).metrics()
}

/// The mean of the values that there are; `None` of none.
pub(crate) fn mean_of_defined(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut count = 0;
    let sum: f64 = values.inspect(|_| count += 1).sum();
    (count > 0).then(|| sum / f64::from(count))
}

fn check(scores: &[f32], labels: &[bool]) -> Result<(), EvalError> {
    require_length("labels", scores.len(), labels.len())?;
    require_finite("scores", scores)
}

/// Bins of [`expected_calibration_error`].
pub const CALIBRATION_BINS: usize = 15;

/// The expected calibration error of scores that mean the probability of being anomalous: 15 bins of
/// equal width over 0..=1, and in each the distance between the mean score and the share of anomalous
/// ones, weighted by how many scores the bin holds (Guo et al. 2017, section 2, on the probability of
/// one class as binary detectors have it). A bin holds its lower edge; the last holds 1 as well.
///
/// `None` without scores, and where one lies outside 0..=1: that is no probability.
///
/// # Errors
/// [`EvalError::Length`] when there is not one label for each score, [`EvalError::NotFinite`] on NaN
/// or an infinity.
pub fn expected_calibration_error(
    scores: &[f32],
    labels: &[bool],
) -> Result<Option<f64>, EvalError> {
    check(scores, labels)?;
    Ok(calibration_of_finite(scores, labels))
}

/// [`expected_calibration_error`] of finite scores with as many labels.
pub(crate) fn calibration_of_finite(scores: &[f32], labels: &[bool]) -> Option<f64> {
    if scores.is_empty() || scores.iter().any(|score| !(0.0..=1.0).contains(score)) {
        return None;
    }
    // In each bin, the scores' sum less the number of anomalous ones: count x (mean - share).
    let mut gaps = [0.0; CALIBRATION_BINS];
    for (&score, &label) in scores.iter().zip(labels) {
        let bin = (f64::from(score) * CALIBRATION_BINS as f64) as usize;
        gaps[bin.min(CALIBRATION_BINS - 1)] += f64::from(score) - f64::from(u8::from(label));
    }
    Some(gaps.iter().map(|gap| gap.abs()).sum::<f64>() / scores.len() as f64)
}
