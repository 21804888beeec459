//! A method that MoECLIP is compared with, from end to end: trained, taken up, measured, calibrated, looked
//! with and refused by name; and one that is trained on nothing and shown references.

use std::fs;
use std::path::Path;

use crate::{complaint, error_line, json_of, xtask};

const CLIP: [&str; 2] = ["--clip", "demo/clip.safetensors"];
const APRIL: [&str; 4] = ["--method", "april-gan", "--adapter", "april.safetensors"];
const WIN: [&str; 4] = ["--method", "winclip", "--config", "win.toml"];

/// The command on the demo's CLIP.
fn on_clip<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    [&parts.concat()[..], &CLIP].concat()
}

fn goes_well(args: &[&str], folder: &Path) {
    let output = xtask(args, folder);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn methods_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    goes_well(&["demo", "--world", "plain", "--out", "demo", "--steps", "1"], folder);
    let settings = "image_size = 112\ntaps = [2, 4]\nmemory_taps = [4]\n";
    let training = "stages = [{ epochs = 2, batch-size = 4 }]\nbeta-1 = 0.5\nbeta-2 = 0.999\n";
    let april =
        format!("method = \"april-gan\"\n[settings]\n{settings}[training]\n{training}seed = 3\n");
    fs::write(folder.join("april.toml"), april).unwrap();
    let win = "method = \"winclip\"\n[settings]\nimage_size = 112\n";
    fs::write(folder.join("win.toml"), win).unwrap();
    it_is_trained_and_taken_up(folder);
    it_is_measured_calibrated_and_looked_with(folder);
    references_are_shown_and_never_measured(folder);
    what_does_not_fit_is_refused(folder);
}

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "--method", "april-gan", "--config", "april.toml"];
    on_clip(&[&fixed, &["--data", "demo/auxiliary", "--out", out], more])
}

fn it_is_trained_and_taken_up(folder: &Path) {
    goes_well(&train("april.safetensors", &["--steps", "4"]), folder);
    let saved = ["--checkpoints", "saved", "--steps", "2"];
    goes_well(&train("half.safetensors", &saved), folder);
    let resumed = ["--checkpoints", "saved", "--steps", "4", "--resume"];
    goes_well(&train("resumed.safetensors", &resumed), folder);
    let [straight, resumed] = ["april.safetensors", "resumed.safetensors"]
        .map(|file| fs::read(folder.join(file)).unwrap());
    assert_eq!(straight, resumed);
    assert_ne!(straight, fs::read(folder.join("half.safetensors")).unwrap());
    assert!(folder.join("saved/log/metrics.jsonl").exists());
}

fn it_is_measured_calibrated_and_looked_with(folder: &Path) {
    let unseen = ["--data", "demo/unseen"];
    let evaluated = json_of(&on_clip(&[&["eval", "--json"], &APRIL, &unseen]), folder);
    assert!(evaluated["reports"][0].is_object(), "{evaluated}");
    let bounds =
        ["--split", "test", "--fpr", "0.4", "--pixel-fpr", "0.4", "--out", "known.safetensors"];
    goes_well(&on_clip(&[&["calibrate"], &APRIL, &unseen, &bounds]), folder);
    let known = ["--method", "april-gan", "--adapter", "known.safetensors"];
    let looked = ["predict", "demo/auxiliary", "--out", "maps"];
    goes_well(&on_clip(&[&looked, &known]), folder);
    let lines = fs::read_to_string(folder.join("maps/predictions.jsonl")).unwrap();
    assert!(lines.lines().next().unwrap().contains("\"verdict\""), "{lines}");
}

fn references_are_shown_and_never_measured(folder: &Path) {
    let unseen = ["--data", "demo/unseen"];
    let alone = json_of(&on_clip(&[&["eval", "--json"], &WIN, &unseen]), folder);
    let others = ["--references", "demo/auxiliary/weave/test/good", "--shots", "2"];
    let shown = json_of(&on_clip(&[&["eval", "--json"], &WIN, &unseen, &others]), folder);
    assert_ne!(alone["reports"], shown["reports"], "references change what is seen");
    let own = ["--references", "demo/unseen/speckle/test/good", "--shots", "1"];
    let refused = error_line(&on_clip(&[&["eval"], &WIN, &unseen, &own]), folder);
    assert!(refused.contains("which are to be measured"), "{refused}");
    let known = ["--method", "april-gan", "--adapter", "known.safetensors"];
    let beside = error_line(&on_clip(&[&["eval"], &known, &unseen, &others]), folder);
    assert!(beside.contains("calibrated without reference images"), "{beside}");
    let aside = ["--uncalibrated"];
    goes_well(&on_clip(&[&["eval"], &known, &unseen, &others, &aside]), folder);
    let kept = error_line(&on_clip(&[&["calibrate"], &APRIL, &unseen, &others]), folder);
    assert!(kept.contains("knows no reference images"), "{kept}");
    let many = ["--references", "demo/auxiliary/weave/test/good", "--shots", "999"];
    let refused = error_line(&on_clip(&[&["eval"], &WIN, &unseen, &many]), folder);
    assert!(refused.contains("--shots asks for 999"), "{refused}");
}

fn what_does_not_fit_is_refused(folder: &Path) {
    let unseen = ["--data", "demo/unseen"];
    let cases: [(Vec<&str>, &str); 8] = [
        (on_clip(&[&["eval"], &APRIL, &["--data", "demo/auxiliary"]]), "was trained on"),
        (
            on_clip(&[&["eval", "--adapter", "april.safetensors"], &unseen]),
            "holds the weights of april-gan; give --method april-gan",
        ),
        (
            on_clip(&[&["eval", "--method", "adaclip", "--adapter", "april.safetensors"], &unseen]),
            "holds the weights of april-gan, not of adaclip",
        ),
        (
            on_clip(&[&["eval", "--method", "april-gan"], &unseen]),
            "the weights of april-gan are missing; give --adapter FILE",
        ),
        (
            on_clip(&[&["eval", "--method", "winclip", "--adapter", "april.safetensors"], &unseen]),
            "winclip has no weights of its own",
        ),
        (
            train("x.safetensors", &["--taps", "1,2"]),
            "--taps is for MoECLIP's adapters; write settings of april-gan into --config",
        ),
        (
            on_clip(&[
                &["train", "--method", "winclip", "--out", "x.safetensors"],
                &["--data", "demo/auxiliary"],
            ]),
            "winclip: has no weights of its own to train",
        ),
        (
            vec![
                "convert-adapter",
                "--method",
                "anomalyclip",
                "demo/adapter.safetensors",
                "x.safetensors",
            ],
            "holds no weights of anomalyclip",
        ),
    ];
    for (args, said) in cases {
        let error = complaint(&args, folder);
        assert!(error.contains(said), "{args:?}: {error}");
    }
    assert!(!folder.join("x.safetensors").exists());
}
