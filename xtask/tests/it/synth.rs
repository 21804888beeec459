//! `datasets synth` as a user meets it: what it writes is a dataset without faults, and it never writes
//! over anything.

use serde_json::Value;

use crate::{error_line, json_of};

const SMALL: [&str; 6] = ["--size", "40", "--per-category", "5", "--train", "1"];

#[test]
fn both_halves_are_datasets_without_faults() {
    let folder = tempfile::tempdir().unwrap();
    let synth = [&["datasets", "synth", "world", "--seed", "4", "--json"][..], &SMALL[..]].concat();
    let written = json_of(&synth, folder.path());
    assert_eq!(written["auxiliary"], 14 * 6);
    assert_eq!(written["test"], 8 * 6);
    for (half, classes, defective) in [("auxiliary", 14, 4), ("test", 8, 2)] {
        let path = format!("world/{half}");
        let found = json_of(&["datasets", "verify", &path, "--json"], folder.path());
        assert_eq!(found["faults"], Value::Array(Vec::new()), "{half}");
        assert_eq!(found["classes"].as_array().unwrap().len(), classes);
        assert_eq!(found["classes"][0]["anomalous"], defective);
    }
    let captions = folder.path().join("world/auxiliary/captions.jsonl");
    let captions = std::fs::read_to_string(captions).unwrap();
    assert_eq!(captions.lines().count(), 14 * 6);
    for line in captions.lines() {
        let caption: Value = serde_json::from_str(line).unwrap();
        let picture = folder.path().join("world/auxiliary").join(caption["path"].as_str().unwrap());
        assert!(picture.is_file(), "{line}");
        assert!(caption["captions"].as_array().unwrap().len() >= 4, "{line}");
    }
    assert!(!folder.path().join("world/test/captions.jsonl").exists());
}

#[test]
fn it_writes_over_nothing_and_says_what_is_out_of_range() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("full")).unwrap();
    std::fs::write(folder.path().join("full/mine.txt"), "mine").unwrap();
    let line = error_line(&["datasets", "synth", "full"], folder.path());
    assert!(line.contains("full: is not empty"), "{line}");
    let line = error_line(&["datasets", "synth", "new", "--size", "9"], folder.path());
    assert!(line.contains("size = 9: use 32 to 2048 pixels"), "{line}");
    let line = error_line(&["datasets", "synth", "new", "--per-category", "1"], folder.path());
    assert!(line.contains("pictures per category = "), "{line}");
    assert!(!folder.path().join("new").exists());
}
