//! A grid from end to end, on the demo's small CLIP: a cell that fails beside cells that do not, a
//! grid that was killed in a training, and one clear line for every mistake that only a look at CLIP
//! and data shows.

use std::path::Path;
use std::process::{Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{command, complaint, xtask};

/// Three cells that are trained, one of them with a tap that the tower does not have, and CLIP.
const GRID: &str = r#"
title = "Four cells"
evaluate = ["demo/unseen"]
[base.data]
name = "demo/auxiliary"
[base.model]
image-size = 112
[base.training]
epochs = 3
batch-size = 4
[[cells]]
name = "CLIP"
method = "clip"
published."demo/unseen" = { pixel = 38.4, image = 74.1 }
[[cells]]
name = "a tap past the tower"
set = ["model.taps=[99]"]
[[cells]]
name = "all of it"
published."demo/unseen" = { image = 93.9 }
[[cells]]
name = "w/o PAA"
set = ["model.scales=[1]"]
"#;

const TABLE: [&str; 4] = ["table.md", "table.csv", "table.json", "table.svg"];

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The command line of a grid in a folder of its own, one checkpoint a step.
fn line(out: &str) -> Vec<&str> {
    let grid = ["ablate", "grid.toml", "--clip", "demo/clip.safetensors", "--out", out];
    [&grid[..], &["--activation", "quick-gelu", "--checkpoint-every", "1"]].concat()
}

fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let demo = xtask(&["demo", "--world", "plain", "--out", "demo", "--steps", "1"], folder.path());
    assert!(demo.status.success(), "{}", stderr(&demo));
    std::fs::write(folder.path().join("grid.toml"), GRID).unwrap();
    folder
}

#[test]
fn a_grid_that_was_killed_ends_as_one_that_was_not() {
    let folder = prepared();
    let folder = folder.path();
    undisturbed(folder);
    killed_in_a_training(folder);
    let again = goes_on(folder);
    assert!(again.contains("CLIP: is done and unchanged"), "{again}");
    assert!(again.contains("resumed after step"), "{again}");
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let adapter = "all-of-it/seed-0/adapter.safetensors";
    assert_eq!(bytes(&format!("one/{adapter}")), bytes(&format!("two/{adapter}")));
    for file in TABLE {
        assert_eq!(bytes(&format!("one/{file}")), bytes(&format!("two/{file}")), "{file}");
    }
    what_is_done_is_not_done_again(folder);
    states_and_table_on_demand(folder);
    what_changed_is_made_again(folder);
    mistakes_are_one_line(folder);
}

fn undisturbed(folder: &Path) {
    let output = xtask(&line("one"), folder);
    let (said, table) = (stderr(&output), stdout(&output));
    assert_eq!(output.status.code(), Some(1), "a cell failed: {said}");
    assert!(said.contains("error: 1 of 4 runs failed: a tap past the tower, seed 0"), "{said}");
    let failure = "failed: a tap past the tower: seed 0, training: taps = [99] must be ascending";
    assert!(table.contains(failure), "{table}");
    assert!(table.contains("74.1") && table.contains("Average"), "{table}");
    let numbers =
        table.lines().filter(|line| line.contains(" / ") && !line.contains("  published"));
    assert!(numbers.count() >= 3, "three cells have numbers: {table}");
    for file in TABLE {
        assert!(folder.join("one").join(file).exists(), "{file}");
    }
    let log = std::fs::read_to_string(folder.join("one/w-o-paa/seed-0/log.txt")).unwrap();
    assert!(log.contains("== training") && log.contains("== measuring demo/unseen"), "{log}");
}

/// SIGKILL while the third cell is trained.
fn killed_in_a_training(folder: &Path) {
    let mut grid = command(&line("two"), folder);
    let mut grid = grid.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let checkpoints = folder.join("two/all-of-it/seed-0/checkpoints");
    let start = Instant::now();
    let has_step = || {
        let entries = std::fs::read_dir(&checkpoints).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("step-")).count() > 0
    };
    while !has_step() {
        assert!(start.elapsed() < Duration::from_secs(300), "no checkpoint after five minutes");
        assert!(grid.try_wait().unwrap().is_none(), "the grid ended before it was killed");
        sleep(Duration::from_millis(20));
    }
    grid.kill().unwrap();
    grid.wait().unwrap();
    assert!(!folder.join("two/table.md").exists());
}

/// The same command, as soon as the training that was left behind has ended.
fn goes_on(folder: &Path) -> String {
    let start = Instant::now();
    loop {
        let output = xtask(&line("two"), folder);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        if !said.contains("is at work here") {
            assert!(said.contains("1 of 4 runs failed"), "{said}");
            return said;
        }
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(start.elapsed() < Duration::from_secs(300), "{said}");
        sleep(Duration::from_millis(200));
    }
}

fn what_is_done_is_not_done_again(folder: &Path) {
    let written = |name: &str| std::fs::metadata(folder.join(name)).unwrap().modified().unwrap();
    let files = ["one/w-o-paa/seed-0/adapter.safetensors", "one/clip/measured/demo-unseen.json"];
    let before = files.map(written);
    let only = [&line("one")[..], &["--cell", "CLIP", "--cell", "w/o PAA"]].concat();
    let output = xtask(&only, folder);
    assert!(output.status.success(), "no cell that was asked for fails: {}", stderr(&output));
    assert!(stderr(&output).contains("[2/2] w/o PAA, seed 0: is done and unchanged"));
    assert_eq!(files.map(written), before);
}

fn states_and_table_on_demand(folder: &Path) {
    let ask = |args: &[&str]| {
        let output = xtask(&[&["ablate", "grid.toml", "--out", "one"], args].concat(), folder);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let listed = ask(&["--list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("CLIP") && lines[0].ends_with("  done"), "{listed}");
    assert!(lines[1].contains("failed: training: taps = [99]"), "{listed}");
    let changed = ask(&["--list", "--set", "training.epochs=4"]);
    assert!(changed.lines().last().unwrap().contains("changed since it was made"), "{changed}");
    let json: serde_json::Value = serde_json::from_str(ask(&["--table", "--json"]).trim()).unwrap();
    assert_eq!(json["columns"], serde_json::json!(["demo/unseen", "Average"]));
    assert_eq!(json["rows"][1]["entries"][0]["pixel"], "missing");
    assert!(json["rows"][3]["entries"][0]["image"]["measured"]["mean"].as_f64().unwrap() <= 1.0);
}

fn what_changed_is_made_again(folder: &Path) {
    let changed = ["--cell", "w/o PAA", "--set", "training.epochs=1"];
    let output = xtask(&[&line("one")[..], &changed].concat(), folder);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("was made of other settings, data or CLIP"), "{said}");
    assert!(folder.join("one/w-o-paa/seed-0.before-1/adapter.safetensors").exists());
    assert!(folder.join("one/w-o-paa/seed-0/adapter.safetensors").exists());
}

fn mistakes_are_one_line(folder: &Path) {
    let refused = |grid: &str, args: &[&str]| {
        std::fs::write(folder.join("wrong.toml"), grid).unwrap();
        let always = ["ablate", "wrong.toml", "--out", "wrong"];
        complaint(&[&always[..], args].concat(), folder)
    };
    let clip = ["--clip", "demo/clip.safetensors"];
    let unknown = refused(
        &GRID
            .replace("[\"demo/unseen\"]", "[\"nowhere\"]")
            .replace("published.\"demo/unseen\"", "#"),
        &clip,
    );
    assert!(unknown.contains("nowhere: no such path, and no known dataset"), "{unknown}");
    let same = GRID.replace("\"demo/unseen\"", "\"demo/../demo/auxiliary/../auxiliary\"");
    let same = refused(&same, &clip);
    assert!(same.contains("that it is trained on"), "{same}");
    let cell = refused(GRID, &[&clip[..], &["--cell", "PAA"]].concat());
    assert!(cell.contains("--cell \"PAA\": the grid has no such cell; it has CLIP"), "{cell}");
    let misspelt = refused(&GRID.replace("scales", "scals"), &clip);
    assert!(misspelt.contains("cell \"w/o PAA\"") && misspelt.contains("did you mean scales?"));
    let no_clip = refused(GRID, &["--clip", "nowhere.safetensors"]);
    assert!(no_clip.contains("nowhere.safetensors"), "{no_clip}");
    let set = refused(GRID, &[&clip[..], &["--set", "training.epochs=none"]].concat());
    assert!(set.contains("--set training.epochs=none: training.epochs"), "{set}");
    assert!(!folder.join("wrong/clip").exists(), "nothing was begun");
    let output = xtask(&["ablate", "wrong.toml"], folder);
    assert_eq!(output.status.code(), Some(2), "--clip is missing");
}
