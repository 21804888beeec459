//! A dataset's way through an evaluation: class by class, with intervals, and with maps saved so that
//! another program can recompute the numbers.

use std::fs;
use std::path::Path;

use anomaly::ScoreRule;
use moeclip_eval::metrics::{Bootstrap, MaskedMap, Workspace, binary_metrics, pixel_metrics};
use moeclip_eval::report::{
    Evaluation, ImageRecord, Intervals, Metric, Protocol, Report, SavedMaps,
};
use moeclip_eval::{EvalError, MapView};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const WIDTH: usize = 9;
const HEIGHT: usize = 7;
const RULE: ScoreRule = ScoreRule::MeanOfMapMaxAndImage;
const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 400, seed: 5, level: 0.95 };

#[test]
fn the_numbers_can_be_recomputed_from_what_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("maps");
    let saved = SavedMaps::create(&folder).unwrap();
    let reports = evaluate(Evaluation::new(RULE, Workspace::default()).saving(saved));
    let lines = fs::read_to_string(folder.join("images.jsonl")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 24);
    for report in &reports {
        assert_eq!(report.classes.len(), 2);
        for class in &report.classes {
            let of_class = |line: &&Value| line["class"] == *class.class;
            let lines: Vec<&Value> = lines.iter().filter(of_class).collect();
            let labels: Vec<bool> =
                lines.iter().map(|line| line["anomalous"].as_bool().unwrap()).collect();
            let protocol = report.protocol.to_string();
            let scores: Vec<f32> = lines
                .iter()
                .map(|line| line["scores"][&protocol].as_f64().unwrap() as f32)
                .collect();
            let images = binary_metrics(&scores, &labels).unwrap();
            assert_eq!(images.auroc, class.metrics[Metric::ImageAuroc]);
            assert_eq!(images.ap, class.metrics[Metric::ImageAp]);
            let pixels = recomputed_pixels(&folder, &lines);
            assert_eq!(pixels.ap, class.metrics[Metric::PixelAp]);
            assert_eq!(pixels.aupro_exact, class.metrics[Metric::AuproExact]);
            assert!(pixels.ap.is_some() && images.ap.is_some());
        }
    }
    let normal = lines.iter().find(|line| line["anomalous"] == false).unwrap();
    assert!(normal["mask"].is_null() && !folder.join("masks/000000.npy").exists());
    assert_eq!(lines[0]["group"], "patient 0");
}

#[test]
fn maps_of_two_runs_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    assert!(SavedMaps::create(folder.path()).is_ok(), "an empty folder is taken");
    let error = SavedMaps::create(folder.path()).unwrap_err();
    assert!(matches!(error, EvalError::NotEmpty { .. }));
    assert_eq!(error.to_string().lines().count(), 1);
    let held = whole_file::FolderLock::hold(&folder.path().join("held")).unwrap();
    let error = SavedMaps::create(&folder.path().join("held")).unwrap_err();
    assert!(matches!(error, EvalError::InUse { .. }), "{error}");
    drop(held);
    SavedMaps::create(&folder.path().join("held")).unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "kept").unwrap();
    assert!(matches!(SavedMaps::create(&file), Err(EvalError::Write { .. })));
    assert_eq!(fs::read_to_string(file).unwrap(), "kept");
}

#[test]
fn a_run_that_ends_early_leaves_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let saved = SavedMaps::create(folder.path()).unwrap();
    let mut evaluation = Evaluation::new(RULE, Workspace::default()).saving(saved);
    push(&mut evaluation, "cubes", 0, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    drop(evaluation);
    assert!(folder.path().join("maps/000000.npy").exists());
    assert!(!folder.path().join("images.jsonl").exists());
}

#[test]
fn a_class_that_comes_back_is_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut evaluation = Evaluation::new(RULE, Workspace::default());
    push(&mut evaluation, "cubes", 0, &mut rng).unwrap();
    push(&mut evaluation, "balls", 0, &mut rng).unwrap();
    let message = push(&mut evaluation, "cubes", 1, &mut rng).unwrap_err().to_string();
    assert!(message.contains("cubes/001.png") && message.lines().count() == 1, "{message}");
}

#[test]
fn intervals_hold_the_metric_and_follow_from_the_seed() {
    let measure = |bootstrap| {
        let reports =
            evaluate(Evaluation::new(RULE, Workspace::default()).with_intervals(bootstrap));
        reports.into_iter().find(|report| report.protocol == Protocol::Raw).unwrap()
    };
    let report = measure(BOOTSTRAP);
    assert_eq!(report, measure(BOOTSTRAP));
    assert_ne!(report, measure(Bootstrap { seed: 6, ..BOOTSTRAP }));
    let [first, second] = &report.classes[..] else { panic!("two classes") };
    for class in [first, second] {
        let interval = class.intervals.as_ref().unwrap()[Metric::ImageAuroc].unwrap();
        let auroc = class.metrics[Metric::ImageAuroc].unwrap();
        assert!(interval.low < auroc && auroc < interval.high, "{interval:?} without {auroc}");
    }
    assert_ne!(first.intervals, second.intervals);
    let width = |intervals: &Option<Intervals>| {
        let interval = intervals.as_ref().unwrap()[Metric::ImageAuroc].unwrap();
        interval.high - interval.low
    };
    let mean = width(&report.mean_intervals);
    assert!(mean < width(&first.intervals).max(width(&second.intervals)), "a mean moves less");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["classes"][0]["intervals"]["resamples"], 400);
    assert!(json["mean_intervals"]["image_ap"]["low"].is_f64());
    assert!(report.to_string().contains("95 % bootstrap intervals"), "{report}");
}

#[test]
fn intervals_of_pixel_metrics_are_of_the_same_draws() {
    let measure = |memory| {
        let workspace = Workspace { memory, ..Workspace::default() };
        let evaluation = Evaluation::new(RULE, Workspace::default());
        evaluate(evaluation.with_all_intervals(BOOTSTRAP, workspace))
    };
    let [paper, raw] = &measure(1 << 20)[..] else { panic!("two protocols") };
    assert_eq!(&measure(0)[1], raw, "no bit depends on the memory");
    for (class, again) in raw.classes.iter().zip(&paper.classes) {
        let (intervals, metrics) = (class.intervals.as_ref().unwrap(), class.metrics);
        for (interval, metric) in [
            (intervals[Metric::PixelAuroc], metrics[Metric::PixelAuroc]),
            (intervals[Metric::PixelAp], metrics[Metric::PixelAp]),
            (intervals[Metric::PixelF1Max], metrics[Metric::PixelF1Max]),
            (intervals[Metric::PixelIou], metrics[Metric::PixelIou]),
            (intervals[Metric::AuproExact], metrics[Metric::AuproExact]),
        ] {
            let (interval, metric) = (interval.unwrap(), metric.unwrap());
            assert!(interval.low < metric && metric < interval.high, "{interval:?}, {metric}");
        }
        assert_eq!(
            intervals[Metric::PixelAuroc],
            again.intervals.as_ref().unwrap()[Metric::PixelAuroc]
        );
    }
    let mean = raw.mean_intervals.as_ref().unwrap()[Metric::AuproExact].unwrap();
    assert!(mean.low < mean.high);
    let json = serde_json::to_value(raw).unwrap();
    assert!(json["classes"][0]["intervals"]["aupro_exact"]["low"].is_f64());
    let table = raw.to_string();
    let (_, below) = table.split_once("bootstrap intervals").unwrap();
    assert_eq!(below.lines().nth(1).unwrap().split_whitespace().count(), 1 + 8, "{table}");

    let without = evaluate(Evaluation::new(RULE, Workspace::default()).with_intervals(BOOTSTRAP));
    let json = serde_json::to_value(&without[1]).unwrap();
    assert!(json["classes"][0]["intervals"].get("pixel_auroc").is_none());
}

#[test]
fn groups_are_drawn_whole() {
    // All images of a class in one group: every draw is the class itself.
    let mut evaluation = Evaluation::new(RULE, Workspace::default()).with_intervals(BOOTSTRAP);
    for (index, score) in [0.1, 0.4, 0.3, 0.9].into_iter().enumerate() {
        let values = [0.0; 4];
        let map = MapView::new(2, 2, &values).unwrap();
        let (label, group) = (index % 2 == 1, Some("one patient"));
        let record =
            ImageRecord { name: "made", group, map, mask: None, label, image_score: score };
        evaluation.push("scans", record).unwrap();
    }
    let reports = evaluation.finish().unwrap();
    let interval = reports[1].classes[0].intervals.as_ref().unwrap()[Metric::ImageAuroc].unwrap();
    assert_eq!((interval.low, interval.high), (1.0, 1.0));
    assert_eq!(reports[1].classes[0].metrics[Metric::ImageAuroc], Some(1.0));
}

#[test]
fn settings_of_the_bootstrap_are_checked() {
    assert!(Bootstrap::new(0, 0, 0.95).is_err());
    for level in [0.0, 1.0, f64::NAN] {
        assert!(Bootstrap::new(10, 0, level).is_err(), "{level}");
    }
    assert_eq!(Bootstrap::new(400, 5, 0.95).unwrap(), BOOTSTRAP);
}

/// Two classes of twelve images, six of them anomalous, with masks for these only.
fn evaluate(mut evaluation: Evaluation) -> Vec<Report> {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    for class in ["balls", "cubes"] {
        (0..12).for_each(|index| push(&mut evaluation, class, index, &mut rng).unwrap());
    }
    evaluation.finish().unwrap()
}

fn push(
    evaluation: &mut Evaluation,
    class: &str,
    index: usize,
    rng: &mut ChaCha8Rng,
) -> Result<(), EvalError> {
    let label = index % 2 == 1;
    let mask: Vec<bool> = (0..WIDTH * HEIGHT).map(|pixel| pixel % WIDTH < 3).collect();
    let lift = |marked: bool| if marked && label { 0.3 } else { 0.0 };
    let values: Vec<f32> = mask.iter().map(|&marked| rng.random::<f32>() + lift(marked)).collect();
    let (name, group) = (format!("{class}/{index:03}.png"), format!("patient {}", index / 2));
    let record = ImageRecord {
        name: &name,
        group: Some(&group),
        map: MapView::new(WIDTH, HEIGHT, &values)?,
        mask: label.then_some(&mask[..]),
        label,
        image_score: rng.random(),
    };
    evaluation.push(class, record)
}

fn recomputed_pixels(folder: &Path, lines: &[&Value]) -> moeclip_eval::metrics::PixelMetrics {
    let read = |name: &Value| name.as_str().map(|name| npy(&folder.join(name)));
    let pictures: Vec<_> =
        lines.iter().map(|line| (read(&line["map"]), read(&line["mask"]))).collect();
    let masks: Vec<Option<Vec<bool>>> = pictures
        .iter()
        .map(|(_, mask)| Some(mask.as_ref()?.iter().map(|&value| value == 1.0).collect()))
        .collect();
    let maps: Vec<MaskedMap<'_>> = pictures
        .iter()
        .zip(&masks)
        .map(|((map, _), mask)| {
            let map = MapView::new(WIDTH, HEIGHT, map.as_ref().unwrap()).unwrap();
            mask.as_ref().map_or(MaskedMap::normal(map), |mask| MaskedMap::new(map, mask).unwrap())
        })
        .collect();
    pixel_metrics(&maps).unwrap()
}

/// The numbers of a float32 array, after a look at what its header says.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]);
    assert!(header.contains("'<f4'") && header.contains("(7, 9,)"), "{header}");
    let (numbers, rest) = bytes[start..].as_chunks::<4>();
    assert!(rest.is_empty());
    numbers.iter().map(|&number| f32::from_le_bytes(number)).collect()
}
