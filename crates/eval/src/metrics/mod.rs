//! The field's metrics, computed exactly: every distinct score is a threshold, and equal scores
//! move together.
//!
//! All of them read one sorted list (`ranking`), so a class's pixels are sorted once. Counts are
//! integers until the last division. Memory: 4 bytes for each normal and 8 for each anomalous
//! score, besides the scores themselves.
//!
//! A metric is `None` where it is undefined: only one class among the labels, or nothing at all.

mod aupro;
mod ranking;
mod regions;
mod threshold;

use serde::Serialize;

use crate::error::{require_finite, require_length};
use crate::{EvalError, MapView};
use ranking::Ranking;

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
    /// AUPRO to a false-positive rate of 0.3: every threshold, interpolated at 0.3. See
    /// [`aupro_exact`].
    pub aupro_exact: Option<f64>,
    /// AUPRO as research code computes it, on 200 thresholds. See [`aupro_200`].
    pub aupro_200: Option<f64>,
}

/// An anomaly map with the mask it is judged by.
#[derive(Clone, Copy, Debug)]
pub struct MaskedMap<'a> {
    pub(crate) map: MapView<'a>,
    /// As long as the map; `None` where nothing is anomalous.
    pub(crate) mask: Option<&'a [bool]>,
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

/// Area under the ROC curve of `scores`, `labels` being `true` where anomalous.
///
/// # Errors
/// As [`binary_metrics`].
pub fn auroc(scores: &[f32], labels: &[bool]) -> Result<Option<f64>, EvalError> {
    Ok(threshold::auroc(&rank(scores, labels)?))
}

/// Step-wise average precision of `scores`, `labels` being `true` where anomalous.
///
/// # Errors
/// As [`binary_metrics`].
pub fn average_precision(scores: &[f32], labels: &[bool]) -> Result<Option<f64>, EvalError> {
    Ok(threshold::average_precision(&rank(scores, labels)?))
}

/// The best F1 of `scores` over all thresholds, `labels` being `true` where anomalous.
///
/// # Errors
/// As [`binary_metrics`].
pub fn f1_max(scores: &[f32], labels: &[bool]) -> Result<Option<f64>, EvalError> {
    Ok(threshold::f1_max(&rank(scores, labels)?))
}

/// All metrics of maps against masks, from one sort. Maps may differ in size.
pub fn pixel_metrics(maps: &[MaskedMap<'_>]) -> PixelMetrics {
    let ranking = Ranking::of_maps(maps);
    PixelMetrics {
        auroc: threshold::auroc(&ranking),
        ap: threshold::average_precision(&ranking),
        f1_max: threshold::f1_max(&ranking),
        aupro_exact: aupro::exact(&ranking, AUPRO_FPR_LIMIT),
        aupro_200: aupro::two_hundred_steps(&ranking, AUPRO_FPR_LIMIT),
    }
}

/// Area under the per-region overlap curve to a false-positive rate of 0.3, divided by 0.3: every
/// distinct score is a threshold, and the curve is interpolated at 0.3. A region is an 8-connected
/// part of a mask; each counts the same.
pub fn aupro_exact(maps: &[MaskedMap<'_>]) -> Option<f64> {
    aupro::exact(&Ranking::of_maps(maps), AUPRO_FPR_LIMIT)
}

/// The same area as papers usually compute it: 200 equal steps from the lowest to the highest
/// score, the points under 0.3 kept, their false-positive rates stretched to 0..1. `None` also
/// where fewer than two rates are kept.
pub fn aupro_200(maps: &[MaskedMap<'_>]) -> Option<f64> {
    aupro::two_hundred_steps(&Ranking::of_maps(maps), AUPRO_FPR_LIMIT)
}

/// [`binary_metrics`] of finite scores with as many labels.
pub(crate) fn of_finite(scores: &[f32], labels: &[bool]) -> BinaryMetrics {
    let ranking = Ranking::of_scores(scores, labels);
    BinaryMetrics {
        auroc: threshold::auroc(&ranking),
        ap: threshold::average_precision(&ranking),
        f1_max: threshold::f1_max(&ranking),
    }
}

fn rank(scores: &[f32], labels: &[bool]) -> Result<Ranking, EvalError> {
    check(scores, labels)?;
    Ok(Ranking::of_scores(scores, labels))
}

fn check(scores: &[f32], labels: &[bool]) -> Result<(), EvalError> {
    require_length("labels", scores.len(), labels.len())?;
    require_finite("scores", scores)
}
