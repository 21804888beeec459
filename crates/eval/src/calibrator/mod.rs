//! From a detector's answers on normal images to a [`Calibration`]: the ranges of its numbers, and
//! thresholds for rates of false alarms, with how sure they are.
//!
//! The threshold of images is an order statistic of the calibrated scores (split conformal
//! prediction, Vovk et al. 2005): a further normal image that is exchangeable with these lies above it
//! with at most the target rate. `order` has it and its exact intervals. The threshold of pixels
//! bounds the mean share of pixels above it in the same sense (conformal risk control, Angelopoulos et
//! al. 2022, arXiv 2208.02814).

mod order;

use crate::error::{require_finite, require_length};
use crate::metrics::{MaskedMap, PixelScores, Workspace};
use crate::{EvalError, FalsePositives, MapRange, MapView};
use anomaly::{
    Calibration, CalibrationConditions, CalibrationImages, ImageThreshold, PixelThreshold,
    RateInterval, ScoreRange, ScoreRule,
};
use order::Ranks;

/// The rates of false alarms that thresholds are set for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationTargets {
    image_fpr: f64,
    pixel_fpr: f64,
    level: f64,
}

/// Takes a detector's answers on normal images in, one at a time.
#[derive(Debug)]
pub struct Calibrator {
    targets: CalibrationTargets,
    rule: ScoreRule,
    maps: Option<MapRange>,
    /// Of each image, in the order they came.
    maxima: Vec<f32>,
    image_scores: Vec<f32>,
    pixels: PixelScores,
    /// Of a map; all are of one size.
    pixels_a_map: Option<usize>,
}

impl CalibrationTargets {
    /// Rates for images and for pixels, and the confidence of intervals, all between 0 and 1.
    ///
    /// # Errors
    /// [`EvalError::Setting`] when one is not.
    pub fn new(image_fpr: f64, pixel_fpr: f64, level: f64) -> Result<Self, EvalError> {
        let settings = [("image_fpr", image_fpr), ("pixel_fpr", pixel_fpr), ("level", level)];
        match settings.into_iter().find(|(_, value)| !(*value > 0.0 && *value < 1.0)) {
            None => Ok(Self { image_fpr, pixel_fpr, level }),
            Some((key, value)) => {
                Err(EvalError::setting(key, value, "it must lie between 0 and 1"))
            }
        }
    }

    /// Refuses too few images: with fewer than `1 / rate - 1`, no threshold that is made of them keeps
    /// the rate.
    ///
    /// # Errors
    /// [`EvalError::TooFewImages`] that says how many are needed.
    pub fn require(&self, images: usize) -> Result<(), EvalError> {
        let (found, needed) = (images, order::images_needed);
        let rate = match (needed(self.image_fpr), needed(self.pixel_fpr)) {
            (of_images, of_pixels) if found >= of_images.max(of_pixels) => return Ok(()),
            (of_images, of_pixels) if of_images >= of_pixels => {
                FalsePositives::Images(self.image_fpr)
            }
            _ => FalsePositives::Pixels(self.pixel_fpr),
        };
        let needed = needed(self.image_fpr.min(self.pixel_fpr));
        Err(EvalError::TooFewImages { found, needed, rate })
    }
}

impl Calibrator {
    /// Without an image yet, for a detector that scores by `rule`.
    pub fn new(targets: CalibrationTargets, rule: ScoreRule, workspace: Workspace) -> Self {
        Self {
            targets,
            rule,
            maps: None,
            maxima: Vec::new(),
            image_scores: Vec::new(),
            pixels: PixelScores::new(workspace),
            pixels_a_map: None,
        }
    }

    /// Takes in what the detector says of a normal image: its map and what the image head says.
    ///
    /// # Errors
    /// [`EvalError::NotFinite`] when the image head's score is not, [`EvalError::Length`] when the map
    /// is not as large as those before; as [`PixelScores::push`].
    pub fn push(&mut self, map: MapView<'_>, image_score: f32) -> Result<(), EvalError> {
        require_finite("image score", &[image_score])?;
        let pixels = *self.pixels_a_map.get_or_insert(map.values().len());
        require_length("map", pixels, map.values().len())?;
        self.pixels.push(MaskedMap::normal(map))?;
        let range = map.range();
        self.maps = Some(self.maps.map_or(range, |all| all.union(range)));
        self.maxima.push(range.high());
        self.image_scores.push(image_score);
        Ok(())
    }

    /// What was measured, on `images` under `conditions`.
    ///
    /// # Errors
    /// As [`CalibrationTargets::require`]; [`EvalError::Flat`] when all maps or all scores of the image
    /// head are one value; as [`PixelScores::metrics`].
    pub fn finish(
        mut self,
        images: CalibrationImages,
        conditions: CalibrationConditions,
    ) -> Result<Calibration, EvalError> {
        self.targets.require(self.maxima.len())?;
        let heads = self.image_scores.iter().copied();
        let (low, high) = heads.fold((f32::MAX, f32::MIN), |(l, h), s| (l.min(s), h.max(s)));
        let maps = self.maps.map(|maps| (maps.low(), maps.high()));
        let unplaced = Calibration {
            map: range("map", maps.unwrap_or_default())?,
            image: range("score of the image head", (low, high))?,
            pixel_threshold: self.pixel_threshold()?,
            image_threshold: self.no_threshold(),
            images,
            conditions,
            rule: None,
        }
        .scored_by(self.rule);
        let image_threshold = self.image_threshold(&unplaced);
        Ok(Calibration { image_threshold, ..unplaced })
    }

    /// The order statistic of the calibrated scores.
    fn image_threshold(&self, calibration: &Calibration) -> ImageThreshold {
        let pairs = self.maxima.iter().zip(&self.image_scores);
        let mut scores: Vec<f32> =
            pairs.map(|(&map, &image)| calibration.score(map, image)).collect();
        scores.sort_by(f32::total_cmp);
        let ranks = Ranks::new(scores.len(), self.targets.image_fpr, self.targets.level);
        let at = |rank: usize| scores.get(rank.wrapping_sub(1)).copied();
        ImageThreshold {
            value: at(ranks.threshold).unwrap_or(f32::MAX),
            low: ranks.low.and_then(at),
            high: ranks.high.and_then(at),
            fpr: ranks.fpr,
            ..self.no_threshold()
        }
    }

    /// Before the scores are known: nothing is anomalous.
    fn no_threshold(&self) -> ImageThreshold {
        let CalibrationTargets { image_fpr: target_fpr, level, .. } = self.targets;
        let fpr = RateInterval { low: 0.0, high: 1.0 };
        ImageThreshold { value: f32::MAX, target_fpr, level, low: None, high: None, fpr }
    }

    fn pixel_threshold(&mut self) -> Result<PixelThreshold, EvalError> {
        let (images, target_fpr) = (self.maxima.len(), self.targets.pixel_fpr);
        let pixels_a_map = self.pixels_a_map.unwrap_or(1);
        // The share that these images may have above the threshold, so that one more has the target's:
        // it counts as if all of its pixels were above.
        let allowed = order::allowed(images, target_fpr) * pixels_a_map as f64;
        let level = self.pixels.level_with_at_most(allowed as u64)?;
        let pixels = images as f64 * pixels_a_map as f64;
        let measured_fpr = level.above as f64 / pixels;
        Ok(PixelThreshold { value: level.value, target_fpr, measured_fpr })
    }
}

/// A range that scores can be placed in.
fn range(what: &'static str, (low, high): (f32, f32)) -> Result<ScoreRange, EvalError> {
    if low < high {
        Ok(ScoreRange { low, high })
    } else {
        Err(EvalError::Flat { what, value: low })
    }
}

#[cfg(test)]
mod tests;
