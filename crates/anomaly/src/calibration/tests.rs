//! A calibration by hand-made numbers, and everything that it is refused for.

use super::*;
use crate::AnomalyMap;

fn conditions() -> CalibrationConditions {
    CalibrationConditions {
        domain: Domain::Industrial,
        image_size: 518,
        precision: "F32".into(),
        clip_sha256: "c".repeat(64),
        prompts_sha256: "e".repeat(64),
        shared: Conditions::here("flex")
            .with(Condition::Normalisation, &"plain")
            .with(Condition::SampleBits, &12),
    }
}

#[test]
fn its_conditions_are_all_of_the_table() {
    assert_eq!(conditions().conditions().missing(Purpose::Calibration), []);
}

#[test]
fn a_calibration_of_an_older_program_says_no_build_and_holds() {
    let old = r#"{"domain":"industrial","image_size":518,"precision":"F32","clip_sha256":"c","prompts_sha256":"e"}"#;
    let old: CalibrationConditions = serde_json::from_str(old).unwrap();
    assert_eq!(old.shared, Conditions::default());
    let shared = Conditions::here("flex").with(Condition::Decoder, &"zune-jpeg");
    let now = CalibrationConditions { shared, ..old.clone() };
    let calibration = Calibration { conditions: old, ..calibration() };
    assert_eq!(calibration.require(&now), Ok(()));
}

fn calibration() -> Calibration {
    Calibration {
        map: ScoreRange { low: -2.0, high: 6.0 },
        image: ScoreRange { low: 0.25, high: 0.5 },
        image_threshold: ImageThreshold {
            value: 0.75,
            target_fpr: 0.01,
            level: 0.95,
            low: Some(0.5),
            high: None,
            fpr: RateInterval { low: 0.0, high: 0.04 },
        },
        pixel_threshold: PixelThreshold { value: 5.0, target_fpr: 0.01, measured_fpr: 0.008 },
        images: CalibrationImages::default(),
        conditions: conditions(),
        rule: None,
    }
}

#[test]
fn scores_are_placed_in_the_ranges_and_go_beyond() {
    let calibration = calibration();
    assert_eq!(calibration.score(2.0, 0.375), 0.5);
    assert_eq!(calibration.score(6.0, 0.5), 1.0);
    assert_eq!(calibration.score(14.0, 0.75), 2.0);
    assert_eq!(calibration.score(-10.0, 0.0), -1.0);
    let mut medical = calibration;
    medical.conditions.domain = Domain::Medical;
    assert_eq!(medical.score(14.0, 0.0), 2.0, "the map alone");
}

#[test]
fn what_lies_above_a_threshold_is_anomalous_and_what_lies_on_it_is_not() {
    let calibration = calibration();
    assert_eq!(calibration.verdict(0.75), Verdict::Normal);
    assert_eq!(calibration.verdict(0.75_f32.next_up()), Verdict::Anomalous);
    let map = AnomalyMap { size: 2, values: vec![5.0, 5.5, -2.0, 6.0] };
    let judgement = calibration.judge(&Detection { map, image_score: 0.5, score: 3.25 });
    let expected = Judgement { score: 1.0, verdict: Verdict::Anomalous, anomalous_share: 0.5 };
    assert_eq!(judgement, expected);
}

#[test]
fn other_conditions_are_refused_by_name() {
    let calibration = calibration();
    assert_eq!(calibration.require(&conditions()), Ok(()));
    let others = [
        (
            CalibrationConditions { domain: Domain::Medical, ..conditions() },
            "industrial, not medical",
        ),
        (CalibrationConditions { image_size: 336, ..conditions() }, "518, not 336"),
        (CalibrationConditions { precision: "BF16".into(), ..conditions() }, "F32, not BF16"),
        (
            CalibrationConditions { clip_sha256: "d".repeat(64), ..conditions() },
            "not dddddddddddd...",
        ),
        (
            CalibrationConditions { prompts_sha256: "f".repeat(64), ..conditions() },
            "the prompts with SHA-256",
        ),
    ];
    for (given, says) in others {
        let message = calibration.require(&given).unwrap_err().to_string();
        assert!(message.contains(says) && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn numbers_that_no_measurement_gives_are_refused() {
    assert_eq!(calibration().checked(), Ok(calibration()));
    let range = |low, high| ScoreRange { low, high };
    let with_pixels = |value| PixelThreshold { value, ..calibration().pixel_threshold };
    let broken = [
        Calibration { map: range(1.0, 1.0), ..calibration() },
        Calibration { map: range(f32::NAN, 1.0), ..calibration() },
        Calibration { image: range(0.0, f32::INFINITY), ..calibration() },
        Calibration { pixel_threshold: with_pixels(f32::INFINITY), ..calibration() },
    ];
    for calibration in broken {
        assert!(matches!(calibration.checked(), Err(CalibrationError::Broken { .. })));
    }
}

#[test]
fn a_calibration_comes_back_from_its_text() {
    let text = serde_json::to_string(&calibration()).unwrap();
    assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), calibration());
}
