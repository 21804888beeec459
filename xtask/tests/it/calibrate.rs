//! A calibration's way through the program: measured on normal images, stored with the adapters, used
//! by `eval`, `predict` and `inspect`, and refused where it does not hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use synthetic_world::{Surface, SyntheticSet, write_synthetic};

use crate::{complaint, xtask};

const CLIP: [&str; 2] = ["--clip", "demo/clip.safetensors"];
const ADAPTER: [&str; 2] = ["--adapter", "demo/adapter.safetensors"];
/// Rates that twenty images are enough for.
const RATES: [&str; 4] = ["--fpr", "0.1", "--pixel-fpr", "0.1"];

/// What a command that goes well prints: stdout and stderr.
fn printed(args: &[&str], folder: &Path) -> [String; 2] {
    let Output { status, stdout, stderr } = xtask(args, folder);
    let printed = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(status.success(), "{args:?}: {}", printed[1]);
    printed
}

fn json(args: &[&str], folder: &Path) -> Value {
    let [stdout, _] = printed(&[args, &["--json"]].concat(), folder);
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

fn with_model<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &CLIP[..], &ADAPTER[..]].concat()
}

fn calibrate<'a>(args: &[&'a str]) -> Vec<&'a str> {
    with_model(&[&["calibrate"][..], args, &RATES[..]].concat())
}

/// What follows the header of a safetensors file.
fn elements(path: &Path) -> Vec<u8> {
    let mut file = fs::read(path).unwrap();
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file.split_off(8 + length)
}

#[test]
fn a_calibration_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    printed(&["demo", "--world", "plain", "--out", "demo", "--steps", "3"], folder);
    let set = SyntheticSet { surface: Surface::Speckle, size: 112, per_kind: 20, seed: 77 };
    write_synthetic(&folder.join("made"), &set).unwrap();
    what_cannot_be_calibrated_is_refused(folder);
    it_is_stored_with_the_adapters(folder);
    a_folder_of_images_gives_the_same(folder);
    eval_has_the_protocol_and_predict_the_same_verdicts(folder);
    where_it_does_not_hold_it_is_refused(folder);
    images_that_were_trained_on_are_told(folder);
}

fn what_cannot_be_calibrated_is_refused(folder: &Path) {
    let before = fs::read(folder.join(ADAPTER[1])).unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    printed(&["convert-adapter", ADAPTER[1], "theirs.pth"], folder);
    let made = ["--data", "made", "--split", "test"];
    let good = ["--data", "made/speckle/test/good", "--class", "speckle"];
    let cases: [(Vec<&str>, &str); 12] = [
        (with_model(&[&["calibrate"][..], &made].concat()), "20 normal images are too few"),
        (with_model(&[&["calibrate"][..], &made].concat()), "at least 99 are needed"),
        (
            with_model(&[&["calibrate", "--fpr", "0.1"][..], &made].concat()),
            "--pixel-fpr is 0.01 (0.01 where it is not given): 20 normal images are too few",
        ),
        (calibrate(&["--data", "made"]), "--split"),
        (calibrate(&["--data", "made/speckle/test/good"]), "--class NAME"),
        (calibrate(&["--data", "empty", "--class", "nut"]), "no normal images"),
        (calibrate(&["--data", "nowhere", "--class", "nut"]), "nowhere"),
        (
            calibrate(&["--data", "made/speckle/test/stain", "--class", "a", "--anomalous", "."]),
            "--split",
        ),
        (
            calibrate(&[
                "--data",
                "made/speckle/test/stain",
                "--class",
                "a",
                "--anomalous",
                ".",
                "--split",
                "test",
            ]),
            "all 20 images of the split test are anomalous",
        ),
        (calibrate(&[&good[..], &["--out", "no/x"]].concat()), "no/x: cannot be written"),
        (
            [&["calibrate"][..], &good, &CLIP, &RATES, &["--adapter", "theirs.pth"]].concat(),
            "in the authors' format",
        ),
        (with_model(&[&["calibrate", "--fpr", "1"][..], &good].concat()), "image_fpr = 1"),
    ];
    for (args, says) in &cases {
        let refused = complaint(args, folder);
        assert!(refused.contains(says), "{args:?}: {refused}");
    }
    assert_eq!(fs::read(folder.join(ADAPTER[1])).unwrap(), before, "the adapters are as they were");
}

fn it_is_stored_with_the_adapters(folder: &Path) {
    let path = folder.join(ADAPTER[1]);
    fs::copy(&path, folder.join("plain.safetensors")).unwrap();
    let before = elements(&path);
    let args = calibrate(&["--data", "made", "--split", "test"]);
    let calibrated = json(&args, folder)["calibration"].clone();
    assert_eq!(elements(&path), before, "tensors, to the byte");
    let images = &calibrated["images"];
    assert_eq!(images["data"]["images"].as_array().unwrap().len(), 20);
    assert_eq!((&images["split"], &images["classes"][0]), (&"test".into(), &"speckle".into()));
    assert_eq!(images["trained_on"], 0);
    let threshold = &calibrated["image_threshold"];
    assert!(
        threshold["value"].as_f64().unwrap() <= 1.0,
        "the highest calibrated score is 1 at most"
    );
    // Of 20 images one may be above: the rate is a beta variable of 2 and 19.
    let high = threshold["fpr"]["high"].as_f64().unwrap();
    assert!((high - 0.248_7).abs() < 1e-3, "{threshold}");

    let bytes = fs::read(&path).unwrap();
    let [words, notes] = printed(&args, folder);
    assert!(words.contains("calibrated on      20 normal images of made (test)"), "{words}");
    assert!(notes.contains("note: 40 anomalous images are left out"), "{notes}");
    assert!(notes.contains("images 20/20"), "progress: {notes}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "the same again gives the same bytes");
    assert_eq!(json(&["inspect", ADAPTER[1]], folder)["calibration"], calibrated);
    let [words, _] = printed(&["inspect", ADAPTER[1]], folder);
    assert!(words.contains("for an FPR of 10 %"), "{words}");
}

fn a_folder_of_images_gives_the_same(folder: &Path) {
    let own =
        ["--data", "made/speckle/test/good", "--class", "speckle", "--out", "own.safetensors"];
    let own = json(&calibrate(&own), folder)["calibration"].clone();
    let stored = json(&["inspect", ADAPTER[1]], folder)["calibration"].clone();
    for measured in ["map", "image", "image_threshold", "pixel_threshold", "conditions"] {
        assert_eq!(own[measured], stored[measured], "{measured}");
    }
    assert_eq!(own["images"]["data"]["name"], "good");
}

fn eval_has_the_protocol_and_predict_the_same_verdicts(folder: &Path) {
    let args = with_model(&["eval", "--data", "demo/unseen", "--save-maps", "maps"]);
    let reports = json(&args, folder)["reports"].clone();
    let protocols: Vec<&Value> =
        reports.as_array().unwrap().iter().map(|report| &report["protocol"]).collect();
    assert_eq!(protocols, ["paper", "raw", "deployed"]);
    let deployed = &reports[2];
    assert_eq!(deployed["calibration"]["data"], "made");
    let decisions = &deployed["classes"][0]["decisions"];

    let out = ["predict", "demo/unseen", "--out", "pictures"];
    let [words, _] = printed(&with_model(&out), folder);
    let lines = |file: &str, key: &str| -> BTreeMap<String, Value> {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| (line[key].as_str().unwrap().to_owned(), line)).collect()
    };
    let (saved, predicted) =
        (lines("maps/images.jsonl", "image"), lines("pictures/predictions.jsonl", "path"));
    assert_eq!(saved.len(), 12);
    let mut called = 0;
    for (path, line) in &saved {
        let prediction = &predicted[path];
        assert_eq!(prediction["calibrated_score"], line["scores"]["deployed"], "{path}");
        let number = |key: &str| prediction[key].as_f64().unwrap();
        let above = number("calibrated_score") > number("threshold");
        assert_eq!(prediction["verdict"], if above { "anomalous" } else { "normal" });
        assert!((0.0..=1.0).contains(&number("anomalous_share")));
        called += usize::from(above && line["anomalous"] == true);
    }
    assert_eq!(decisions["image_tpr"].as_f64().unwrap(), called as f64 / 8.0);
    assert!(words.contains("anomalous, by a calibrated score above"), "{words}");
    let note = printed(
        &with_model(&["predict", "demo/unseen", "--class", "nut", "--out", "nuts"]),
        folder,
    );
    assert!(note[1].contains("calibrated on images of speckle, not of nut"), "{}", note[1]);
}

fn where_it_does_not_hold_it_is_refused(folder: &Path) {
    let eval = ["eval", "--data", "demo/unseen"];
    let cases: [(Vec<&str>, &str); 6] = [
        (with_model(&[&eval[..], &["--domain", "medical"]].concat()), "industrial, not medical"),
        (with_model(&[&eval[..], &["--precision", "bf16"]].concat()), "F32, not BF16"),
        (
            with_model(&["predict", "demo/unseen", "--out", "x", "--domain", "medical"]),
            "not medical; calibrate for that, or go without (--uncalibrated)",
        ),
        (with_model(&[&eval[..], &["--bits", "12"]].concat()), "the bits of 16-bit pictures"),
        (
            with_model(&["predict", "demo/unseen", "--out", "x", "--bits", "12"]),
            "the bits of 16-bit pictures",
        ),
        (with_model(&["eval", "--data", "made"]), "was calibrated on 20 of these images"),
    ];
    for (args, says) in &cases {
        let refused = complaint(args, folder);
        assert!(refused.contains(says), "{args:?}: {refused}");
    }
    let without = [&eval[..], &["--domain", "medical", "--uncalibrated"]].concat();
    let reports = json(&with_model(&without), folder)["reports"].clone();
    assert_eq!(reports.as_array().unwrap().len(), 2);
}

/// The auxiliary set is allowed, and said.
fn images_that_were_trained_on_are_told(folder: &Path) {
    let args =
        ["calibrate", "--data", "demo/auxiliary", "--split", "test", "--out", "aux.safetensors"];
    let rates = ["--fpr", "0.2", "--pixel-fpr", "0.2"];
    let [_, notes] = printed(&with_model(&[&args[..], &rates[..]].concat()), folder);
    assert!(notes.contains("trained on 8 of these images"), "{notes}");
    let calibration = &json(&["inspect", "aux.safetensors"], folder)["calibration"];
    assert_eq!(calibration["images"]["trained_on"], 8);
}
