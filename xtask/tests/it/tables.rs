//! What a table says of datasets that lack something, or that count in a way of their own: from a copy
//! on disk, through its descriptor, to the rows.

use std::fs;
use std::path::Path;

use anomaly::ScoreRule;
use moeclip_data::{Descriptor, Label, Sample, Split};
use moeclip_eval::MapView;
use moeclip_eval::metrics::Workspace;
use moeclip_eval::report::{Evaluation, ImageRecord, Metric, Report};

/// The columns of image metrics and of pixel metrics, of a row without its name.
const IMAGE: std::ops::Range<usize> = 2..6;
const PIXEL: std::ops::Range<usize> = 6..12;
const CORNER: [bool; 4] = [true, false, false, false];

#[test]
fn dtd_synthetic_has_a_row_for_each_folder_and_each_counts_once() {
    let [bad, mask] = ["test/bad/000.png", "ground_truth/bad/000_mask.png"];
    let folders = ["Blotchy_099", "Woven_001", "Woven_127"];
    let copy = folders
        .iter()
        .flat_map(|folder| ["test/good/000.png", bad, mask].map(|file| format!("{folder}/{file}")));
    // Only the second weave is found.
    let found = |sample: &Sample| sample.class == "Woven_127";
    let report = report("dtd-synthetic", copy, found);
    let names: Vec<&str> = report.classes.iter().map(|class| class.class.as_str()).collect();
    assert_eq!(names, ["Blotchy", "Woven_001", "Woven_127"]);
    let pixel: Vec<_> =
        report.classes.iter().map(|class| class.metrics[Metric::PixelAuroc]).collect();
    assert_eq!(pixel, [Some(0.5), Some(0.5), Some(1.0)]);
    assert!(
        (report.mean[Metric::PixelAuroc].unwrap() - 2.0 / 3.0).abs() < 1e-12,
        "three rows, not two"
    );
    assert_eq!(cells(&report, "Woven_127")[PIXEL.start], "100.0");
    assert_eq!(cells(&report, "mean")[PIXEL.start], "66.7");
}

#[test]
fn headct_without_masks_has_image_metrics_only() {
    let copy = ["test/good/0.png", "test/defect/1.png"].map(str::to_owned);
    let report = report("headct", copy, |sample| sample.label == Label::Anomalous);
    for row in ["headct", "mean"] {
        let cells = cells(&report, row);
        assert_eq!(cells[..2], ["2", "1"]);
        assert_eq!(cells[IMAGE], ["100.0", "100.0", "100.0", "0.0"], "{report}");
        assert_eq!(cells[PIXEL], ["n/a"; 6], "{report}");
    }
}

#[test]
fn polyps_without_normal_images_have_pixel_metrics_only() {
    for name in ["colondb", "clinicdb", "cvc-300", "kvasir"] {
        let copy = ["images/1.png", "masks/1.png", "images/2.png", "masks/2.png"];
        let report = report(name, copy.map(str::to_owned), |_| true);
        for row in [report.classes[0].class.as_str(), "mean"] {
            let cells = cells(&report, row);
            assert_eq!(cells[..2], ["2", "2"]);
            // The calibration error needs no second class: every score is 1, every image anomalous.
            assert_eq!(cells[IMAGE], ["n/a", "n/a", "n/a", "0.0"], "{name}: {report}");
            // The 200 steps have no second false-positive rate.
            let perfect = ["100.0", "100.0", "100.0", "100.0", "100.0", "n/a"];
            assert_eq!(cells[PIXEL], perfect, "{name}: {report}");
        }
    }
}

/// The report, under the paper's protocol, of a copy with these files: of an image that `is_found` the
/// map is high where the mask is and nowhere else, of another it is flat.
fn report(
    descriptor: &str,
    files: impl IntoIterator<Item = String>,
    is_found: impl Fn(&Sample) -> bool,
) -> Report {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, []).unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../datasets/{descriptor}.toml"));
    let descriptor = Descriptor::parse(&fs::read_to_string(&file).unwrap(), &file).unwrap();
    let mut samples = descriptor.samples(folder.path(), Split::Test).unwrap();
    samples.sort_by(|a, b| a.class.cmp(&b.class));
    let mut evaluation = Evaluation::new(ScoreRule::MapMax, Workspace::default());
    for sample in &samples {
        let (label, name) = (sample.label == Label::Anomalous, sample.image.display().to_string());
        let peak = f32::from(u8::from(label && is_found(sample)));
        let values = [peak, 0.0, 0.0, 0.0];
        let record = ImageRecord {
            name: &name,
            group: sample.group.as_deref(),
            map: MapView::new(2, 2, &values).unwrap(),
            mask: sample.masks.first().map(|_| &CORNER[..]),
            label,
            image_score: 0.5,
        };
        evaluation.push(&sample.class, record).unwrap();
    }
    evaluation.finish().unwrap().swap_remove(0)
}

/// A row of the printed table, without its name.
fn cells(report: &Report, row: &str) -> Vec<String> {
    let table = report.to_string();
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(row));
    line.unwrap().split_whitespace().skip(1).map(str::to_owned).collect()
}
