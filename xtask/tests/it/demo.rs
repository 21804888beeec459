//! The demo as a newcomer meets it, cut down: killed and given again it goes on, its report stands alone,
//! and a folder of another demo is refused.

use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::command;

const DEMO: [&str; 8] = ["demo", "--out", "demo", "--steps", "3", "--per-category", "4", "--json"];

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Everything on the page but how long it took.
fn report(folder: &Path) -> String {
    let page = std::fs::read_to_string(folder.join("demo/report.html")).unwrap();
    let (before, times) = page.split_once("Time, added up over workers and sittings").unwrap();
    assert!(times.contains("making the world") && times.contains("training"));
    before.to_owned()
}

fn finished(folder: &Path) -> serde_json::Value {
    let done = command(&DEMO, folder).output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
    let last = String::from_utf8(done.stdout).unwrap();
    serde_json::from_str(last.lines().last().unwrap()).unwrap()
}

/// Every file and folder below `folder`, itself included.
#[cfg(unix)]
fn everything(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| if path.is_dir() { everything(&path) } else { vec![path] });
    std::iter::once(folder.to_owned()).chain(below).collect()
}

/// Other accounts may read what a run leaves as far as the umask lets them: TensorBoard is often one.
#[cfg(unix)]
fn check_modes(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let ordinary = tempfile::tempdir().unwrap();
    let (file, directory) = (ordinary.path().join("file"), ordinary.path().join("folder"));
    std::fs::File::create(&file).unwrap();
    std::fs::create_dir(&directory).unwrap();
    let all = everything(folder);
    for name in ["metrics.jsonl", "metrics.csv", "events.out.tfevents.run", "loss.svg"] {
        assert!(all.iter().any(|path| path.ends_with(name)), "no {name}");
    }
    for path in all {
        let expected = mode(if path.is_dir() { &directory } else { &file });
        assert_eq!(mode(&path), expected, "{}: mode {:o}", path.display(), mode(&path));
    }
}

#[test]
fn a_killed_demo_goes_on_and_ends_in_the_same_report() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let printed = finished(whole.path());
    assert_eq!(printed["methods"].as_array().unwrap().len(), 4);
    let mean = &printed["methods"][0]["mean"];
    assert!(mean["pixel_auroc"].is_f64() && mean["image_auroc"].is_f64(), "{mean}");

    let mut child = command(&DEMO, killed.path());
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let world = killed.path().join("demo/world/test/dataset.toml");
    let start = Instant::now();
    while !world.exists() && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.path().join("demo/report.html").exists());
    let written = || world.metadata().unwrap().modified().unwrap();
    let before = written();
    finished(killed.path());
    assert_eq!(before, written(), "the world was there already");
    #[cfg(unix)]
    check_modes(&whole.path().join("demo"));
    let page = report(whole.path());
    assert_eq!(page, report(killed.path()));
    for outside in ["http:", "https:", "<script", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for method in ["CLIP alone", "local contrast", "picture statistics"] {
        assert!(page.contains(method), "{method}");
    }
    assert!(page.contains("cargo xtask demo --seed 0 --per-category 4 --steps 3"));
    assert!(page.contains("configs/demo.toml, but 3 steps"));

    let other = command(&[&DEMO[..], &["--seed", "9"]].concat(), whole.path()).output().unwrap();
    assert!(!other.status.success());
    let line = stderr(&other);
    assert!(line.contains("holds a demo of --seed 0 --per-category 4 and the CLIP"), "{line}");
}
