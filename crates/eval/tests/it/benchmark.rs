//! Tables of benchmarks beside published numbers: what a dataset that is missing, refused, failed or
//! undefined does to cells and averages, and that a page is one file that asks for nothing.

use anomaly::ScoreRule;
use moeclip_eval::metrics::Workspace;
use moeclip_eval::report::{
    Benchmark, BenchmarkPage, DatasetOutcome, DatasetPictures, Evaluation, ImageRecord, Level,
    Measured, Outcome, Pair, Provenance, Published, StageTime, Unread, choose_cases, html,
};
use moeclip_eval::{MapView, report};

fn published() -> Published {
    let row = |dataset, numbers| serde_json::json!({"dataset": dataset, "numbers": numbers});
    let image = [
        row("Parts", [[90.0, 80.0], [92.0, 81.0]]),
        row("Scans", [[70.0, 60.0], [72.0, 65.0]]),
        row("Average", [[80.0, 70.0], [82.0, 73.0]]),
    ];
    let pixel =
        [row("Parts", [[95.0, 40.0], [96.0, 45.0]]), row("Average", [[95.0, 40.0], [96.0, 45.0]])];
    serde_json::from_value(serde_json::json!({
        "source": "somewhere", "methods": ["Old", "New"], "image": image, "pixel": pixel,
        "ablation": [], "expert-similarity": {},
    }))
    .unwrap()
}

/// Two images of each class, one anomalous; its score is higher, and so is its map's left half.
fn evaluation(classes: &[&str], masks: bool) -> report::EvaluationDetails {
    let mut evaluation = Evaluation::new(ScoreRule::Image, Workspace::default()).with_details();
    for class in classes {
        for label in [false, true] {
            let map = [if label { 0.9 } else { 0.2 }, 0.1, 0.2, 0.1];
            let map = MapView::new(2, 2, &map).unwrap();
            let mask = [true, false, true, false];
            let record = ImageRecord {
                name: "x",
                group: None,
                map,
                mask: (label && masks).then_some(&mask[..]),
                label,
                image_score: if label { 0.8 } else { 0.4 },
            };
            evaluation.push(class, record).unwrap();
        }
    }
    evaluation.finish_with_details().unwrap()
}

fn measured(masks: bool) -> Outcome {
    let reports = evaluation(&["a", "b"], masks).reports;
    Outcome::Measured(Measured { reports, unread: Vec::new(), undeployed: None })
}

fn benchmark(parts: Outcome, scans: Outcome) -> Benchmark {
    let dataset =
        |name: &str, outcome| DatasetOutcome { name: name.into(), outcomes: vec![outcome] };
    let datasets = vec![dataset("Parts", parts), dataset("Scans", scans)];
    Benchmark { title: "Two <sets> & 1_method".into(), methods: vec!["Ours".into()], datasets }
}

#[test]
fn an_average_is_over_what_the_published_table_lists() {
    let tables = benchmark(measured(true), measured(false)).tables(&published());
    let [image, pixel] = &tables[..] else { panic!("two levels") };
    assert_eq!(image.level, Level::Image);
    let names: Vec<&str> = image.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["Parts", "Scans", "Average"]);
    assert_eq!(image.rows[0].cells[2].pair(), Some(Pair { auroc: Some(1.0), ap: Some(1.0) }));
    assert_eq!(image.rows[2].cells[2].pair(), Some(Pair { auroc: Some(1.0), ap: Some(1.0) }));
    let names: Vec<&str> = pixel.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["Parts", "Average"], "scans have no masks, and no row");
}

#[test]
fn what_was_not_measured_is_no_number_and_everybody_is_averaged_over_the_rest() {
    for (outcome, cell, note) in [
        (Outcome::Missing, "missing", "missing: Scans"),
        (
            Outcome::Refused("trained on it".into()),
            "refused",
            "Ours, refused on Scans: trained on it",
        ),
        (Outcome::Failed("no memory".into()), "-", "Ours, failed on Scans: no memory"),
    ] {
        let benchmark = benchmark(measured(true), outcome);
        let table = &benchmark.tables(&published())[0];
        assert_eq!(table.rows[1].cells[2].text(), cell);
        assert_eq!(table.rows[2].cells[2].text(), "-", "no average without all that are listed");
        assert_eq!(table.rows[2].cells[0].text(), "80.0 / 70.0", "the published one stays");
        assert_eq!(table.rows[3].name, "Average of 1");
        let rest: Vec<String> = table.rows[3].cells.iter().map(|cell| cell.text()).collect();
        assert_eq!(rest, ["90.0 / 80.0", "92.0 / 81.0", "100.0 / 100.0"]);
        assert!(benchmark.notes().join("\n").contains(note), "{:?}", benchmark.notes());
        assert_eq!(benchmark.is_whole(), cell != "-");
    }
}

#[test]
fn an_unreadable_image_is_a_note_and_no_clean_end() {
    let Outcome::Measured(mut found) = measured(true) else { unreachable!() };
    found.unread.push(Unread { image: "a/0.png".into(), reason: "is empty".into() });
    let benchmark = benchmark(Outcome::Measured(found), Outcome::Missing);
    assert!(!benchmark.is_whole());
    assert!(
        benchmark.notes()[0]
            .contains("Ours, on Parts: a/0.png could not be read and is in no number: is empty")
    );
}

#[test]
fn files_hold_the_same_numbers_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let (benchmark, published) = (benchmark(measured(true), measured(false)), published());
    benchmark.write(&published, folder.path()).unwrap();
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(text("table.md").contains("| Parts | 90.0 / 80.0 | 92.0 / 81.0 | 100.0 / 100.0 |"));
    assert!(
        text("table.tex")
            .contains(r"Parts & 90.0 / 80.0 & 92.0 / 81.0 & \textbf{100.0} / \textbf{100.0} \\")
    );
    assert!(text("table.tex").contains(r"\caption{Two <sets> \& 1\_method, image level}"));
    assert!(
        text("table.csv").contains("image,Parts,Ours,\"measured, paper\",number,100.0000,100.0000")
    );
    assert!(text("classes.csv").contains("Parts,Ours,paper,a,2,1,100.0000"));
    assert!(text("classes.csv").contains("Scans,Ours,raw,mean,4,2"));
    let classes = text("classes.csv");
    assert!(classes.lines().all(|line| line.split(',').count() == 4 + 2 + 10 + 6), "{classes}");
    let json: serde_json::Value = serde_json::from_str(&text("table.json")).unwrap();
    assert_eq!(json["tables"][0]["rows"][0]["cells"][2]["numbers"]["auroc"], 1.0);
    assert_eq!(
        json["datasets"][1]["outcomes"][0]["measured"]["reports"][0]["mean"]["pixel_auroc"],
        serde_json::Value::Null
    );
    let before = text("table.json");
    benchmark.write(&published, folder.path()).unwrap();
    assert_eq!(text("table.json"), before);
}

#[test]
fn published_rows_have_a_number_for_every_method() {
    let short = serde_json::json!({
        "source": "", "methods": ["Old", "New"], "image": [{"dataset": "Parts", "numbers": [[90.0, 80.0]]}],
        "pixel": [], "ablation": [], "expert-similarity": {},
    });
    let error = serde_json::from_value::<Published>(short).unwrap_err().to_string();
    assert!(error.contains("Parts: 1 number pairs for 2 methods"), "{error}");
}

#[test]
fn a_page_is_one_file_that_asks_for_nothing() {
    let studied = evaluation(&["a", "b"], true);
    let photo = image::RgbImage::from_pixel(300, 200, image::Rgb([90, 120, 60]));
    let cases = choose_cases(&studied.classes, 1).into_iter().map(|place| {
        let map = MapView::new(2, 2, &[0.1, 0.9, 0.2, 0.3]).unwrap();
        let range = studied.classes[place.class].range.unwrap();
        let mask = Some(&[true, false, false, false][..]);
        let input = html::CaseInput {
            kind: place.kind.name(),
            text: "a/<0>.png",
            image: &photo,
            map,
            mask,
            without_mask: "no mask",
            range,
        };
        html::Case::draw(&input).unwrap()
    });
    let pictures = [
        DatasetPictures { classes: vec![studied.classes.clone()], cases: vec![cases.collect()] },
        DatasetPictures::default(),
    ];
    let page = BenchmarkPage {
        benchmark: &benchmark(measured(true), Outcome::Missing),
        published: &published(),
        pictures: &pictures,
        provenance: &[Provenance { name: "CLIP".into(), value: "00ff".into() }],
        times: &[StageTime { stage: "Parts, Ours".into(), images: 4, seconds: 2.0 }],
    };
    let text = page.page().to_html();
    assert!(text.contains("<h1>Two &lt;sets&gt; &amp; 1_method</h1>") && !text.contains("<0>"));
    for outside in ["http:", "https:", "src=\"/", "url(", "@import", "<script"] {
        assert!(!text.contains(outside), "{outside}");
    }
    let sources = text.matches(" src=\"").count();
    assert_eq!(sources, text.matches(" src=\"data:image/").count());
    assert_eq!(sources, 4 * 3, "found, missed and a false alarm, four pictures each");
    assert_eq!(text.matches("<img").count(), text.matches(" alt=\"").count());
    assert_eq!(text.matches("<table").count(), text.matches("</table>").count());
    assert!(text.contains("role=\"img\" aria-label=\"Image ROC on Parts"));
    assert!(text.contains("there is no copy of this dataset"));
}
