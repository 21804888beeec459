//! What a report says: rules, protocols, classes without masks or without normal images, means,
//! table and JSON.

use anomaly::ScoreRule;
use moeclip_eval::metrics::Workspace;
use moeclip_eval::report::{
    ClassResult, ClassScores, ImageRecord, Metric, Metrics, Protocol, Report,
};
use moeclip_eval::{EvalError, MapView};

const INDUSTRIAL: ScoreRule = ScoreRule::MeanOfMapMaxAndImage;
const MEDICAL: ScoreRule = ScoreRule::MapMax;
const NOTHING: [bool; 4] = [false; 4];
const CORNER: [bool; 4] = [false, false, false, true];

#[test]
fn raw_scores_are_the_maximum_or_the_mean_with_the_image_head() {
    let class = two_images();
    assert_eq!(class.image_scores(MEDICAL, Protocol::Raw).unwrap(), [2.0, 6.0]);
    assert_eq!(class.image_scores(INDUSTRIAL, Protocol::Raw).unwrap(), [1.25, 3.125]);
}

#[test]
fn paper_scores_are_normalised_over_the_class() {
    let class = two_images();
    // Maps run from -2 to 6, image scores from 0.25 to 0.5.
    assert_eq!(class.image_scores(MEDICAL, Protocol::Paper).unwrap(), [0.5, 1.0]);
    assert_eq!(class.image_scores(INDUSTRIAL, Protocol::Paper).unwrap(), [0.75, 0.5]);
}

#[test]
fn equal_maps_and_scores_normalise_to_zero() {
    let mut class = ClassScores::new("flat", Workspace::default());
    push(&mut class, [3.0; 4], None, false, 0.5);
    push(&mut class, [3.0; 4], None, true, 0.5);
    assert_eq!(class.image_scores(INDUSTRIAL, Protocol::Paper).unwrap(), [0.0, 0.0]);
    assert_eq!(
        class.finish(INDUSTRIAL, Protocol::Paper).unwrap().metrics[Metric::ImageAuroc],
        Some(0.5)
    );
}

#[test]
fn the_protocol_can_change_the_image_metrics_and_never_the_pixel_metrics() {
    let mut class = two_images();
    let raw = class.finish(INDUSTRIAL, Protocol::Raw).unwrap();
    let paper = class.finish(INDUSTRIAL, Protocol::Paper).unwrap();
    assert_eq!(
        (raw.metrics[Metric::ImageAuroc], paper.metrics[Metric::ImageAuroc]),
        (Some(1.0), Some(0.0))
    );
    assert_eq!((raw.images, raw.anomalous), (2, 1));
    assert_eq!(raw.metrics[Metric::PixelAuroc], Some(1.0));
    assert_eq!(raw.metrics[Metric::PixelAuroc], paper.metrics[Metric::PixelAuroc]);
    assert_eq!(raw.metrics[Metric::AuproExact], Some(1.0));
}

#[test]
fn without_masks_there_are_no_pixel_metrics() {
    let mut class = ClassScores::new("head", Workspace::default());
    push(&mut class, [0.1, 0.2, 0.3, 0.4], None, false, 0.2);
    push(&mut class, [0.1, 0.2, 0.3, 0.9], None, true, 0.8);
    let metrics = class.finish(MEDICAL, Protocol::Paper).unwrap().metrics;
    let expected = Metrics::default()
        .with(Metric::ImageEce, metrics[Metric::ImageEce])
        .with(Metric::ImageAuroc, Some(1.0))
        .with(Metric::ImageAp, Some(1.0))
        .with(Metric::ImageF1Max, Some(1.0));
    assert_eq!(metrics, expected);
    // Of scores 0.375 and 1, and of 0.4 and 0.9.
    assert!((metrics[Metric::ImageEce].unwrap() - 0.375 / 2.0).abs() < 1e-6);
    let raw = class.finish(MEDICAL, Protocol::Raw).unwrap().metrics;
    assert!((raw[Metric::ImageEce].unwrap() - 0.5 / 2.0).abs() < 1e-6);
}

#[test]
fn without_normal_images_there_are_only_pixel_metrics() {
    let mut class = ClassScores::new("polyp", Workspace::default());
    push(&mut class, [0.1, 0.2, 0.3, 0.9], Some(&CORNER), true, 0.8);
    let metrics = class.finish(MEDICAL, Protocol::Paper).unwrap().metrics;
    assert_eq!(
        (metrics[Metric::ImageAuroc], metrics[Metric::ImageAp], metrics[Metric::ImageF1Max]),
        (None, None, None)
    );
    assert_eq!(
        (metrics[Metric::PixelAuroc], metrics[Metric::PixelAp], metrics[Metric::PixelF1Max]),
        (Some(1.0), Some(1.0), Some(1.0))
    );
}

#[test]
fn an_anomalous_image_without_mask_has_no_say_in_the_pixel_metrics() {
    let mut class = two_images();
    let before = class.finish(MEDICAL, Protocol::Raw).unwrap().metrics;
    push(&mut class, [9.0; 4], None, true, 0.9);
    let after = class.finish(MEDICAL, Protocol::Raw).unwrap();
    assert_eq!((after.images, after.anomalous), (3, 2));
    assert_eq!(after.metrics[Metric::PixelAp], before[Metric::PixelAp]);
    // A normal image without mask has: all of it is normal, and here it is flagged first.
    push(&mut class, [9.0; 4], None, false, 0.9);
    assert_eq!(class.finish(MEDICAL, Protocol::Raw).unwrap().metrics[Metric::PixelAp], Some(0.2));
}

#[test]
fn nothing_and_a_broken_record_are_told() {
    let mut class = ClassScores::new("cubes", Workspace::default());
    assert!(class.is_empty() && class.range().is_none());
    assert_eq!(class.finish(INDUSTRIAL, Protocol::Paper).unwrap().metrics, Metrics::default());
    let values = [0.0; 4];
    let map = MapView::new(2, 2, &values).unwrap();
    let good = ImageRecord {
        name: "cubes/007.png",
        group: None,
        map,
        mask: None,
        label: true,
        image_score: 0.5,
    };
    class.push(good).unwrap();
    let bad = [
        ImageRecord { mask: Some(&CORNER[..3]), ..good },
        ImageRecord { image_score: f32::NAN, ..good },
    ];
    for record in bad {
        let error = class.push(record).unwrap_err();
        assert!(matches!(error, EvalError::Record { .. }));
        let message = error.to_string();
        assert!(
            message.starts_with("cubes/007.png, class `cubes`: ") && message.lines().count() == 1,
            "{message}"
        );
    }
    assert_eq!(class.len(), 1);
}

#[test]
fn a_mean_is_over_the_classes_that_define_the_metric() {
    let report = mixed_report();
    assert_eq!(report.mean[Metric::ImageAuroc], Some(0.75));
    assert_eq!(report.mean[Metric::PixelAuroc], Some(0.5));
    assert_eq!(report.mean[Metric::AuproExact], None);
    assert_eq!(Report::new(Protocol::Raw, Vec::new()).mean, Metrics::default());
}

#[test]
fn the_table_says_not_applicable_and_names_its_protocol() {
    let table = mixed_report().to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("protocol paper: "), "{table}");
    let row = |index: usize| lines[index].split_whitespace().collect::<Vec<_>>();
    assert_eq!(
        row(2),
        [
            "hazelnut", "10", "4", "100.0", "n/a", "n/a", "n/a", "n/a", "n/a", "n/a", "n/a", "n/a",
            "n/a"
        ]
    );
    assert_eq!(
        row(4),
        ["mean", "17", "7", "75.0", "n/a", "n/a", "n/a", "50.0", "n/a", "n/a", "n/a", "n/a", "n/a"]
    );
    let widths: Vec<usize> = lines[1..5].iter().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|&width| width == widths[0]), "{table}");
    assert!(table.contains("\nn/a of pixels, hazelnut: no mask marks one."), "{table}");
    assert!(!table.contains("n/a of images, hazelnut"), "{table}");
}

#[test]
fn json_has_null_where_a_metric_is_undefined() {
    let json = serde_json::to_value(mixed_report()).unwrap();
    assert_eq!(json["protocol"], "paper");
    assert_eq!(json["classes"][0]["class"], "hazelnut");
    assert_eq!(json["classes"][0]["image_auroc"], 1.0);
    assert!(json["classes"][0]["pixel_auroc"].is_null());
    assert!(json["mean"]["aupro_exact"].is_null());
    assert_eq!(json["mean"]["pixel_auroc"], 0.5);
}

fn mixed_report() -> Report {
    let row = |class: &str, images, anomalous, metrics| ClassResult {
        class: class.to_owned(),
        images,
        anomalous,
        metrics,
        intervals: None,
        decisions: None,
    };
    let hazelnut = Metrics::default().with(Metric::ImageAuroc, Some(1.0));
    let half = Some(0.5);
    let cubes = Metrics::default().with(Metric::ImageAuroc, half).with(Metric::PixelAuroc, half);
    Report::new(Protocol::Paper, vec![row("hazelnut", 10, 4, hazelnut), row("cubes", 7, 3, cubes)])
}

/// A normal and an anomalous image; the image head has them the wrong way round.
fn two_images() -> ClassScores {
    let mut class = ClassScores::new("cubes", Workspace::default());
    push(&mut class, [0.0, 1.0, 2.0, -2.0], Some(&NOTHING), false, 0.5);
    push(&mut class, [0.0, 1.0, 2.0, 6.0], Some(&CORNER), true, 0.25);
    class
}

fn push(
    class: &mut ClassScores,
    map: [f32; 4],
    mask: Option<&[bool]>,
    label: bool,
    image_score: f32,
) {
    let map = MapView::new(2, 2, &map).unwrap();
    let record = ImageRecord { name: "made", group: None, map, mask, label, image_score };
    class.push(record).unwrap();
}
