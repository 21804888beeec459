//! From a detector's answers on normal images to a [`Calibration`]: the ranges of its numbers, and
//! thresholds for rates of false alarms, with how sure they are.
//!
//! The threshold of images is an order statistic of the calibrated scores (split conformal
//! prediction, Vovk et al. 2005): a further normal image that is exchangeable with these lies above it
//! with at most the target rate. Its intervals are exact for independent images without ties, whatever the scores' distribution is. The threshold of pixels
//! bounds the mean share of pixels above it in the same sense (conformal risk control, Angelopoulos et
//! al. 2022, arXiv 2208.02814).

use anomaly::{
    Calibration, CalibrationConditions, CalibrationImages, ImageThreshold, PixelThreshold,
    RateInterval, ScoreRange, ScoreRule,
};
use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF};

use crate::error::{require_finite, require_length};
use crate::metrics::{MaskedMap, PixelScores, Workspace};
use crate::{EvalError, FalsePositives, MapRange, MapView};

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
        let of_images = images_needed(self.image_fpr);
        let of_pixels = images_needed(self.pixel_fpr);
        let needed = of_images.max(of_pixels);
        if images >= needed {
            return Ok(());
        }
        let rate = if of_images >= of_pixels {
            FalsePositives::Images(self.image_fpr)
        } else {
            FalsePositives::Pixels(self.pixel_fpr)
        };
        Err(EvalError::TooFewImages { found: images, needed, rate })
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
        let allowed = allowed(images, target_fpr) * pixels_a_map as f64;
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

/// What a product of a count and a rate may be off from a whole number.
const ROUNDING: f64 = 1e-9;

/// Ranks among scores sorted upwards, from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ranks {
    /// The lowest above which a further score lies with at most the target rate.
    threshold: usize,
    /// The ranks between which the threshold of exactly the target rate lies, with the level asked
    /// for; `None` where there are too few scores.
    low: Option<usize>,
    high: Option<usize>,
    /// What rate the threshold really has, with the level asked for.
    fpr: RateInterval,
}

impl Ranks {
    /// Of `count` scores, at least [`images_needed`].
    fn new(count: usize, rate: f64, level: f64) -> Self {
        let tail = (1.0 - level) / 2.0;
        let above = (allowed(count, rate) as usize).min(count.saturating_sub(1));
        let threshold = count - above;
        let (low, high) = quantile_ranks(count, rate, tail);
        Self { threshold, low, high, fpr: true_rate(count, threshold, tail) }
    }
}

/// How many images a rate needs: below, even the highest score would let too many through.
fn images_needed(rate: f64) -> usize {
    ((1.0 / rate - ROUNDING).ceil() as usize).saturating_sub(1).max(1)
}

/// How many of `count` images may be above a threshold, so that one more is above it with at most the
/// rate: it counts as if it were. In images; a fraction counts where their pixels are counted.
fn allowed(count: usize, rate: f64) -> f64 {
    ((count + 1) as f64 * rate - 1.0 + ROUNDING).max(0.0)
}

/// The ranks of an interval of the quantile that `rate` lies above: of the scores, a binomial number
/// lies below it (David and Nagaraja 2003, section 7.1).
fn quantile_ranks(count: usize, rate: f64, tail: f64) -> (Option<usize>, Option<usize>) {
    let Ok(below) = Binomial::new(1.0 - rate, count as u64) else { return (None, None) };
    let at_most = |number: usize| below.cdf(number as u64);
    let low = (1..=count).rev().find(|rank| at_most(rank - 1) <= tail);
    let high = (1..=count).find(|rank| at_most(rank - 1) >= 1.0 - tail);
    (low, high)
}

/// The share of a continuous distribution above its order statistic of a rank is a beta variable.
fn true_rate(count: usize, rank: usize, tail: f64) -> RateInterval {
    match Beta::new((count + 1 - rank) as f64, rank as f64) {
        Ok(rate) => {
            RateInterval { low: rate.inverse_cdf(tail), high: rate.inverse_cdf(1.0 - tail) }
        }
        Err(_) => RateInterval { low: 0.0, high: 1.0 },
    }
}

#[cfg(test)]
mod tests {
    use anomaly::{Domain, Verdict};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const LEVEL: f64 = 0.95;

    fn targets(image_fpr: f64, pixel_fpr: f64) -> CalibrationTargets {
        CalibrationTargets::new(image_fpr, pixel_fpr, LEVEL).unwrap()
    }

    fn conditions(domain: Domain) -> CalibrationConditions {
        CalibrationConditions {
            domain,
            image_size: 2,
            precision: "F32".into(),
            clip_sha256: String::new(),
            prompts_sha256: String::new(),
            shared: Default::default(),
        }
    }

    fn calibrate(
        targets: CalibrationTargets,
        domain: Domain,
        answers: &[([f32; 4], f32)],
    ) -> Result<Calibration, EvalError> {
        let mut calibrator = Calibrator::new(targets, ScoreRule::of(domain), Workspace::default());
        for (map, image_score) in answers {
            calibrator.push(MapView::new(2, 2, map).unwrap(), *image_score)?;
        }
        calibrator.finish(CalibrationImages::default(), conditions(domain))
    }

    /// Image `i` of so many: its map's maximum is `i + 1`, and the image head says as much.
    fn ladder(images: usize) -> Vec<([f32; 4], f32)> {
        (0..images).map(|i| ([0.0, -1.0, 0.5, i as f32 + 1.0], i as f32)).collect()
    }

    #[test]
    fn the_threshold_is_the_rank_that_keeps_the_rate() {
        for (count, rate, threshold) in [
            (99, 0.01, 99),
            (198, 0.01, 198),
            (199, 0.01, 198),
            (19, 0.05, 19),
            (9, 0.1, 9),
            (1, 0.5, 1),
        ] {
            let ranks = Ranks::new(count, rate, LEVEL);
            assert_eq!(ranks.threshold, threshold, "{count} images, {rate}");
            let (kept, wanted) = ((count + 1 - ranks.threshold) as f64, rate * (count + 1) as f64);
            assert!(kept <= wanted + 1e-9, "the promise of split conformal prediction");
        }
        let needed = [0.5, 0.1, 0.05, 0.01, 0.001, 0.3].map(images_needed);
        assert_eq!(needed, [1, 9, 19, 99, 999, 3]);
    }

    #[test]
    fn intervals_agree_with_closed_forms() {
        // The highest of n scores: its rate is above x with probability (1 - x)^n.
        let RateInterval { low, high } = Ranks::new(99, 0.01, LEVEL).fpr;
        assert!((low - (1.0 - 0.975_f64.powf(1.0 / 99.0))).abs() < 1e-12, "{low}");
        assert!((high - (1.0 - 0.025_f64.powf(1.0 / 99.0))).abs() < 1e-12, "{high}");
        // An upper end needs 0.99^n <= 0.025: 368 images.
        assert_eq!(Ranks::new(367, 0.01, LEVEL).high, None);
        assert_eq!(Ranks::new(368, 0.01, LEVEL).high, Some(368));
        // By hand for ten scores and their median: P(B <= 1) = 11/1024, P(B <= 2) = 56/1024.
        let median = Ranks::new(10, 0.5, LEVEL);
        assert_eq!((median.low, median.high), (Some(2), Some(9)));
        assert_eq!(Ranks::new(1, 0.5, LEVEL).low, None);
    }

    /// Uniform scores: the rate above a threshold is known, so that intervals can be counted.
    #[test]
    fn simulated_calibrations_keep_their_promises() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (count, rate, draws) = (119, 0.05, 4000);
        let ranks = Ranks::new(count, rate, LEVEL);
        let (mut sum, mut in_rate, mut in_quantile) = (0.0, 0, 0);
        for _ in 0..draws {
            let mut scores: Vec<f64> = (0..count).map(|_| rng.random()).collect();
            scores.sort_by(f64::total_cmp);
            let fpr = 1.0 - scores[ranks.threshold - 1];
            sum += fpr;
            in_rate += usize::from(ranks.fpr.low <= fpr && fpr <= ranks.fpr.high);
            let (low, high) = (scores[ranks.low.unwrap() - 1], scores[ranks.high.unwrap() - 1]);
            in_quantile += usize::from(low <= 1.0 - rate && 1.0 - rate <= high);
        }
        let mean = sum / f64::from(draws);
        assert!((mean - rate).abs() < 0.002, "{mean}");
        let share = |hits: usize| hits as f64 / f64::from(draws);
        assert!((share(in_rate) - LEVEL).abs() < 0.015, "{}", share(in_rate));
        assert!(share(in_quantile) > LEVEL - 0.01, "{}", share(in_quantile));
    }

    #[test]
    fn a_calibration_by_hand() {
        let calibration = calibrate(targets(0.1, 0.1), Domain::Industrial, &ladder(19)).unwrap();
        assert_eq!(calibration.map, ScoreRange { low: -1.0, high: 19.0 });
        assert_eq!(calibration.image, ScoreRange { low: 0.0, high: 18.0 });
        // One of 19 may lie above: the second highest, at (18 + 1) / 20 and 17 / 18.
        let expected = ((19.0 / 20.0) as f32 + (17.0 / 18.0) as f32) / 2.0;
        assert_eq!(calibration.image_threshold.value, expected);
        let is_anomalous =
            |i: f32| calibration.verdict(calibration.score(i + 1.0, i)) == Verdict::Anomalous;
        assert_eq!((0..19).filter(|&i| is_anomalous(i as f32)).count(), 1);
        // Of 76 pixels, as many as one image has may lie above: 16 to 19 do.
        let pixels = calibration.pixel_threshold;
        assert_eq!((pixels.value, pixels.measured_fpr), (15.0, 4.0 / 76.0));
    }

    #[test]
    fn at_the_smallest_number_of_images_nothing_measured_lies_above() {
        let calibration = calibrate(targets(0.05, 0.05), Domain::Medical, &ladder(19)).unwrap();
        assert_eq!(calibration.image_threshold.value, 1.0);
        assert_eq!(calibration.image_threshold.high, None);
        let pixels = calibration.pixel_threshold;
        assert_eq!((pixels.value, pixels.measured_fpr), (19.0, 0.0));
    }

    #[test]
    fn what_no_threshold_can_be_made_of_is_refused_in_one_line() {
        let industrial = Domain::Industrial;
        let flat_maps = vec![([1.0; 4], 0.5), ([1.0; 4], 0.25)];
        let flat_heads = vec![([1.0, 2.0, 0.0, 0.0], 0.5); 2];
        let nan = vec![([1.0, 2.0, 0.0, 0.0], f32::NAN)];
        let cases = [
            (
                targets(0.01, 0.5),
                ladder(98),
                "98 normal images are too few for a false-positive rate of 0.01 of the images",
            ),
            (targets(0.5, 0.05), ladder(18), "rate of 0.05 of the pixels; at least 19"),
            (targets(0.5, 0.5), Vec::new(), "at least 1"),
            (targets(0.5, 0.5), flat_maps, "map of every image is 1"),
            (targets(0.5, 0.5), flat_heads, "score of the image head of every image is 0.5"),
            (targets(0.5, 0.5), nan, "NaN"),
        ];
        for (targets, answers, says) in cases {
            let message = calibrate(targets, industrial, &answers).unwrap_err().to_string();
            assert!(message.contains(says) && message.lines().count() == 1, "{message}");
        }
        for rate in [0.0, 1.0, f64::NAN, -0.1] {
            assert!(CalibrationTargets::new(rate, 0.5, LEVEL).is_err(), "{rate}");
        }
        let mut calibrator = Calibrator::new(
            targets(0.5, 0.5),
            ScoreRule::of(Domain::Industrial),
            Workspace::default(),
        );
        calibrator.push(MapView::new(2, 2, &[0.0; 4]).unwrap(), 0.0).unwrap();
        let other = calibrator.push(MapView::new(1, 1, &[0.0]).unwrap(), 0.0);
        assert!(matches!(other, Err(EvalError::Length { .. })), "maps of two sizes");
    }

    /// The ranges come from the same images as the threshold, which the promise overlooks: how much that
    /// costs, where both parts of the score count. `docs/evaluation.md` says the number.
    #[test]
    fn ranges_from_the_same_images_cost_little() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (draws, fresh, rate) = (400, 200, 0.05);
        let mut answer = move || {
            let part = |rng: &mut ChaCha8Rng| (0..4).map(|_| rng.random::<f32>()).sum::<f32>();
            let (map, head) = (part(&mut rng), part(&mut rng));
            ([0.0, 0.1, 0.2, map], head)
        };
        let mut above = 0;
        for _ in 0..draws {
            let images: Vec<_> = (0..19).map(|_| answer()).collect();
            let calibration = calibrate(targets(rate, rate), Domain::Industrial, &images).unwrap();
            let is_above = |(map, head): ([f32; 4], f32)| {
                calibration.verdict(calibration.score(map[3], head)) == Verdict::Anomalous
            };
            above += (0..fresh).filter(|_| is_above(answer())).count();
        }
        let found = above as f64 / f64::from(draws * fresh);
        println!("rate {rate} with 19 images: {found} of further images lie above");
        assert!((found - rate).abs() < 0.012, "{found}");
    }
}
