//! The comparison of methods: averages as published tables make them, spread over runs, what is
//! undefined or missing, and its files.

use moeclip_eval::report::{Auroc, Comparison, MethodResults, Number, Spread};

fn auroc(pixel: Option<f64>, image: Option<f64>) -> Option<Auroc> {
    Some(Auroc { pixel, image })
}

fn datasets() -> Vec<String> {
    ["Parts", "Scans", "Polyps"].map(str::to_owned).to_vec()
}

/// Scans have no masks, polyps no normal images.
fn method(name: &str, parts: [f64; 2], scans: f64, polyps: f64) -> MethodResults {
    let [pixel, image] = parts;
    let runs = vec![vec![
        auroc(Some(pixel), Some(image)),
        auroc(None, Some(scans)),
        auroc(Some(polyps), None),
    ]];
    let published = runs[0].clone();
    MethodResults { name: name.into(), published, runs, ..MethodResults::default() }
}

#[test]
fn an_average_is_over_the_datasets_where_a_metric_is_defined() {
    let table = Comparison::new("t", &datasets(), &[method("a", [0.9, 0.8], 0.6, 0.7)]);
    assert_eq!(table.columns, ["Parts", "Scans", "Polyps", "Average"]);
    let entries = &table.rows[0].entries;
    assert_eq!((entries[1].pixel, entries[2].image), (Number::Undefined, Number::Undefined));
    let close = |number: Option<f64>, value: f64| (number.unwrap() - value).abs() < 1e-12;
    assert!(close(entries[3].pixel.mean(), 0.8) && close(entries[3].image.mean(), 0.7));
    assert!(close(entries[3].published.pixel, 0.8) && close(entries[3].published.image, 0.7));
}

#[test]
fn runs_are_averaged_with_the_deviation_of_the_sample() {
    let mut results = method("a", [0.5, 0.5], 0.5, 0.4);
    let other = method("a", [0.7, 0.9], 0.7, 0.8).runs.remove(0);
    results.runs.push(other);
    let table = Comparison::new("t", &datasets(), &[results]);
    let Number::Measured(Spread { mean, deviation, runs }) = table.rows[0].entries[0].pixel else {
        panic!("{table:?}");
    };
    assert_eq!(runs, 2);
    assert!((mean - 0.6).abs() < 1e-12);
    assert!((deviation.unwrap() - 0.02_f64.sqrt()).abs() < 1e-12);
    // The average's spread is that of the runs' averages, not the mean of the datasets' spreads.
    let average = table.rows[0].entries[3].pixel;
    assert!(matches!(average, Number::Measured(spread) if (spread.mean - 0.6).abs() < 1e-12));
}

#[test]
fn what_was_not_measured_is_missing_and_takes_its_average_along() {
    let mut results = method("a", [0.9, 0.8], 0.6, 0.7);
    results.runs[0][1] = None;
    results.failures = vec!["measuring Scans: no | memory".into()];
    let table = Comparison::new("t", &datasets(), &[results]);
    let entries = &table.rows[0].entries;
    assert_eq!((entries[1].image, entries[3].pixel), (Number::Missing, Number::Missing));
    assert_eq!(entries[0].pixel.mean(), Some(0.9));
    let text = table.to_string();
    assert!(text.contains("failed: a: measuring Scans: no | memory"), "{text}");
    assert!(table.markdown().contains("- failed: a: measuring Scans: no \\| memory"));
    let none = MethodResults { name: "b".into(), ..MethodResults::default() };
    let empty = Comparison::new("t", &datasets(), &[none]);
    assert!(empty.rows[0].entries.iter().all(|entry| entry.image == Number::Missing));
}

#[test]
fn numbers_stand_beside_the_published_ones() {
    let rows =
        [method("w/o x, y", [0.925, 0.939], 0.966, 0.854), method("all", [1.0, 1.0], 1.0, 1.0)];
    let table = Comparison::new("Both", &datasets(), &rows);
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Both");
    assert!(lines[2].starts_with("w/o x, y") && lines[2].contains("92.5 / 93.9"), "{text}");
    assert!(lines[2].contains("n/a / 96.6") && lines[2].contains("85.4 / n/a"), "{text}");
    assert!(lines[3].starts_with("  published") && lines[3].contains("92.5 / 93.9"), "{text}");
    let markdown = table.markdown();
    assert!(
        markdown.contains("| w/o x, y | 92.5 / 93.9 | n/a / 96.6 | 85.4 / n/a |"),
        "{markdown}"
    );
    let csv = table.csv().unwrap();
    let second = csv.lines().nth(1).unwrap();
    assert_eq!(second, "\"w/o x, y\",Parts,pixel AUROC,92.5000,,1,92.5000");
    let undefined = csv.lines().nth(3).unwrap();
    assert_eq!(undefined, "\"w/o x, y\",Scans,pixel AUROC,,,0,");
}

#[test]
fn likeness_of_experts_is_a_column_where_there_are_any() {
    let plain = method("CLIP", [0.5, 0.5], 0.5, 0.5);
    let none = MethodResults { similarity: vec![None], ..plain.clone() };
    let text = Comparison::new("t", &datasets(), std::slice::from_ref(&none)).to_string();
    assert!(!text.contains("cosine"), "nobody has experts: {text}");
    let failed = method("failed", [0.5, 0.5], 0.5, 0.5);
    let both = MethodResults {
        similarity: vec![Some(0.125), Some(-0.125)],
        published_similarity: Some(0.02),
        ..method("experts", [0.5, 0.5], 0.5, 0.5)
    };
    let table = Comparison::new("t", &datasets(), &[none, failed, both]);
    let text = table.to_string();
    let ends = |at: usize, end: &str| {
        let line = text.lines().nth(at).unwrap();
        assert!(line.ends_with(end), "{at}: {text}");
    };
    ends(1, "Experts' cosine");
    ends(2, "  n/a");
    ends(4, "  -");
    ends(6, "  0.00±0.18");
    ends(7, "  0.02");
    let csv = table.csv().unwrap();
    assert!(csv.contains("\nCLIP,,experts' cosine,,,0,\n"), "{csv}");
    assert!(csv.contains("\nfailed,,experts' cosine,-,,0,\n"), "{csv}");
    assert!(csv.ends_with("experts,,experts' cosine,0.0000,0.1768,2,0.0200\n"), "{csv}");
    assert!(table.markdown().contains(" | 0.00±0.18 |"), "{}", table.markdown());
}

#[test]
fn its_files_are_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [method("<all> & more", [0.925, 0.939], 0.966, 0.854)];
    let table = Comparison::new("Both", &datasets(), &rows);
    table.write(folder.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let first = ["table.md", "table.csv", "table.json", "table.svg"].map(read);
    table.write(folder.path()).unwrap();
    assert_eq!(first, ["table.md", "table.csv", "table.json", "table.svg"].map(read));
    let json: serde_json::Value = serde_json::from_str(&first[2]).unwrap();
    assert_eq!(json["rows"][0]["entries"][0]["pixel"]["measured"]["runs"], 1);
    let svg = &first[3];
    assert!(svg.starts_with("<svg") && svg.contains("92.5") && svg.contains("n/a"));
    assert!(svg.contains("&lt;all&gt; &amp; more"), "names are text, not markup");
    let missing = table.write(&folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("table.json: cannot write"), "{missing}");
}
