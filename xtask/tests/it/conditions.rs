//! What another build or another machine stored is not mixed with new numbers: a benchmark, a training, an
//! ablation and a calibration whose files say another JPEG decoder, other kernels or another numbers
//! version are each refused in one line that names the difference; and those of an older program, which
//! say nothing of it, are taken up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anomaly::CalibrationConditions;
use burn::tensor::TensorData;
use clip_vit::{Precision, TensorFile};
use conditions::{Condition, JPEG_DECODER, NUMBERS, kernels};
use moeclip::{AdapterFile, Assumed};
use moeclip_train::write_checkpoint;
use serde_json::{Value, json};

const CLIP: [&str; 4] = ["--clip", "demo/clip.safetensors", "--activation", "quick-gelu"];

/// A cell that takes a second.
const GRID: &str = r#"
evaluate = ["demo/unseen"]
[base.data]
name = "demo/auxiliary"
[base.model]
image-size = 112
[base.training]
epochs = 1
batch-size = 8
[[cells]]
name = "one"
"#;

/// A command that stores something under conditions, and goes on with it.
struct Subject {
    name: &'static str,
    first: &'static [&'static str],
    again: Again,
    /// What the refusal begins with, behind "error: ".
    says: &'static str,
    /// Where the conditions stand, and how they are changed there.
    file: &'static str,
    change: InFile,
}

/// How what was stored is gone on with.
enum Again {
    /// By the same command, with these options too.
    With(&'static [&'static str]),
    /// By another command.
    By(&'static [&'static str]),
}

impl Subject {
    /// The command that goes on with what was stored.
    fn again(&self) -> Vec<&'static str> {
        match self.again {
            Again::With(options) => [self.first, options].concat(),
            Again::By(command) => command.to_vec(),
        }
    }
}

/// Changes the conditions that a file holds.
type InFile = fn(&Path, &dyn Fn(&mut Value));

const SUBJECTS: [Subject; 4] = [
    Subject {
        name: "a benchmark",
        first: &[
            "bench-14",
            "--methods",
            "clip",
            "--config",
            "clip.toml",
            "--data-root",
            "root",
            "--datasets",
            "headct",
            "--out",
            "bench",
        ],
        again: Again::With(&[]),
        says: "holds results of other conditions: ",
        file: "bench/results/HeadCT/*/identity.json",
        change: in_json,
    },
    Subject {
        name: "a training",
        first: &[
            "train",
            "--data",
            "demo/auxiliary",
            "--image-size",
            "112",
            "--steps",
            "1",
            "--checkpoints",
            "steps",
            "--out",
            "a.safetensors",
        ],
        again: Again::With(&["--resume"]),
        says: "is of another run: ",
        file: "steps/step-00000001.safetensors",
        change: in_checkpoint,
    },
    Subject {
        name: "an ablation",
        first: &["ablate", "grid.toml", "--out", "grid"],
        again: Again::With(&[]),
        says: "holds a run of other conditions: ",
        file: "grid/one/*/ingredients.json",
        change: in_json,
    },
    Subject {
        name: "a calibration",
        first: &[
            "calibrate",
            "--data",
            "demo/unseen",
            "--split",
            "test",
            "--fpr",
            "0.3",
            "--pixel-fpr",
            "0.3",
            "--adapter",
            "demo/adapter.safetensors",
            "--out",
            "c.safetensors",
        ],
        again: Again::By(&[
            "predict",
            "demo/unseen",
            "--adapter",
            "c.safetensors",
            "--out",
            "maps",
        ]),
        says: "the calibration is for ",
        file: "c.safetensors",
        change: in_calibration,
    },
];

/// What another build or machine would have written, and how the refusal names it, with the value here.
struct Other {
    condition: Condition,
    then: Value,
    words: &'static str,
    now: String,
}

fn others() -> [Other; 3] {
    let decoder = if JPEG_DECODER == "zune-jpeg" { "libjpeg-turbo" } else { "zune-jpeg" };
    [
        Other {
            condition: Condition::Decoder,
            then: json!(decoder),
            words: "the JPEG decoder",
            now: JPEG_DECODER.into(),
        },
        Other {
            condition: Condition::Kernels,
            then: json!("flex, abacus"),
            words: "the kind of kernels",
            now: kernels("flex"),
        },
        Other {
            condition: Condition::Numbers,
            then: json!(NUMBERS + 1),
            words: "the numbers version",
            now: NUMBERS.to_string(),
        },
    ]
}

#[test]
fn what_other_builds_and_machines_stored_is_refused_in_one_line() {
    let folder = prepared();
    let folder = folder.path();
    for subject in &SUBJECTS {
        works(subject.first, folder);
        let file = found(folder, subject.file);
        let stored = fs::read(&file).unwrap();
        for other in others() {
            (subject.change)(&file, &|conditions| {
                conditions[other.condition.name()] = other.then.clone();
            });
            check(subject, &other, folder);
            fs::write(&file, &stored).unwrap();
        }
        (subject.change)(&file, &|conditions| {
            let said = conditions.as_object_mut().unwrap();
            said.retain(|name, _| others().iter().all(|one| one.condition.name() != name));
        });
        if JPEG_DECODER == "zune-jpeg" && NUMBERS == 1 {
            works(&subject.again(), folder);
        }
    }
}

/// The one case: a subject under other conditions is refused in a line that names the difference.
fn check(subject: &Subject, other: &Other, folder: &Path) {
    let output = xtask(&subject.again(), folder);
    let (name, said) = (subject.name, text(&output.stderr));
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("note: ")).collect();
    assert_eq!(
        (output.status.code(), lines.len()),
        (Some(1), 1),
        "{name}, {}: {said}",
        other.words
    );
    assert!(lines[0].starts_with("error: ") && lines[0].contains(subject.says), "{name}: {said}");
    let (then, line) = (other.then.to_string(), lines[0].replace('"', ""));
    let then = then.trim_matches('"');
    for part in [other.words, then, &other.now] {
        assert!(line.contains(part), "{name}: {part} is not in: {line}");
    }
}

/// A demo's CLIP and adapters, a data root and a grid.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let demo = ["demo", "--world", "plain", "--out", "demo", "--steps", "1"];
    assert!(
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(demo)
            .current_dir(folder.path())
            .output()
            .unwrap()
            .status
            .success()
    );
    fs::write(folder.path().join("clip.toml"), "[model]\nimage-size = 112\n").unwrap();
    fs::write(folder.path().join("grid.toml"), GRID).unwrap();
    crate::copies::write_root(&folder.path().join("root"), 2);
    folder
}

fn xtask(args: &[&str], folder: &Path) -> Output {
    crate::xtask(&[args, &CLIP].concat(), folder)
}

fn works(args: &[&str], folder: &Path) {
    let output = xtask(args, folder);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The one file of a path below a folder; `*` stands for the only folder there.
fn found(folder: &Path, path: &str) -> PathBuf {
    path.split('/').fold(folder.to_owned(), |at, part| match part {
        "*" => {
            let mut entries = fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path());
            entries.find(|entry| entry.is_dir()).unwrap()
        }
        part => at.join(part),
    })
}

fn in_json(file: &Path, change: &dyn Fn(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, serde_json::to_vec(&value).unwrap()).unwrap();
}

fn in_checkpoint(path: &Path, change: &dyn Fn(&mut Value)) {
    let file = TensorFile::open(path).unwrap();
    let tensor = |name: &str| file.tensor_data(name, Precision::F32).unwrap();
    let tensors: BTreeMap<String, TensorData> =
        file.names().map(|name| (name.to_owned(), tensor(name))).collect();
    let mut metadata = file.metadata().clone();
    let mut run = serde_json::from_str(&metadata["run"]).unwrap();
    change(&mut run);
    metadata.insert("run".into(), run.to_string());
    write_checkpoint(path, &tensors, metadata).unwrap();
}

fn in_calibration(path: &Path, change: &dyn Fn(&mut Value)) {
    let file = AdapterFile::open(path, &Assumed::default()).unwrap();
    let mut calibration = file.calibration().unwrap().clone();
    let mut conditions = serde_json::to_value(&calibration.conditions).unwrap();
    change(&mut conditions);
    calibration.conditions = serde_json::from_value::<CalibrationConditions>(conditions).unwrap();
    file.write_calibrated(path, &calibration).unwrap();
}
