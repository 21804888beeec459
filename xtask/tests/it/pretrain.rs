//! `pretrain` as a user meets it: a run that was ended early goes on to the same file, which opens without
//! options, and what cannot be run is one line.

use std::path::Path;

use serde_json::Value;

use crate::xtask;

/// A run of seconds.
const TINY: &str = "
steps = 4
model = { patch = 8, grid = 4, width = 16, layers = 4, heads = 2, text-width = 16, text-layers = 1, embed = 8 }
pictures = { count = 200, crops = [3, 4] }
batch = { pairs = 4, normal = 2, replaced = 4 }
";

fn works(args: &[&str], folder: &Path) -> Value {
    let output = xtask(args, folder);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one line that a failing command prints.
fn complaint(args: &[&str], folder: &Path) -> String {
    let output = xtask(args, folder);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!((output.status.code(), lines.len()), (Some(1), 1), "{args:?}: {stderr}");
    lines[0].to_owned()
}

#[test]
fn a_run_that_was_ended_goes_on_to_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("tiny.toml"), TINY).unwrap();
    let run = ["pretrain", "--config", "tiny.toml", "--json", "--out"];
    let whole = works(&[&run[..], &["whole.safetensors"]].concat(), folder);
    assert_eq!((&whole["steps"], &whole["interrupted"]), (&4.into(), &false.into()));
    assert!(whole["last"]["held_out"]["total"].as_f64().is_some());

    let kept = ["--checkpoints", "kept"];
    let ended = [&run[..], &["ended.safetensors", "--steps", "2"], &kept[..]].concat();
    assert_eq!(works(&ended, folder)["interrupted"], true);
    let again = complaint(&ended, folder);
    assert!(again.contains("is of an earlier run; give --resume"), "{again}");
    let on = [&run[..], &["on.safetensors", "--resume"], &kept[..]].concat();
    let on = works(&on, folder);
    assert!(folder.join(on["plot"].as_str().unwrap()).is_file());
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(bytes("whole.safetensors") == bytes("on.safetensors"));
    let log = std::fs::read_to_string(folder.join("kept/log/metrics.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 4);

    let opened = ["convert-openclip", "on.safetensors", "canonical.safetensors", "--json"];
    works(&opened, folder);
}

#[test]
fn what_cannot_be_run_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = ["pretrain", "--out", "clip.safetensors"];
    let line = complaint(&[&run[..], &["--config", "no.toml"]].concat(), folder.path());
    assert!(line.contains("no.toml: cannot be read"), "{line}");
    let line = complaint(&[&run[..], &["--set", "stepps=3"]].concat(), folder.path());
    assert!(line.contains("did you mean steps?"), "{line}");
    let line = complaint(&[&run[..], &["--set", "model.heads=5"]].concat(), folder.path());
    assert!(line.contains("vision.heads = 5"), "{line}");
    assert!(!folder.path().join("clip.safetensors").exists());
    let line = complaint(&["pretrain", "--out", "nowhere/clip.safetensors"], folder.path());
    assert!(line.contains("nowhere/clip.safetensors: cannot be written"), "{line}");
}
