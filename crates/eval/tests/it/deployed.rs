//! The protocol `deployed`: scores and decisions by a calibration, beside the other two from the same
//! images, and nothing of it without one.

use std::fs;
use std::sync::Arc;

use anomaly::{
    AuxiliaryData, Calibration, CalibrationConditions, CalibrationImages, Domain, ImageThreshold,
    PixelThreshold, RateInterval, ScoreRange, ScoreRule,
};
use moeclip_eval::metrics::{Bootstrap, Workspace};
use moeclip_eval::report::{
    ClassScores, DecisionRate, Decisions, Evaluation, ImageRecord, Level, Metric, Protocol, Report,
    SavedMaps,
};
use moeclip_eval::{EvalError, MapView};

const RULE: ScoreRule = ScoreRule::MeanOfMapMaxAndImage;
const CORNER: [bool; 4] = [false, false, false, true];

/// Maps from -2 to 6, image scores from 0.25 to 0.5; above 0.75 an image, above 1.5 a pixel is
/// anomalous.
fn calibration() -> Calibration {
    let images = vec!["0123456789abcdef".into(); 120];
    Calibration {
        map: ScoreRange { low: -2.0, high: 6.0 },
        image: ScoreRange { low: 0.25, high: 0.5 },
        image_threshold: ImageThreshold {
            value: 0.75,
            target_fpr: 0.01,
            level: 0.95,
            low: Some(0.5),
            high: None,
            fpr: RateInterval { low: 0.000_21, high: 0.030_3 },
        },
        pixel_threshold: PixelThreshold { value: 1.5, target_fpr: 0.07, measured_fpr: 0.06 },
        images: CalibrationImages {
            data: AuxiliaryData { name: "nuts".into(), images, ..AuxiliaryData::default() },
            split: "train".into(),
            classes: vec!["nut".into()],
            trained_on: 0,
        },
        conditions: CalibrationConditions {
            domain: Domain::Industrial,
            image_size: 2,
            precision: "F32".into(),
            clip_sha256: String::new(),
            prompts_sha256: String::new(),
            shared: Default::default(),
        },
        rule: None,
    }
}

fn record<'a>(map: &'a [f32; 4], label: bool, image_score: f32) -> ImageRecord<'a> {
    let mask = label.then_some(&CORNER[..]);
    let map = MapView::new(2, 2, map).unwrap();
    ImageRecord { name: "made", group: None, map, mask, label, image_score }
}

fn fill(class: &mut ClassScores) {
    class.push(record(&[0.0, 2.0, -1.0, 2.0], false, 0.25)).unwrap();
    class.push(record(&[0.0, 2.0, -1.0, 6.0], true, 0.5)).unwrap();
    class.push(record(&[0.0, 1.0, -1.0, 1.0], true, 0.25)).unwrap();
    class.push(record(&[0.0, 2.0, -1.0, 14.0], true, 0.75)).unwrap();
}

#[test]
fn scores_and_decisions_by_hand() {
    let mut class =
        ClassScores::new("nut", Workspace::default()).calibrated(Arc::new(calibration()));
    fill(&mut class);
    let scores = class.image_scores(RULE, Protocol::Deployed).unwrap();
    // The last lies beyond every normal image, and is not clamped.
    assert_eq!(scores, [0.25, 1.0, 0.1875, 2.0]);
    let raw = class.finish(RULE, Protocol::Raw).unwrap();
    let deployed = class.finish(RULE, Protocol::Deployed).unwrap();
    let expected = Decisions::default()
        .with(DecisionRate::ImageTpr, Some(2.0 / 3.0))
        .with(DecisionRate::ImageFpr, Some(0.0))
        .with(DecisionRate::ImageF1, Some(4.0 / 5.0))
        // Of 3 anomalous pixels 2 are above 1.5, of 13 normal ones 4.
        .with(DecisionRate::PixelTpr, Some(2.0 / 3.0))
        .with(DecisionRate::PixelFpr, Some(4.0 / 13.0))
        .with(DecisionRate::PixelF1, Some(4.0 / 9.0));
    assert_eq!((raw.decisions, deployed.decisions), (None, Some(expected)));
    assert_eq!(deployed.metrics[Metric::ImageAuroc], Some(2.0 / 3.0));
    assert_eq!(deployed.metrics[Metric::PixelAuroc], raw.metrics[Metric::PixelAuroc]);
    assert_eq!(deployed.metrics[Metric::ImageEce], None, "2 is no probability");
}

#[test]
fn what_a_class_lacks_is_not_applicable() {
    let mut class =
        ClassScores::new("head", Workspace::default()).calibrated(Arc::new(calibration()));
    class.push(ImageRecord { mask: None, ..record(&[0.0; 4], true, 0.5) }).unwrap();
    let decisions = class.finish(RULE, Protocol::Deployed).unwrap().decisions.unwrap();
    assert_eq!(decisions, Decisions::default().with(DecisionRate::ImageTpr, Some(0.0)));
}

#[test]
fn without_a_calibration_it_is_undefined() {
    let mut class = ClassScores::new("nut", Workspace::default());
    fill(&mut class);
    assert_eq!(class.image_scores(RULE, Protocol::Deployed), None);
    let result = class.finish(RULE, Protocol::Deployed).unwrap();
    let pixels = class.finish(RULE, Protocol::Raw).unwrap().metrics;
    let images = (
        result.metrics[Metric::ImageAuroc],
        result.metrics[Metric::ImageAp],
        result.metrics[Metric::ImageEce],
    );
    assert_eq!((images, result.decisions), ((None, None, None), None));
    let images = Metric::ALL.into_iter().filter(|metric| metric.level() == Level::Image);
    assert_eq!(result.metrics, images.fold(pixels, |metrics, metric| metrics.with(metric, None)));
    let bootstrap = Bootstrap::new(10, 0, 0.95).unwrap();
    assert_eq!(class.intervals(RULE, Protocol::Deployed, &bootstrap).unwrap(), None);
}

fn evaluate(mut evaluation: Evaluation) -> Vec<Report> {
    for class in ["nut", "bolt"] {
        for (map, label, image_score) in [
            ([0.0, 2.0, -1.0, 2.0], false, 0.25),
            ([0.0, 2.0, -1.0, 6.0], true, 0.5),
            ([0.0, 1.0, -1.0, 9.0], false, 0.3),
        ] {
            evaluation.push(class, record(&map, label, image_score)).unwrap();
        }
    }
    evaluation.finish().unwrap()
}

#[test]
fn three_protocols_come_from_one_pass() {
    let folder = tempfile::tempdir().unwrap();
    let saved = SavedMaps::create(&folder.path().join("maps")).unwrap();
    let evaluation = Evaluation::new(RULE, Workspace::default())
        .with_intervals(Bootstrap::new(20, 0, 0.95).unwrap())
        .saving(saved)
        .calibrated(calibration())
        .unwrap();
    let reports = evaluate(evaluation);
    let protocols: Vec<Protocol> = reports.iter().map(|report| report.protocol).collect();
    assert_eq!(protocols, Protocol::ALL);
    let deployed = &reports[2];
    assert!(deployed.mean_intervals.is_some());
    assert_eq!(deployed.mean_decisions.unwrap()[DecisionRate::ImageFpr], Some(0.5));
    let summary = deployed.calibration.as_ref().unwrap();
    assert_eq!((summary.data.as_str(), summary.images), ("nuts", 120));
    let list = fs::read_to_string(folder.path().join("maps/images.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(list.lines().last().unwrap()).unwrap();
    let expected = f64::from((11.0_f32 / 8.0 + (0.3 - 0.25) / 0.25) / 2.0);
    assert!((last["scores"]["deployed"].as_f64().unwrap() - expected).abs() < 1e-6, "{last}");

    let json = serde_json::to_value(deployed).unwrap();
    assert_eq!(json["protocol"], "deployed");
    assert_eq!(json["classes"][0]["decisions"]["image_tpr"], 1.0);
    assert_eq!(json["calibration"]["image_threshold"]["value"], 0.75);
    assert!(json["calibration"]["data"].is_string(), "the name, without the hashes");
    let table = deployed.to_string();
    assert!(table.starts_with("protocol deployed: "), "{table}");
    assert!(table.contains("calibrated on 120 normal images of nuts (train)"), "{table}");
    assert!(table.contains("an FPR of 1 % (true rate 0.02 to 3.03 % with 95 %)"), "{table}");
    assert!(table.contains("for an FPR of 7 %"), "{table}");
    let row = table.lines().rev().find(|line| line.starts_with("mean")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[..4], ["mean", "100.0", "50.0", "66.7"], "{table}");
}

#[test]
fn without_a_calibration_there_are_two_reports() {
    let reports = evaluate(Evaluation::new(RULE, Workspace::default()));
    let protocols: Vec<Protocol> = reports.iter().map(|report| report.protocol).collect();
    assert_eq!(protocols, [Protocol::Paper, Protocol::Raw]);
    assert!(reports.iter().all(|report| report.mean_decisions.is_none()));
    assert!(!reports[1].to_string().contains("TPR"));
}

#[test]
fn a_calibration_of_other_scores_is_refused() {
    for rule in [ScoreRule::MapMax, ScoreRule::Image] {
        let evaluation = Evaluation::new(rule, Workspace::default());
        let error = evaluation.calibrated(calibration()).unwrap_err();
        assert!(matches!(error, EvalError::OtherRule { .. }));
        assert_eq!(error.to_string().lines().count(), 1);
    }
}
