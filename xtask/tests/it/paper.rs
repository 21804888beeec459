//! The paper's numbers as this repository has them: the same as they were handed over, and its
//! averages made as ours are.

use std::fs;
use std::path::Path;

use moeclip_data::Descriptor;
use moeclip_eval::report::{Level, Pair, Published};
use serde_json::Value;

fn published() -> Published {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/paper.toml");
    toml::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn percent(pair: &Pair) -> [f64; 2] {
    [pair.auroc, pair.ap].map(|number| (1000.0 * number.unwrap()).round() / 10.0)
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_have_the_same_numbers_of_the_paper() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/paper.json");
    let text = fs::read_to_string(&file).unwrap();
    let (paper, published): (Value, _) = (serde_json::from_str(&text).unwrap(), published());
    assert_eq!(serde_json::to_value(published.methods()).unwrap(), paper["methods"]);
    assert_eq!(
        published.source(),
        paper["source"].as_str().unwrap().split(". Pairs").next().unwrap().to_owned() + "."
    );
    for level in Level::ALL {
        let table = paper[level.name()].as_object().unwrap();
        assert_eq!(published.datasets(level).count() + 1, table.len(), "{level:?}");
        for (dataset, row) in table {
            let ours: Vec<[f64; 2]> =
                published.on(level, dataset).unwrap().iter().map(percent).collect();
            assert_eq!(serde_json::to_value(ours).unwrap(), *row, "{level:?}, {dataset}");
        }
    }
    let table = &paper["ablation_pixel_image_auroc"];
    assert_eq!(published.ablation().len() + 1, table.as_object().unwrap().len());
    for row in published.ablation() {
        let pairs = row.auroc.iter().map(|entry| serde_json::json!([entry.pixel, entry.image]));
        assert_eq!(Value::Array(pairs.collect()), table[&row.method], "{}", row.method);
        let names = row.auroc.iter().map(|entry| entry.dataset.clone().into());
        assert_eq!(Value::Array(names.collect()), table["columns"], "{}", row.method);
    }
    let similarity = serde_json::to_value(published.expert_similarity()).unwrap();
    assert_eq!(similarity, paper["expert_cosine_similarity"]);
}

#[test]
fn published_averages_are_means_over_the_datasets_that_the_table_lists() {
    let published = published();
    for level in Level::ALL {
        let datasets: Vec<&str> = published.datasets(level).collect();
        let rows: Vec<Vec<Pair>> =
            datasets.iter().map(|dataset| published.on(level, dataset).unwrap()).collect();
        for (method, average) in published.average(level).unwrap().iter().enumerate() {
            let mean = |number: fn(&Pair) -> Option<f64>| {
                let sum: f64 = rows.iter().map(|row| number(&row[method]).unwrap()).sum();
                100.0 * sum / rows.len() as f64
            };
            let ours = [mean(|pair| pair.auroc), mean(|pair| pair.ap)];
            for (ours, theirs) in ours.into_iter().zip(percent(average)) {
                // Both sides are rounded.
                assert!((ours - theirs).abs() < 0.11, "{level:?}, {method}: {ours} {theirs}");
            }
        }
    }
}

#[test]
fn every_dataset_of_the_tables_is_one_of_the_catalogue_and_none_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
    let described = fs::read_dir(folder).unwrap().map(|entry| {
        let file = entry.unwrap().path();
        Descriptor::parse(&fs::read_to_string(&file).unwrap(), &file).unwrap().name
    });
    let described: std::collections::BTreeSet<String> = described.collect();
    let published = published();
    let listed = Level::ALL.iter().flat_map(|level| published.datasets(*level));
    assert_eq!(described, listed.map(str::to_owned).collect());
}
