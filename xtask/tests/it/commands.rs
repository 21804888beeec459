//! The program as a user meets it, one test a scenario: what a small demo leaves, what is done with it, and
//! one clear line for every mistake.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use image::{GenericImageView, ImageReader};
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::{complaint, xtask};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A demo of three steps on the plain world, made once for all tests.
static DEMO: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("commands");
    _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let output = xtask(&["demo", "--world", "plain", "--out", "demo", "--steps", "3"], &folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout(&output).contains("== Measuring on speckle"));
    folder.join("demo")
});

/// A folder that is one test's own, with the demo's files in `demo/`.
fn prepared() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in WalkDir::new(&*DEMO) {
        let entry = entry.unwrap();
        let to = folder.path().join("demo").join(entry.path().strip_prefix(&*DEMO).unwrap());
        match entry.file_type().is_dir() {
            true => std::fs::create_dir(&to).unwrap(),
            false => _ = std::fs::copy(entry.path(), &to).unwrap(),
        }
    }
    folder
}

const MODEL: [&str; 4] =
    ["--clip", "demo/clip.safetensors", "--adapter", "demo/adapter.safetensors"];

/// A training on the demo's data.
const TRAIN: [&str; 7] =
    ["train", "--clip", MODEL[1], "--data", "demo/auxiliary", "--image-size", "112"];

/// Trains into `out` and returns its bytes.
fn trained(args: &[&str], out: &str, folder: &Path) -> Vec<u8> {
    let output = xtask(&[args, &["--out", out]].concat(), folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(folder.join(out)).unwrap()
}

#[test]
fn the_demo_trains_measures_and_draws() {
    let folder = prepared();
    let maps = folder.path().join("demo/maps");
    let lines = std::fs::read_to_string(maps.join("predictions.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 12);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let picture = |key: &str| {
            let path: PathBuf = folder.path().join(line[key].as_str().unwrap());
            ImageReader::open(path).unwrap().decode().unwrap()
        };
        assert_eq!(picture("map").dimensions(), (112, 112));
        let (width, height) = picture("overlay").dimensions();
        assert!(width == 112 && height > 112, "the picture's own size and a legend under it");
        assert!(line["score"].as_f64().unwrap().is_finite());
    }
}

#[test]
fn a_broken_picture_costs_no_steps() {
    let folder = prepared();
    let folder = folder.path();
    std::fs::write(folder.join("demo/auxiliary/weave/test/good/003.png"), []).unwrap();
    let run = ["--batch", "1", "--seed", "1", "--out", "kept.safetensors"];
    let output = xtask(&[&TRAIN[..], &run[..]].concat(), folder);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("003.png: the file is empty"), "{stderr}");
    assert!(stderr.contains("whole steps, kept in kept.safetensors"), "{stderr}");
    let model = ["--clip", MODEL[1], "--adapter", "kept.safetensors"];
    let eval = xtask(&[&["eval", "--data", "demo/unseen"][..], &model[..]].concat(), folder);
    assert!(eval.status.success(), "what is kept is whole");
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let folder = prepared();
    let folder = folder.path();
    let run = [&TRAIN[..], &["--steps", "2", "--seed", "7"]].concat();
    let same = trained(&run, "a.safetensors", folder) == trained(&run, "b.safetensors", folder);
    assert!(same);
}

#[test]
fn a_description_gives_the_same_bytes_as_its_flags() {
    let folder = prepared();
    let folder = folder.path();
    let described = "[data]\nname = \"demo/auxiliary\"\n[model]\nimage-size = 112\n\
                     [training]\nseed = 6";
    std::fs::write(folder.join("run.toml"), described).unwrap();
    let args = ["train", "--clip", MODEL[1], "--config", "run.toml", "--set", "training.seed=7"];
    let described = trained(&[&args[..], &["--steps", "2"]].concat(), "c.safetensors", folder);
    let flags = [&TRAIN[..], &["--steps", "2", "--seed", "7"]].concat();
    assert!(described == trained(&flags, "a.safetensors", folder));
    let wrong = [&args[..5], &["--set", "training.sed=7", "--out", "d.safetensors"]].concat();
    assert!(complaint(&wrong, folder).contains("did you mean seed?"));
    assert!(!folder.join("d.safetensors").exists());
}

/// From caches as well: what they keep changes nothing.
#[test]
fn a_run_that_was_ended_goes_on_to_the_same_bytes() {
    let folder = prepared();
    let folder = folder.path();
    let train = |args: &[&str]| {
        let always = ["train", "--clip", MODEL[1], "--data", "demo/auxiliary"];
        let sizes = ["--activation", "quick-gelu", "--image-size", "112", "--batch", "5"];
        let saving = ["--checkpoint-every", "1"];
        [&always[..], &sizes[..], &saving[..], args].concat().join(" ")
    };
    let run = |args: &[&str]| {
        let line = train(args);
        let output = xtask(&line.split(' ').collect::<Vec<_>>(), folder);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{line}: {stderr}");
        stderr
    };
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    run(&["--steps", "7", "--out", "whole.safetensors", "--checkpoints", "one"]);
    run(&["--steps", "3", "--out", "part.safetensors", "--checkpoints", "two", "--keep", "2"]);
    assert_ne!(bytes("whole.safetensors"), bytes("part.safetensors"));
    assert_eq!(std::fs::read_dir(folder.join("two")).unwrap().filter(is_checkpoint).count(), 2);
    let go_on = ["--steps", "7", "--out", "part.safetensors", "--checkpoints", "two"];
    let caches = ["--cache", "cache", "--prompt-cache", "prompts"];
    let note = run(&[&go_on[..], &["--resume"], &caches[..]].concat());
    assert_eq!(std::fs::read_dir(folder.join("prompts")).unwrap().count(), 2, "one class");
    assert!(note.contains("resumed after step 3"), "{note}");
    assert_eq!(bytes("whole.safetensors"), bytes("part.safetensors"));
    let logged = |run: &str, file: &str| {
        String::from_utf8(bytes(&format!("{run}/log/{file}"))).unwrap().lines().count()
    };
    assert_eq!((logged("one", "metrics.jsonl"), logged("two", "metrics.jsonl")), (7, 7));
    assert_eq!(logged("two", "metrics.csv"), 1 + 7);
    assert!(bytes("two/log/loss.svg").starts_with(b"<svg"));
    let refused = |args: &[&str]| {
        let line = train(&[&go_on[..], args].concat());
        complaint(&line.split(' ').collect::<Vec<_>>(), folder)
    };
    assert!(refused(&[]).contains("resume that run"));
    let other = refused(&["--resume", "--seed", "9"]);
    assert!(other.contains("seed") && other.contains('9'), "{other}");
}

#[test]
fn the_best_epoch_on_two_devices() {
    let folder = prepared();
    let folder = folder.path();
    let train = [&TRAIN[..], &["--activation", "quick-gelu"]].concat();
    let run = ["--batch", "6", "--epochs", "2", "--out", "best.safetensors", "--log", "log"];
    let held_out = ["--set", "training.held-out=0.25", "--set", "training.keep=best"];
    let devices = ["--devices", "flex,flex", "--json"];
    let output = xtask(&[&train[..], &run[..], &held_out[..], &devices[..]].concat(), folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = json(&output);
    let (done, steps) = lines.split_last().unwrap();
    // 18 of 24 images are trained on, six a step.
    assert_eq!((steps.len(), &steps[1]["held_out"]), (6, &serde_json::Value::Null));
    assert_eq!(steps[2]["held_out"]["images"], 6);
    let because = done["chosen"]["because"].as_str().unwrap();
    assert!(because.starts_with("lowest loss on 6 held-out images: "), "{because}");
    let mixed = [&train[..], &run[..5], &["x", "--devices", "flex,ndarray"]].concat();
    assert!(complaint(&mixed, folder).contains("are of one backend"));
    let occupied = complaint(&[&train[..], &run[..]].concat(), folder);
    assert!(occupied.contains("metrics.jsonl: is of an earlier run"), "{occupied}");
    let none = [&train[..], &run[..5], &["x", "--set", "training.keep=best"]].concat();
    assert!(complaint(&none, folder).contains("training.held_out = 0 is not usable"));
}

#[test]
fn files_say_what_they_are() {
    let folder = prepared();
    let folder = folder.path();
    let run = ["--steps", "2", "--checkpoints", "checkpoints"];
    trained(&[&TRAIN[..], &run[..]].concat(), "whole.safetensors", folder);
    let inspect = |file: &str| json(&xtask(&["inspect", file, "--json"], folder)).remove(0);
    let adapters = inspect("whole.safetensors");
    let provenance = &adapters["provenance"];
    assert_eq!(adapters["position"], serde_json::Value::Null);
    assert_eq!(provenance["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(provenance["steps"], 2);
    assert!(provenance["metrics"]["loss/total"].as_f64().unwrap() > 0.0);
    let newest = "checkpoints/step-00000002.safetensors";
    let checkpoint = inspect(newest);
    assert_eq!(checkpoint["position"]["step"], 2);
    for said in ["metrics", "clip_sha256", "commit", "data", "prompts"] {
        assert_eq!(checkpoint["provenance"][said], provenance[said], "{said}");
    }
    let words = stdout(&xtask(&["inspect", newest], folder));
    assert!(words.contains("after 2 steps") && words.contains("loss/total"), "{words}");
    let mut turned = std::fs::read(folder.join(newest)).unwrap();
    *turned.last_mut().unwrap() ^= 1;
    std::fs::write(folder.join("turned.safetensors"), turned).unwrap();
    let refused = complaint(&["inspect", "turned.safetensors"], folder);
    assert!(refused.contains("bytes have changed"), "{refused}");
}

#[test]
fn a_clip_and_its_adapters_are_not_mistaken_for_each_other() {
    let folder = prepared();
    let folder = folder.path();
    let [_, clip, _, adapter] = MODEL;
    let said = stdout(&xtask(&["inspect", clip], folder));
    assert!(said.contains("a CLIP, ") && said.contains("goes with --clip"), "{said}");
    assert!(said.contains("activation  QuickGelu"), "{said}");
    let described = json(&xtask(&["inspect", clip, "--json"], folder)).remove(0);
    assert_eq!((&described["is_clip"], &described["preset"]), (&true.into(), &().into()));
    let eval = ["eval", "--data", "demo/unseen", "--clip"];
    let refused = complaint(&[&eval[..], &[clip, "--adapter", clip]].concat(), folder);
    assert!(refused.contains("is a CLIP and holds no MoECLIP adapters"), "{refused}");
    let refused = complaint(&[&eval[..], &[adapter, "--adapter", adapter]].concat(), folder);
    assert!(refused.contains("MoECLIP adapters, which goes with --adapter"), "{refused}");
    std::fs::write(folder.join("model.onnx"), b"\x08\x08\x12\x07pytorch\x1a\x052.4.0").unwrap();
    for command in [&["inspect", "model.onnx"][..], &["convert-openclip", "model.onnx", "out"]] {
        assert!(complaint(command, folder).contains("it is ONNX"));
    }
}

/// Two long names with different ends: cut, both would have one prompt for both states.
#[test]
fn a_name_that_does_not_fit_is_refused_wherever_it_comes_from() {
    let folder = prepared();
    let folder = folder.path();
    let image = "demo/unseen/speckle/test/good/000.png";
    for end in ["nut", "cap"] {
        let name = format!("{}{end}", "7 ".repeat(76));
        let predict = ["predict", image, "--out", "maps", "--class", &name];
        let named = complaint(&[&predict[..], &MODEL[..]].concat(), folder);
        let good = folder.join(format!("long/{}/test/good", name.replace(' ', "_")));
        std::fs::create_dir_all(&good).unwrap();
        std::fs::copy(folder.join(image), good.join("000.png")).unwrap();
        let walked = complaint(&[&["eval", "--data", "long"], &MODEL[..]].concat(), folder);
        for line in [named, walked] {
            assert!(line.contains("tokens, both marks included, and at most"), "{line}");
        }
        std::fs::remove_dir_all(folder.join("long")).unwrap();
        assert!(!folder.join("maps").exists(), "nothing is scored");
    }
}

fn is_checkpoint(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
    name.starts_with("step-") && name.ends_with(".safetensors")
}

/// Under other names too: what counts is what the files hold.
#[test]
fn what_was_trained_on_is_no_test_set() {
    let folder = prepared();
    let folder = folder.path();
    let scratch = "weave/test/scratch";
    std::fs::create_dir_all(folder.join("again/cloth/test/good")).unwrap();
    std::fs::create_dir_all(folder.join("again/cloth/test/torn")).unwrap();
    let copy = |from: &str, to: &str| {
        let to = folder.join("again/cloth/test").join(to);
        std::fs::copy(folder.join("demo").join(from), to).unwrap();
    };
    copy("unseen/speckle/test/good/000.png", "good/0.png");
    copy(&format!("auxiliary/{scratch}/003.png"), "torn/1.png");
    let refused = complaint(&[&["eval", "--data", "again"], &MODEL[..]].concat(), folder);
    assert!(refused.contains("trained on 1 of these images"), "{refused}");
    assert!(refused.contains("torn/1.png"), "{refused}");
}

/// `bare`, a set of nothing else.
fn write_one_normal_image(folder: &Path) {
    let one_class = folder.join("bare/speckle/test/good");
    std::fs::create_dir_all(&one_class).unwrap();
    let good = folder.join("demo/unseen/speckle/test/good/000.png");
    std::fs::copy(good, one_class.join("000.png")).unwrap();
}

#[test]
fn eval_says_what_is_undefined() {
    let folder = prepared();
    let folder = folder.path();
    write_one_normal_image(folder);
    let output = xtask(&[&["eval", "--data", "bare", "--json"], &MODEL[..]].concat(), folder);
    assert!(output.status.success());
    let reports = json(&output)[0]["reports"].clone();
    let class = &reports[0]["classes"][0];
    assert!(class["image_auroc"].is_null() && class["pixel_auroc"].is_null(), "{class}");
}

#[test]
fn eval_saves_what_its_numbers_are_made_of() {
    let folder = prepared();
    let folder = folder.path();
    let args = ["eval", "--data", "demo/unseen", "--json", "--save-maps", "saved"];
    let measuring = ["--bootstrap", "50", "--bootstrap-pixels", "--pixel-memory", "1"];
    let args = [&args[..], &measuring[..], &MODEL[..]].concat();
    let output = xtask(&args, folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let raw = &json(&output)[0]["reports"][1];
    let class = &raw["classes"][0];
    assert_eq!(
        (raw["protocol"].as_str(), class["intervals"]["resamples"].as_u64()),
        (Some("raw"), Some(50))
    );
    let pixels = &class["intervals"]["pixel_auroc"];
    let auroc = class["pixel_auroc"].as_f64().unwrap();
    assert!(pixels["low"].as_f64().unwrap() < auroc && auroc < pixels["high"].as_f64().unwrap());
    let lines = std::fs::read_to_string(folder.join("saved/images.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scores = |anomalous: bool| {
        let lines = lines.iter().filter(move |line| line["anomalous"] == anomalous);
        lines.map(|line| line["scores"]["raw"].as_f64().unwrap())
    };
    let pairs = scores(true).flat_map(|high| scores(false).map(move |low| (high, low)));
    let ordered: Vec<f64> = pairs.map(|(high, low)| f64::from(u8::from(high > low))).collect();
    let auroc = ordered.iter().sum::<f64>() / ordered.len() as f64;
    assert!((class["image_auroc"].as_f64().unwrap() - auroc).abs() < 1e-12, "{class}");
    let size = |key: &str| {
        let files = lines.iter().filter_map(|line| line[key].as_str());
        files.map(|file| std::fs::metadata(folder.join("saved").join(file)).unwrap().len()).max()
    };
    assert_eq!((size("map"), size("mask")), (Some(128 + 112 * 112 * 4), Some(128 + 112 * 112 * 4)));
    assert!(complaint(&args, folder).contains("is not empty"));
}

#[test]
fn one_image_with_its_class_and_npy() {
    let folder = prepared();
    let folder = folder.path();
    let image = "demo/unseen/speckle/test/stain/000.png";
    let args = ["predict", image, "--class", "speckle", "--out", "one", "--npy", "--json"];
    let output = xtask(&[&args[..], &MODEL[..]].concat(), folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = &json(&output)[0];
    let npy = std::fs::read(folder.join("one/000.png.map.npy")).unwrap();
    let values = npy[npy.len() - 112 * 112 * 4..].chunks_exact(4);
    let maximum =
        values.map(|v| f32::from_le_bytes(v.try_into().unwrap())).fold(f32::MIN, f32::max);
    assert_eq!(line["maximum"].as_f64().unwrap() as f32, maximum);
}

#[test]
fn mistakes_with_a_model_at_hand() {
    let folder = prepared();
    let folder = folder.path();
    write_one_normal_image(folder);
    std::fs::write(folder.join("empty.png"), []).unwrap();
    let with_model = |args: &[&str]| complaint(&[args, &MODEL[..]].concat(), folder);
    let no_class = with_model(&["predict", "empty.png", "--out", "x"]);
    assert!(no_class.contains("--class NAME"), "{no_class}");
    let data = with_model(&["eval", "--data", "nowhere"]);
    assert!(data.contains("nowhere"), "{data}");
    let swapped = complaint(
        &["eval", "--data", "demo/unseen", "--clip", MODEL[1], "--adapter", MODEL[1]],
        folder,
    );
    assert!(swapped.contains("no MoECLIP adapters"), "{swapped}");
    let args = ["train", "--clip", MODEL[1], "--data", "bare", "--out", "x.safetensors"];
    assert!(complaint(&args, folder).contains("all 1 images are normal"));
    let args = ["train", "--clip", MODEL[1], "--data", "demo/auxiliary", "--out", "no/x"];
    assert!(complaint(&args, folder).contains("no/x: cannot be written"));
    let half = ["eval", "--data", "demo/unseen", "--precision", "f16", "--device", "ndarray"];
    assert!(with_model(&half).contains("f32 only"));
}

#[test]
fn files_that_are_no_checkpoint_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/clip-vit/tests/fixtures");
    let hostile = fixtures.join("hostile_pickle.pt");
    let refused = complaint(&["convert-openclip", hostile.to_str().unwrap(), "out"], folder.path());
    assert!(refused.contains("posix.system; nothing was executed"), "{refused}");
    std::fs::write(folder.path().join("empty"), []).unwrap();
    std::fs::write(folder.path().join("picture"), [0xff, 0xd8, 0xff, 0xe0, 0, 16]).unwrap();
    for (input, says) in
        [("empty", "0 bytes"), ("picture", "JPEG"), (".", "folder"), ("missing", "No such file")]
    {
        let refused = complaint(&["convert-openclip", input, "out"], folder.path());
        assert!(refused.contains(says), "{refused}");
    }
    assert!(!folder.path().join("out").exists());
}

#[test]
fn parity_says_what_is_past_tolerance() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/parity/tests/goldens");
    let golden = goldens.join("small.safetensors");
    let args = ["parity", golden.to_str().unwrap(), "--json", "--device", "ndarray"];
    let output = xtask(&args, &goldens);
    assert!(output.status.success());
    assert_eq!(json(&output)[0]["passes"], true);
    let half = complaint(&["parity", "small.safetensors", "--precision", "f16"], &goldens);
    assert!(half.contains("past tolerance: small.safetensors"), "{half}");
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
#[test]
fn a_device_that_is_not_there_is_one_clear_line() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/parity/tests/goldens");
    for (device, says) in [("cuda", "cargo xtask-cuda"), ("wgpu:1", "cargo xtask-wgpu")] {
        let refused = complaint(&["parity", "small.safetensors", "--device", device], &goldens);
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn doctor_names_devices_and_decoder() {
    let output = xtask(&["doctor", "--json"], Path::new("."));
    let diagnosis = json(&output)[0].clone();
    assert_eq!(diagnosis["jpeg_decoder"], moeclip_data::JPEG_DECODER);
    let devices = &diagnosis["devices"];
    assert_eq!(devices[0]["device"], "flex");
    assert_eq!(devices[0]["usable"], true);
}
