//! The benchmark from end to end, on all fourteen layouts and the demo's small CLIP: undisturbed, killed
//! twice, with a picture that cannot be read, with data that it was trained on, and with other weights.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{command, complaint, xtask};

/// Every file of numbers; the page also has times.
const TABLES: [&str; 5] = ["table.md", "table.csv", "classes.csv", "table.json", "table.tex"];

const CONFIG: &str = "[model]\nimage-size = 112\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The command line of a benchmark with both methods.
fn line<'a>(root: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let model = ["bench-14", "--clip", "demo/clip.safetensors", "--activation", "quick-gelu"];
    let methods = ["--adapter", "demo/adapter.safetensors", "--methods", "moeclip,clip"];
    let places = ["--config", "clip.toml", "--data-root", root, "--out", out];
    [&model[..], &methods, &places, more].concat()
}

fn works(args: &[&str], folder: &Path) -> String {
    let output = xtask(args, folder);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A data root of all fourteen, a CLIP and adapters.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    works(&["demo", "--world", "plain", "--out", "demo", "--steps", "1"], folder.path());
    fs::write(folder.path().join("clip.toml"), CONFIG).unwrap();
    crate::copies::write_root(&folder.path().join("root"), 2);
    folder
}

#[test]
fn a_benchmark_that_was_killed_twice_ends_as_one_that_was_not() {
    let folder = prepared();
    let folder = folder.path();
    let said = works(&line("root", "one", &["--workers", "2"]), folder);
    undisturbed(folder, &said);
    let results = results(&folder.join("one"));
    assert_eq!(results.len(), 2 * (9 * 4 + 5 * 2 + 2), "each picture, by each method");
    for after in [results.len() / 5, results.len() / 2] {
        killed_after(folder, after);
    }
    works(&line("root", "two", &[]), folder);
    same_tables(folder, "one", "two");
    made_again_of_what_is_stored(folder);
    calibrated_adapters_are_measured_as_deployed_too(folder);
    other_weights_do_not_mix(folder);
    mistakes_are_one_line(folder);
}

fn undisturbed(folder: &Path, said: &str) {
    assert!(said.contains("image level") && said.contains("pixel level"), "{said}");
    assert!(said.contains("MoECLIP (here)") && said.contains("CLIP (here)"), "{said}");
    let json = json(folder, "one");
    let rows = |level: usize| json["tables"][level]["rows"].as_array().unwrap().clone();
    let named = |rows: &[Value]| -> Vec<String> {
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let (image, pixel) = (rows(0), rows(1));
    assert_eq!(
        (image.len(), pixel.len()),
        (9 + 1, 13 + 1),
        "the datasets of each table, and Average"
    );
    assert!(!named(&pixel).contains(&"HeadCT".into()) && !named(&image).contains(&"Kvasir".into()));
    let average = image.last().unwrap()["cells"].as_array().unwrap();
    assert_eq!(average.len(), 7 + 2);
    assert_eq!(average[6]["numbers"]["auroc"], 0.896, "the paper's own");
    for method in [7, 8] {
        let numbers = image[..9].iter().map(|row| &row["cells"][method]["numbers"]["auroc"]);
        let sum: f64 = numbers.map(|number| number.as_f64().unwrap()).sum();
        assert!((average[method]["numbers"]["auroc"].as_f64().unwrap() - sum / 9.0).abs() < 1e-12);
    }
    let textures =
        json["datasets"].as_array().unwrap().iter().find(|one| one["name"] == "DTD-Synthetic");
    let classes = &textures.unwrap()["outcomes"][0]["measured"]["reports"][0]["classes"];
    assert_eq!(classes.as_array().unwrap().len(), 2, "a row for each folder");
    let page = fs::read_to_string(folder.join("one/report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("data:image/jpeg;base64,"));
    assert!(!page.contains("http") && !page.contains(folder.to_str().unwrap()));
}

fn json(folder: &Path, out: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(out).join("table.json")).unwrap()).unwrap()
}

/// Every stored result.
fn results(out: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let datasets = entries(&out.join("results"));
    let files =
        datasets.iter().flat_map(|dataset| entries(dataset)).flat_map(|folder| entries(&folder));
    files.filter(|file| file.extension().is_some_and(|extension| extension == "result")).collect()
}

/// SIGKILL as soon as so many results are stored.
fn killed_after(folder: &Path, count: usize) {
    let mut bench = command(&line("root", "two", &["--workers", "2"]), folder);
    let mut bench = bench.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while results(&folder.join("two")).len() < count {
        assert!(start.elapsed() < Duration::from_secs(300), "no {count} results in five minutes");
        assert!(bench.try_wait().unwrap().is_none(), "it ended before it was killed");
        sleep(Duration::from_millis(2));
    }
    bench.kill().unwrap();
    bench.wait().unwrap();
    assert!(!folder.join("two/table.md").exists(), "killed before its tables");
}

fn same_tables(folder: &Path, one: &str, two: &str) {
    for file in TABLES {
        let bytes = |out: &str| fs::read(folder.join(out).join(file)).unwrap();
        assert!(bytes(one) == bytes(two), "{file} differs");
    }
}

fn made_again_of_what_is_stored(folder: &Path) {
    let written = |file: &PathBuf| fs::metadata(file).unwrap().modified().unwrap();
    let stored = results(&folder.join("two"));
    let before: Vec<_> = stored.iter().map(written).collect();
    fs::remove_file(folder.join("two/table.csv")).unwrap();
    let said = works(&line("root", "two", &["--json"]), folder);
    let printed: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(printed, json(folder, "two"));
    same_tables(folder, "one", "two");
    assert_eq!(
        before,
        stored.iter().map(written).collect::<Vec<_>>(),
        "nothing was measured again"
    );
    // A result that is damaged is one dataset's fault, and made again.
    let headct = stored.iter().find(|file| file.to_str().unwrap().contains("HeadCT")).unwrap();
    fs::write(headct, &fs::read(headct).unwrap()[1..]).unwrap();
    let output = xtask(&line("root", "two", &["--report-only"]), folder);
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("HeadCT") && table.contains("is damaged and was removed"), "{table}");
    works(&line("root", "two", &[]), folder);
    same_tables(folder, "one", "two");
}

/// A calibration changes nothing that is stored; it is for one kind of pictures.
fn calibrated_adapters_are_measured_as_deployed_too(folder: &Path) {
    let model = ["--clip", "demo/clip.safetensors", "--activation", "quick-gelu"];
    let data = ["calibrate", "--data", "demo/unseen", "--split", "test"];
    let files = ["--adapter", "demo/adapter.safetensors", "--out", "calibrated.safetensors"];
    // Four normal images allow no lower rates.
    let rates = ["--fpr", "0.3", "--pixel-fpr", "0.3"];
    works(&[&data[..], &model, &files, &rates].concat(), folder);
    let before = results(&folder.join("two")).len();
    let mut args = line("root", "two", &["--datasets", "btad,headct"]);
    let adapter = args.iter().position(|arg| *arg == "demo/adapter.safetensors").unwrap();
    args[adapter] = "calibrated.safetensors";
    let said = works(&args, folder);
    assert_eq!(results(&folder.join("two")).len(), before, "nothing was measured again");
    assert!(said.contains("MoECLIP (deployed)") && said.contains("protocol deployed"), "{said}");
    assert!(said.contains("MoECLIP, not as deployed on HeadCT: the calibration is for"), "{said}");
    let table = &json(folder, "two")["tables"][0];
    assert_eq!(table["columns"][9]["protocol"], "deployed");
    assert!(table["rows"][0]["cells"][9]["numbers"]["auroc"].is_number(), "{table}");
    assert_eq!(table["rows"][1]["cells"][9], "absent");
    assert_eq!(
        table["rows"][3]["name"], "Average of 2",
        "a column of ours is no reason to leave one out"
    );
    let page = fs::read_to_string(folder.join("two/report.html")).unwrap();
    assert!(page.contains("calibrated threshold") && page.contains("I-TPR"));
    works(&[&args[..], &["--uncalibrated", "--report-only"]].concat(), folder);
    assert_eq!(json(folder, "two")["tables"][0]["columns"].as_array().unwrap().len(), 7 + 2);
}

fn other_weights_do_not_mix(folder: &Path) {
    let demo = ["train", "--clip", "demo/clip.safetensors", "--activation", "quick-gelu"];
    let run =
        ["--data", "root/BTAD", "--image-size", "112", "--steps", "1", "--out", "btad.safetensors"];
    works(&[&demo[..], &run].concat(), folder);
    let other = |more: &[&'static str]| {
        let mut args = line("root", "two", &["--datasets", "btad,headct"]);
        let adapter = args.iter().position(|arg| *arg == "demo/adapter.safetensors").unwrap();
        args[adapter] = "btad.safetensors";
        xtask(&[&args[..], more].concat(), folder)
    };
    let output = other(&[]);
    let (said, table) = (text(&output.stderr), text(&output.stdout));
    assert!(output.status.success(), "a refusal is no fault: {said}");
    assert!(
        said.contains("HeadCT, moeclip: stored results of other weights or settings"),
        "{said}"
    );
    assert!(table.contains("MoECLIP, refused on BTAD: was trained on BTAD"), "{table}");
    let rows = &json(folder, "two")["tables"][0]["rows"];
    assert_eq!(rows[0]["cells"][7], "refused");
    assert!(
        rows[0]["cells"][8]["numbers"]["auroc"].is_number(),
        "CLIP was trained on nothing here"
    );
    assert!(rows[1]["cells"][7]["numbers"]["auroc"].is_number());
    assert_eq!(rows[3]["name"], "Average of 1", "of HeadCT, which both were measured on");
    works(&line("root", "two", &[]), folder);
    same_tables(folder, "one", "two");
}

fn mistakes_are_one_line(folder: &Path) {
    let complaint = |args: &[&str]| complaint(args, folder);
    let unknown = complaint(&line("root", "x", &["--datasets", "nowhere"]));
    assert!(unknown.contains("--datasets nowhere: no known dataset"), "{unknown}");
    let empty = complaint(&line("demo", "x", &[]));
    assert!(empty.contains("demo: holds none of the 14 datasets"), "{empty}");
    let model =
        ["bench-14", "--clip", "demo/clip.safetensors", "--out", "x", "--data-root", "root"];
    let adapter = complaint(&model);
    assert!(adapter.contains("--adapter FILE is missing"), "{adapter}");
    let workers = complaint(&line("root", "x", &["--workers", "0"]));
    assert!(workers.contains("--workers 0"), "{workers}");
    let devices = complaint(&line("root", "x", &["--devices", "flex,ndarray"]));
    assert!(devices.contains("--devices: two kinds of devices"), "{devices}");
}

#[test]
fn a_broken_picture_is_named_and_the_rest_is_measured() {
    let folder = prepared();
    let folder = folder.path();
    for missing in fs::read_dir(folder.join("root")).unwrap() {
        let missing = missing.unwrap();
        if !["RSDD", "headct"].contains(&missing.file_name().to_str().unwrap()) {
            fs::remove_dir_all(missing.path()).unwrap();
        }
    }
    let broken = folder.join("root/headct/test/good/0100.png");
    fs::write(&broken, &fs::read(&broken).unwrap()[..40]).unwrap();
    let tried = |_| {
        let output = xtask(&line("root", "out", &[]), folder);
        let (said, table) = (text(&output.stderr), text(&output.stdout));
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.lines().last().unwrap().starts_with("error: not everything could be measured")
        );
        let note = "MoECLIP, on HeadCT: test/good/0100.png could not be read and is in no number: ";
        assert!(table.contains(note), "{table}");
        assert!(table.contains("missing: MVTec-AD, VisA, BTAD,"), "{table}");
        assert!(!table.contains(folder.to_str().unwrap()), "{table}");
        fs::read_to_string(folder.join("out/table.json")).unwrap()
    };
    let [first, second] = [(), ()].map(tried);
    assert_eq!(first, second);
    let table = json(folder, "out");
    let headct = table["datasets"].as_array().unwrap().iter().find(|one| one["name"] == "HeadCT");
    let report = &headct.unwrap()["outcomes"][0]["measured"]["reports"][0];
    assert_eq!(
        (&report["classes"][0]["images"], &report["classes"][0]["anomalous"]),
        (&3.into(), &2.into())
    );
    assert!(report["mean"]["image_auroc"].is_number() && report["mean"]["pixel_auroc"].is_null());
    // Mended, it is measured and the fault is gone.
    fs::copy(folder.join("root/headct/test/good/1100.png"), &broken).unwrap();
    let whole = works(&line("root", "out", &[]), folder);
    assert!(!whole.contains("could not be read"), "{whole}");
}
