//! `pretrain` as a user meets it: a run that was ended early goes on to the same file, which opens without
//! options, and what cannot be run is one line.

use crate::{error_line, json_of};

/// A run of seconds.
const TINY: &str = "
steps = 4
model = { patch = 8, grid = 4, width = 16, layers = 4, heads = 2, text-width = 16, text-layers = 1, embed = 8 }
pictures = { count = 200, crops = [3, 4] }
batch = { pairs = 4, normal = 2, replaced = 4 }
";

#[test]
fn a_run_that_was_ended_goes_on_to_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("tiny.toml"), TINY).unwrap();
    let run = ["pretrain", "--config", "tiny.toml", "--json", "--out"];
    let whole = json_of(&[&run[..], &["whole.safetensors"]].concat(), folder);
    assert_eq!((&whole["steps"], &whole["interrupted"]), (&4.into(), &false.into()));
    assert!(whole["last"]["held_out"]["total"].as_f64().is_some());

    let kept = ["--checkpoints", "kept"];
    let ended = [&run[..], &["ended.safetensors", "--steps", "2"], &kept[..]].concat();
    assert_eq!(json_of(&ended, folder)["interrupted"], true);
    let again = error_line(&ended, folder);
    assert!(again.contains("is of an earlier run; give --resume"), "{again}");
    let on = [&run[..], &["on.safetensors", "--resume"], &kept[..]].concat();
    let on = json_of(&on, folder);
    assert!(folder.join(on["plot"].as_str().unwrap()).is_file());
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(bytes("whole.safetensors") == bytes("on.safetensors"));
    let log = std::fs::read_to_string(folder.join("kept/log/metrics.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 4);

    let opened = ["convert-openclip", "on.safetensors", "canonical.safetensors", "--json"];
    json_of(&opened, folder);
}

#[test]
fn what_cannot_be_run_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = ["pretrain", "--out", "clip.safetensors"];
    let line = error_line(&[&run[..], &["--config", "no.toml"]].concat(), folder.path());
    assert!(line.contains("no.toml: cannot be read"), "{line}");
    let line = error_line(&[&run[..], &["--set", "stepps=3"]].concat(), folder.path());
    assert!(line.contains("did you mean steps?"), "{line}");
    let line = error_line(&[&run[..], &["--set", "model.heads=5"]].concat(), folder.path());
    assert!(line.contains("vision.heads = 5"), "{line}");
    assert!(!folder.path().join("clip.safetensors").exists());
    let line = error_line(&["pretrain", "--out", "nowhere/clip.safetensors"], folder.path());
    assert!(line.contains("nowhere/clip.safetensors: cannot be written"), "{line}");
}
