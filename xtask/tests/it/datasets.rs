//! Datasets as a user meets them: found by name or path, verified, shown, and refused in one line.

use std::path::{Path, PathBuf};
use std::process::Command;

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

use crate::{command, complaint, xtask};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn works(args: &[&str], folder: &Path) -> String {
    let output = xtask(args, folder);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn json(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn save(path: PathBuf, picture: impl Fn(&Path)) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture(&path);
}

/// Two normal and two scratched gears, each a picture of its own, the scratches with masks.
fn gears(folder: &Path) {
    for number in 0..4u8 {
        let kind = if number < 2 { "ok" } else { "scratched" };
        let picture = RgbImage::from_fn(24, 20, |x, y| Rgb([number * 50, x as u8 * 9, y as u8]));
        let image = folder.join(format!("gears/{kind}/{number}.png"));
        save(image, |path| picture.save(path).unwrap());
    }
    for number in 2..4 {
        let mask = GrayImage::from_fn(24, 20, |x, _| Luma([if x < 5 { 255 } else { 0 }]));
        let file = folder.join(format!("gears/masks/scratched/{number}.png"));
        save(file, |path| mask.save(path).unwrap());
    }
}

fn own_tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    gears(folder.path());
    folder
}

const FLAGS: [&str; 8] =
    ["--normal", "ok", "--anomalous", "scratched", "--masks", "masks", "--class", "steel gear"];

#[test]
fn a_tree_of_ones_own_is_described_by_flags_or_by_five_lines() {
    let folder = own_tree();
    let flags = works(
        &[&["datasets", "verify", "gears", "--json"][..], &FLAGS[..]].concat(),
        folder.path(),
    );
    let report = &json(&flags)[0];
    assert_eq!(report["classes"][0]["normal"], 2, "{report}");
    assert_eq!(report["classes"][0]["anomalous"], 2);
    assert_eq!(report["classes"][0]["prompt"], "steel gear");
    assert_eq!(report["faults"], Value::Array(Vec::new()));

    let five_lines = "name = \"gears\"\n[[layouts]]\nkind = \"folder\"\nnormal = [\"ok\"]\n\
                      anomalous = [\"scratched\"]\nmasks = [\"masks\"]\n";
    std::fs::write(folder.path().join("gears/dataset.toml"), five_lines).unwrap();
    for target in ["gears", "gears/dataset.toml"] {
        let report = &json(&works(&["datasets", "verify", target, "--json"], folder.path()))[0];
        assert_eq!(report["classes"][0]["anomalous"], 2, "{report}");
    }
    let table = works(&["datasets", "verify", "gears"], folder.path());
    assert!(table.contains("gears") && table.contains("no faults"), "{table}");
}

#[test]
fn a_fault_is_named_and_costs_the_exit_code() {
    let folder = own_tree();
    std::fs::write(folder.path().join("gears/ok/0.png"), []).unwrap();
    let args = [&["datasets", "verify", "gears"][..], &FLAGS[..]].concat();
    let output = xtask(&args, folder.path());
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("unreadable") && table.contains("ok/0.png"), "{table}");
    assert!(text(&output.stderr).contains("1 fault"), "{}", text(&output.stderr));
    let output = xtask(&[&args[..], &["--json"][..]].concat(), folder.path());
    assert_eq!(output.status.code(), Some(1));
    let report = &json(&text(&output.stdout))[0];
    assert_eq!(report["faults"][0]["kind"], "unreadable", "{report}");
}

#[test]
fn show_draws_every_class() {
    let folder = own_tree();
    let args = [&["datasets", "show", "gears", "--out", "sheet.png"][..], &FLAGS[..]].concat();
    works(&args, folder.path());
    let sheet = image::open(folder.path().join("sheet.png")).unwrap();
    assert!(sheet.width() > 100 && sheet.height() > 100);
}

#[test]
fn the_data_root_is_told_by_flag_environment_or_file() {
    let folder = tempfile::tempdir().unwrap();
    for root in ["flag", "variable", "file"] {
        let good = folder.path().join(root).join("mvtec_anomaly_detection/bottle/test/good");
        save(good.join("0.png"), |path| RgbImage::new(8, 8).save(path).unwrap());
    }
    let root_of = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        json(&text(&output.stdout))[0].clone()
    };
    let doctor = |extra: &[&str]| command(&[&["doctor", "--json"], extra].concat(), folder.path());
    assert!(root_of(&mut doctor(&[]))["data_root"].is_null());
    std::fs::write(folder.path().join("moeclip.toml"), "data-root = \"file\"").unwrap();
    let told = root_of(&mut doctor(&[]));
    assert_eq!(told["data_root"]["told_by"], "moeclip.toml");
    assert_eq!(told["datasets"][0]["name"], "MVTec-AD", "{told}");
    let told = root_of(doctor(&[]).env("MOECLIP_DATA", "variable"));
    assert_eq!(told["data_root"]["path"], "variable");
    let told = root_of(doctor(&["--data-root", "flag"]).env("MOECLIP_DATA", "variable"));
    assert_eq!(told["data_root"]["told_by"], "--data-root");
    std::fs::write(folder.path().join("moeclip.toml"), "dataroot = 1").unwrap();
    assert!(complaint(&["doctor"], folder.path()).contains("data-root"));
}

#[test]
fn a_known_name_is_found_under_the_data_root_and_held_against_its_counts() {
    let folder = tempfile::tempdir().unwrap();
    let bottle = folder.path().join("data/MVTec AD/bottle/test/good");
    save(bottle.join("0.png"), |path| RgbImage::new(8, 8).save(path).unwrap());
    let listed =
        json(&works(&["datasets", "list", "--data-root", "data", "--json"], folder.path()));
    assert_eq!(listed.len(), 14);
    assert_eq!(listed[0]["name"], "MVTec-AD");
    assert_eq!(listed[0]["path"], "data/MVTec AD");
    assert!(listed[1]["path"].is_null());
    let table = works(&["datasets", "list"], folder.path());
    assert!(table.contains("Kvasir"), "{table}");

    let args = ["datasets", "verify", "mvtec", "--data-root", "data", "--json"];
    let output = xtask(&args, folder.path());
    assert_eq!(output.status.code(), Some(1));
    let report = &json(&text(&output.stdout))[0];
    let kinds: Vec<&str> =
        report["faults"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "missing-class").count(), 14, "{report}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "wrong-count").count(), 1, "{report}");
}

#[test]
fn what_cannot_be_found_is_one_line() {
    let folder = own_tree();
    let refuse = |args: &[&str], says: &str| {
        let line = complaint(&[&["datasets"], args].concat(), folder.path());
        assert!(line.contains(says), "{line}");
    };
    refuse(&["verify", "gear-wheels"], "no known dataset");
    refuse(&["verify", "visa"], "--data-root");
    refuse(&["verify", "visa", "--data-root", "gears"], "obtain VisA from");
    refuse(&["verify", "visa", "--data-root", "nowhere"], "nowhere: the data root");
    refuse(&["verify", "gears"], "none of");
    refuse(&["verify", "gears", "--as", "gearz"], "--as gearz");
    refuse(&["verify", "gears", "--as", "visa"], "not VisA");
    refuse(&["verify", "gears", "--class", "gear"], "--class");
    refuse(&["verify", "gears", "--normal", "okay"], "okay");
    refuse(&["verify", "gears", "--normal", "../gears/ok"], "..");
    refuse(&[&["show", "gears", "--out", "gears/no/x.png"][..], &FLAGS[..]].concat(), "x.png");
    std::fs::write(folder.path().join("gears/dataset.toml"), "name = \"g\"\nroots = 1").unwrap();
    refuse(&["verify", "gears"], "dataset.toml: line 2: unknown field `roots`");
}
