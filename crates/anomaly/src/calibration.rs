//! What a detector's numbers mean on normal images: ranges and thresholds that were measured once and
//! are stored with the adapters, so that the score of one image says something on its own.
//!
//! Here is what a calibration is and how it is applied to a detection. It is measured elsewhere, from
//! detections of normal images.

use conditions::{Condition, Conditions, Difference, Purpose};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Detection, Domain, ScoreRule};

/// Everything that was measured on normal images, and what it holds for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Range of all values of all maps.
    pub map: ScoreRange,
    /// Range of the image head's scores.
    pub image: ScoreRange,
    /// From which calibrated score on an image is called anomalous.
    pub image_threshold: ImageThreshold,
    /// From which value of the map on a pixel is called anomalous.
    pub pixel_threshold: PixelThreshold,
    /// What it was measured on.
    pub images: CalibrationImages,
    /// What it holds for.
    pub conditions: CalibrationConditions,
    /// How the detector scores images, where it is not as MoECLIP scores those of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<ScoreRule>,
}

/// The lowest and the highest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreRange {
    /// The lowest.
    pub low: f32,
    /// The highest; above the lowest.
    pub high: f32,
}

/// A threshold of the calibrated score, set for a rate of false alarms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImageThreshold {
    /// An image whose calibrated score is above this is anomalous.
    pub value: f32,
    /// The share of normal images that may be called anomalous, on average over calibrations.
    pub target_fpr: f64,
    /// The confidence of the two intervals, such as 0.95.
    pub level: f64,
    /// Where the threshold would lie that has exactly the target rate: between two of the measured
    /// scores. An end is `None` where the images were too few to bound it.
    pub low: Option<f32>,
    /// Its upper end.
    pub high: Option<f32>,
    /// The true rate of false alarms at `value` lies in this interval.
    pub fpr: RateInterval,
}

/// An interval of a rate, as fractions of 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateInterval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// A threshold of a map's values, set for a rate of false alarms among pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PixelThreshold {
    /// A pixel is anomalous where the map, as the detector gives it, is above this.
    pub value: f32,
    /// The share of a normal image's pixels that may be called anomalous, on average over normal
    /// images and calibrations.
    pub target_fpr: f64,
    /// The share of the pixels measured that lie above it.
    pub measured_fpr: f64,
}

/// The normal images that a calibration was measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationImages {
    /// The dataset, and every image by its hash: none of them is a test image any more.
    pub data: AuxiliaryData,
    /// The split that they are of.
    pub split: String,
    /// What they show, as it stands in prompts.
    pub classes: Vec<String>,
    /// How many of them the adapters had been trained on.
    pub trained_on: usize,
}

/// Images that something was trained or calibrated on: what it must not be measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuxiliaryData {
    /// The dataset's name.
    pub name: String,
    /// The terms under which its images may be used; empty where nobody said.
    pub licence: String,
    /// The first 16 hexadecimal digits of the SHA-256 of each image file, sorted.
    pub images: Vec<String>,
}

/// What changes a detector's numbers, so that a calibration holds for it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationConditions {
    /// Decides blur and score.
    pub domain: Domain,
    /// Side of the images, pixels.
    pub image_size: usize,
    /// Precision of the frozen CLIP, as in `F32`.
    pub precision: String,
    /// SHA-256 of the CLIP's own file, before any conversion.
    pub clip_sha256: String,
    /// SHA-256 of the state phrases and templates.
    pub prompts_sha256: String,
    /// What every purpose asks: normalisation, numbers version, JPEG decoder, kernels. Files of older
    /// programs have none of it.
    #[serde(flatten)]
    pub shared: Conditions,
}

/// What a threshold says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Not above it.
    Normal,
    /// Above it.
    Anomalous,
}

/// A detection in the light of a calibration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Judgement {
    /// The calibrated score.
    pub score: f32,
    /// What the threshold of images says of it.
    pub verdict: Verdict,
    /// The share of the image's pixels above the threshold of pixels.
    pub anomalous_share: f64,
}

/// A calibration that cannot be used.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CalibrationError {
    /// A number that no measurement gives.
    #[error("{key} of the calibration is not usable: {found}; calibrate again")]
    Broken {
        /// The number's name.
        key: &'static str,
        /// What it is.
        found: String,
    },
    /// It was measured under other conditions.
    #[error(
        "the calibration is for {} {}, not {}; calibrate for that, or go without",
        .0.what, .0.then.trim_matches('"'), .0.now.trim_matches('"')
    )]
    Conditions(Box<Difference>),
}

impl Calibration {
    /// The score of an image whose map has this maximum and whose image head says this: both are
    /// brought to their ranges, then combined by the detector's rule.
    ///
    /// 1 is where the highest of the normal images lay. Nothing is clamped: two anomalous images
    /// beyond all normal ones keep their order.
    pub fn score(&self, map_maximum: f32, image_score: f32) -> f32 {
        let (map, image) = (self.map.place(map_maximum), self.image.place(image_score));
        self.score_rule().score(map, image)
    }

    /// How scores are made that it is for.
    pub fn score_rule(&self) -> ScoreRule {
        self.rule.unwrap_or(ScoreRule::of(self.conditions.domain))
    }

    /// The same for scores that are made by `rule`.
    pub fn scored_by(self, rule: ScoreRule) -> Self {
        let rule = Some(rule).filter(|rule| *rule != ScoreRule::of(self.conditions.domain));
        Self { rule, ..self }
    }

    /// What the threshold of images says of a calibrated score.
    pub fn verdict(&self, score: f32) -> Verdict {
        if score > self.image_threshold.value { Verdict::Anomalous } else { Verdict::Normal }
    }

    /// Score, verdict and anomalous pixels of a detection that was made under the same conditions.
    pub fn judge(&self, detection: &Detection) -> Judgement {
        let values = &detection.map.values;
        let above = values.iter().filter(|&&value| value > self.pixel_threshold.value).count();
        let score = self.score(detection.map.maximum(), detection.image_score);
        let anomalous_share = above as f64 / values.len().max(1) as f64;
        Judgement { score, verdict: self.verdict(score), anomalous_share }
    }

    /// Refuses other conditions.
    ///
    /// # Errors
    ///
    /// [`CalibrationError::Conditions`] naming the first that differs.
    pub fn require(&self, given: &CalibrationConditions) -> Result<(), CalibrationError> {
        let difference = self.conditions.conditions().first_difference(&given.conditions());
        difference.map_or(Ok(()), |difference| Err(CalibrationError::Conditions(difference.into())))
    }

    /// The calibration, if its numbers can be computed with.
    ///
    /// # Errors
    ///
    /// [`CalibrationError::Broken`] when a range is not in order or a threshold is not finite.
    pub fn checked(self) -> Result<Self, CalibrationError> {
        self.map.check("map")?;
        self.image.check("image")?;
        let thresholds = [
            ("image_threshold", self.image_threshold.value),
            ("pixel_threshold", self.pixel_threshold.value),
        ];
        match thresholds.into_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(self),
            Some((key, value)) => Err(CalibrationError::Broken { key, found: value.to_string() }),
        }
    }
}

impl ScoreRange {
    /// Where `value` lies: 0 at the low end, 1 at the high end, and as far beyond as it is.
    pub fn place(&self, value: f32) -> f32 {
        // In f64 the difference of two finite f32 cannot overflow.
        let span = f64::from(self.high) - f64::from(self.low);
        ((f64::from(value) - f64::from(self.low)) / span) as f32
    }

    fn check(&self, key: &'static str) -> Result<(), CalibrationError> {
        let Self { low, high } = self;
        if low.is_finite() && high.is_finite() && low < high {
            return Ok(());
        }
        Err(CalibrationError::Broken { key, found: format!("a range from {low} to {high}") })
    }
}

impl CalibrationConditions {
    /// All of them as one value.
    pub fn conditions(&self) -> Conditions {
        self.shared
            .clone()
            .with(Condition::Domain, &self.domain.name())
            .with(Condition::ImageSize, &self.image_size)
            .with(Condition::Precision, &self.precision)
            .with(Condition::Clip, &self.clip_sha256)
            .with(Condition::PromptTexts, &self.prompts_sha256)
            .of(Purpose::Calibration)
    }
}

#[cfg(test)]
mod tests;
