//! Ranks and intervals beside closed forms and simulations, and calibrations made by hand.

use anomaly::{Domain, Verdict};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::order::{Ranks, images_needed};
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
    let mut calibrator =
        Calibrator::new(targets(0.5, 0.5), ScoreRule::of(Domain::Industrial), Workspace::default());
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
