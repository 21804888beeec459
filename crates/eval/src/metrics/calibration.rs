//! How far a score is from being a probability.

use crate::EvalError;

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
    super::check(scores, labels)?;
    Ok(of_finite(scores, labels))
}

/// [`expected_calibration_error`] of finite scores with as many labels.
pub(crate) fn of_finite(scores: &[f32], labels: &[bool]) -> Option<f64> {
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
