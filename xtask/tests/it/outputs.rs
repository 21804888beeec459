//! Results through the real program: none is read as a picture, none is written over by another, and what
//! a run had done is there after it was killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::xtask;

const MODEL: [&str; 4] =
    ["--clip", "demo/clip.safetensors", "--adapter", "demo/adapter.safetensors"];
const GOOD: &str = "demo/unseen/speckle/test/good";

fn with_model<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &MODEL].concat()
}

/// What a command that goes well prints, errors and notes behind results.
fn succeed(args: &[&str], folder: &Path) -> String {
    let Output { status, stdout, stderr } = xtask(args, folder);
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(status.success(), "{args:?}: {said}");
    said
}

fn complaint(args: &[&str], folder: &Path) -> String {
    let output = xtask(args, folder);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    said.lines().last().unwrap().to_owned()
}

/// The lines of a list, each with a map of its own that is there.
fn lines(out: &Path, folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(out).join("predictions.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut maps: Vec<&str> = lines.iter().map(|line| line["map"].as_str().unwrap()).collect();
    assert!(maps.iter().all(|map| folder.join(map).is_file()), "{maps:?}");
    maps.sort();
    maps.dedup();
    assert_eq!(maps.len(), lines.len());
    lines
}

#[test]
fn results_are_kept_apart_from_pictures_and_from_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&["demo", "--world", "plain", "--out", "demo", "--steps", "3"], folder);
    maps_below_the_images_are_no_images(folder);
    maps_in_a_tree_are_no_class(folder);
    lists_and_descriptions_keep_their_folders(folder);
    a_killed_run_leaves_what_it_had_done(folder);
    what_was_said_of_another_image_stays(folder);
    sheets_replace_nothing_but_sheets(folder);
}

/// Copies the first normal pictures under these names.
fn copy(names: &[&str], folder: &Path) {
    for (number, name) in names.iter().enumerate() {
        let to = folder.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(folder.join(GOOD).join(format!("{number:03}.png")), to).unwrap();
    }
}

fn maps_below_the_images_are_no_images(folder: &Path) {
    copy(&["pics/0.png", "pics/1.png", "pics/2.png"], folder);
    let predict = with_model(&["predict", "pics", "--class", "speckle", "--out", "pics/maps"]);
    for _ in 0..2 {
        succeed(&predict, folder);
        assert_eq!(lines(Path::new("pics/maps"), folder).len(), 3);
    }
    succeed(&with_model(&["explain", "pics/0.png", "--class", "speckle", "--out", "pics"]), folder);
    succeed(&["datasets", "show", "pics", "--normal", ".", "--out", "pics/sheet.png"], folder);
    let calibrate = ["calibrate", "--data", "pics", "--class", "speckle", "--out", "c.safetensors"];
    let rates = ["--fpr", "0.3", "--pixel-fpr", "0.3"];
    let said = succeed(&with_model(&[&calibrate[..], &rates].concat()), folder);
    assert!(said.contains("3 normal images of pics"), "{said}");
}

fn maps_in_a_tree_are_no_class(folder: &Path) {
    let predict = ["predict", "demo/unseen/speckle", "--out", "demo/unseen/maps"];
    succeed(&with_model(&predict), folder);
    assert_eq!(lines(Path::new("demo/unseen/maps"), folder).len(), 12);
    let said = succeed(&["datasets", "verify", "demo/unseen"], folder);
    assert!(said.contains("12 images") && said.contains("no faults"), "{said}");
    let predict = ["predict", "demo/unseen", "--out", "demo/unseen/maps"];
    succeed(&with_model(&predict), folder);
    assert_eq!(lines(Path::new("demo/unseen/maps"), folder).len(), 12);
}

fn lists_and_descriptions_keep_their_folders(folder: &Path) {
    copy(&["data/1/000.png", "data/1/001.png", "data/2/000.png", "data/2/001.png"], folder);
    let list = "image,label,class\n1/000.png,0,x\n1/001.png,0,x\n2/000.png,1,x\n2/001.png,1,x\n";
    fs::write(folder.join("data/list.csv"), list).unwrap();
    fs::create_dir(folder.join("elsewhere")).unwrap();
    let described = "name = \"gears\"\nroot = \"../data\"\n[[layouts]]\nkind = \"folder\"\n\
                     normal = [\"1\"]\nanomalous = [\"2\"]\nclass = \"x\"\n";
    fs::write(folder.join("elsewhere/dataset.toml"), described).unwrap();
    for (out, input) in [("a", "data/list.csv"), ("b", "elsewhere/dataset.toml")] {
        succeed(&with_model(&["predict", input, "--out", out]), folder);
        let lines = lines(Path::new(out), folder);
        assert_eq!(lines.len(), 4);
        for line in lines {
            let inside = line["path"].as_str().unwrap().rsplit("data/").next().unwrap().to_owned();
            assert_eq!(line["map"], format!("{out}/{inside}.map.png"));
        }
    }
}

fn a_killed_run_leaves_what_it_had_done(folder: &Path) {
    let args = with_model(&["predict", "demo/unseen", "--out", "killed", "--json"]);
    let mut run = Command::new(env!("CARGO_BIN_EXE_xtask"));
    run.args(args).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = run.spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let done = lines(Path::new("killed"), folder);
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap(), done[0]);
    succeed(&with_model(&["predict", "demo/unseen", "--out", "killed"]), folder);
    assert_eq!(lines(Path::new("killed"), folder).len(), 12);
}

fn what_was_said_of_another_image_stays(folder: &Path) {
    let explain =
        |image: &'static str| with_model(&["explain", image, "--class", "speckle", "--out", "why"]);
    succeed(&explain("data/1/000.png"), folder);
    succeed(&explain("data/1/000.png"), folder);
    let said = complaint(&explain("data/2/000.png"), folder);
    assert!(said.contains("000.png.experts.json: is of data/1/000.png"), "{said}");
    copy(&["data/1/001.png.experts.png"], folder);
    fs::rename(folder.join("data/1/001.png.experts.png"), folder.join("why/001.png.experts.png"))
        .unwrap();
    let said = complaint(&explain("data/1/001.png"), folder);
    assert!(said.contains("001.png.experts.png: is there, and this program did not"), "{said}");
}

fn sheets_replace_nothing_but_sheets(folder: &Path) {
    let show = |out| ["datasets", "show", "demo/unseen", "--out", out];
    let before = fs::read(folder.join("pics/0.png")).unwrap();
    let said = complaint(&show("pics/0.png"), folder);
    assert!(said.contains("pics/0.png: is there, and this program did not write it"), "{said}");
    assert!(before == fs::read(folder.join("pics/0.png")).unwrap());
    succeed(&show("sheet.png"), folder);
    succeed(&show("sheet.png"), folder);
}
