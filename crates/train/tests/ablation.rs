//! Grids: what they plan, one clear line for each mistake, and what a run's folder remembers.

use std::path::Path;

use conditions::{Condition, Conditions, Purpose};
use moeclip_train::{
    CellMethod, Experiment, Failure, Grid, LossValues, Measured, PlannedRun, Published, RunFolder,
    RunInputs, RunStatus, StepMetrics, StepReport, TapMetrics,
};

/// The methods that cells can name.
const METHODS: [CellMethod; 2] = [
    CellMethod { word: "moeclip", is_trained: true },
    CellMethod { word: "clip", is_trained: false },
];

/// A grid without mistakes, in parts that tests replace.
const GRID: &str = r#"
title = "Two of them"
seeds = [0, 7]
evaluate = ["mvtec-ad", "HeadCT"]
[base.data]
name = "visa"
[base.training]
epochs = 3
[[cells]]
name = "CLIP"
method = "clip"
[[cells]]
name = "w/o PAA"
set = ["model.scales=[1]", "training.losses.etf=0"]
published.mvtec-ad = { pixel = 92.1, image = 92.8 }
published.HeadCT = { image = 93.1 }
"#;

fn open(text: &str) -> Result<Grid, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.toml");
    std::fs::write(&path, text).unwrap();
    Grid::open(&path, &[], &METHODS).map_err(|error| error.to_string())
}

#[test]
fn cells_differ_from_the_base_in_what_they_name() {
    let grid = open(GRID).unwrap();
    assert_eq!((grid.title.as_str(), grid.seeds.as_slice()), ("Two of them", &[0, 7][..]));
    let mut base = Experiment::default();
    (base.data.name, base.training.epochs) = (Some("visa".into()), 3);
    assert_eq!(grid.cells[0].experiment, base);
    let mut changed = base;
    (changed.model.scales, changed.training.losses.etf) = (vec![1], 0.0);
    assert_eq!(grid.cells[1].experiment, changed);
    let published = Published { pixel: None, image: Some(93.1) };
    assert_eq!(grid.cells[1].published["HeadCT"], published);
}

#[test]
fn every_trained_cell_runs_once_with_each_seed_and_clip_once() {
    let runs = open(GRID).unwrap().runs();
    let places: Vec<&Path> = runs.iter().map(|run| run.folder.as_path()).collect();
    assert_eq!(places, ["clip", "w-o-paa/seed-0", "w-o-paa/seed-7"].map(Path::new));
    let seeds: Vec<_> = runs.iter().map(|run| (run.seed, run.experiment.training.seed)).collect();
    assert_eq!(seeds, [(None, 0), (Some(0), 0), (Some(7), 7)]);
}

#[test]
fn changes_for_all_go_under_the_cells_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), "[data]\nname = \"visa\"").unwrap();
    let path = folder.path().join("grid.toml");
    let text = "base = \"run.toml\"\nevaluate = [\"a\"]\n[[cells]]\nname = \"x\"\n\
                set = [\"model.rank=2\"]";
    std::fs::write(&path, text).unwrap();
    let changes = ["model.rank=4".to_owned(), "model.experts=6".to_owned()];
    let cell = Grid::open(&path, &changes, &METHODS).unwrap().cells.remove(0).experiment;
    assert_eq!((cell.model.rank, cell.model.experts), (2, 6));
    assert_eq!(cell.data.name.as_deref(), Some("visa"));
    let wrong = Grid::open(&path, &["model.rnk=4".to_owned()], &METHODS).unwrap_err().to_string();
    assert!(wrong.contains("--set model.rnk=4: model.rnk is no known key"), "{wrong}");
}

/// What is replaced in the grid, by what, and what its error says.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("seeds =", "sedes =", "sedes is no known key; did you mean seeds?"),
    ("[0, 7]", "[]", "seeds is empty; give at least one"),
    ("[0, 7]", "[3, 3]", "seeds: 3 stands twice"),
    ("[0, 7]", "[-1]", "seeds[0]"),
    ("[0, 7]", "7", "seeds = 7: give a list"),
    ("[\"mvtec-ad\", \"HeadCT\"]", "[]", "evaluate names no dataset"),
    ("\"HeadCT\"]", "\"MVTec AD\"]", "evaluate: \"MVTec AD\" stands twice"),
    ("\"HeadCT\"]", "\"\"]", "evaluate: \"\" is no name"),
    ("\"HeadCT\"]", "3]", "evaluate[1]"),
    ("\"HeadCT\"]", "\"VisA\"]", "is trained on visa and measured on VisA; take it out"),
    ("name = \"CLIP\"", "", "cell 1: has no name"),
    ("name = \"CLIP\"", "name = \"!?\"", "cell 1: has no name; give one with letters or digits"),
    ("name = \"CLIP\"", "name = 3", "cell 1: name = 3: give text"),
    ("name = \"CLIP\"", "name = \"w/o PAA\"", "cell \"w/o PAA\" stands twice; rename one"),
    ("name = \"CLIP\"", "name = \"W O Paa\"", "would share the folder w-o-paa; rename one"),
    ("\"clip\"", "\"winclip\"", "cell \"CLIP\": method: unknown variant `winclip`"),
    ("method =", "methd =", "cell \"CLIP\": methd is no known key; did you mean method?"),
    ("model.scales=[1]", "model.scals=[1]", "cell \"w/o PAA\": set \"model.scals=[1]\": "),
    ("model.scales=[1]", "model.scals=[1]", "did you mean scales?"),
    ("model.scales=[1]", "model.scales", "set \"model.scales\": is no key=value"),
    ("model.scales=[1]", "model.scales=1", "model.scales = 1: give a list"),
    ("model.scales=[1]", "training.epochs=0", "training.epochs = 0 is not usable"),
    ("model.scales=[1]", "training.seed=3", "a cell has no seed; list them in seeds"),
    ("model.scales=[1]", "data.name=mvtec-ad", "is trained on mvtec-ad and measured on mvtec-ad"),
    ("[\"model.scales=[1]\"", "[1", "set[0]"),
    ("name = \"visa\"", "", "cell \"w/o PAA\": nothing says what to train on"),
    ("[base.data]\nname = \"visa\"\n[base.training]\nepochs = 3", "", "base is missing; name a"),
    ("[base.data]\nname = \"visa\"\n[base.training]\nepochs = 3", "base = 3", "base = 3: give"),
    ("epochs = 3", "epoch = 3", "base: training.epoch is no known key; did you mean epochs?"),
    ("published.HeadCT = { image", "published.HedCT = { image", "did you mean HeadCT?"),
    ("{ image = 93.1 }", "{ imag = 93.1 }", "published.HeadCT"),
    ("{ image = 93.1 }", "{ image = \"93.1\" }", "published.HeadCT.image"),
    ("{ image = 93.1 }", "{ image = 931 }", "published.HeadCT: 931 is no percentage"),
    ("{ image = 93.1 }", "[92.1, 92.8, 93.1]", "published.HeadCT"),
    ("{ image = 93.1 }", "93.1", "write it as in { pixel = 92.5, image = 93.9 }"),
    ("published.HeadCT", "published-similarity = 2\npublished.HeadCT", "2 is no cosine"),
    ("title =", "title", "line 2"),
];

#[test]
fn mistakes_are_one_line_each() {
    for (part, replacement, says) in MISTAKES {
        assert!(GRID.contains(part), "{part:?} is no part of the grid");
        let error = open(&GRID.replacen(part, replacement, 1)).unwrap_err();
        assert!(error.contains("grid.toml: ") && error.contains(says), "{replacement:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let cellless = GRID.split("[[cells]]").next().unwrap();
    assert!(open(cellless).unwrap_err().contains("has no cells; write at least one [[cells]]"));
}

#[test]
fn a_base_that_is_not_there_or_wrong_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.toml");
    std::fs::write(&path, "base = \"run.toml\"\nevaluate = [\"a\"]\n[[cells]]\nname = \"x\"")
        .unwrap();
    let opened = || Grid::open(&path, &[], &METHODS).unwrap_err().to_string();
    assert!(opened().contains("run.toml: ") && opened().contains("check that it exists"));
    std::fs::write(folder.path().join("run.toml"), "[training]\nsed = 3").unwrap();
    assert!(opened().contains("run.toml: training.sed is no known key; did you mean seed?"));
    let absent = Grid::open(&folder.path().join("no.toml"), &[], &METHODS).unwrap_err().to_string();
    assert!(absent.contains("no.toml: ") && !absent.contains('\n'), "{absent}");
}

fn ingredients(run: &PlannedRun) -> RunInputs {
    RunInputs {
        version: "1".into(),
        method: run.method.word.into(),
        description: run.experiment.to_toml(),
        clip: "c".into(),
        auxiliary: Some("a".into()),
        options: vec!["--device=flex".into()],
        shared: Conditions::here("flex").with(Condition::Normalisation, &"plain"),
    }
}

#[test]
fn the_conditions_of_ingredients_are_all_of_the_table() {
    let ingredients = ingredients(&open(GRID).unwrap().runs()[1]);
    assert_eq!(ingredients.conditions().missing(Purpose::Ablation), []);
}

#[test]
fn a_folder_remembers_how_far_its_run_has_come() {
    let (out, grid) = (tempfile::tempdir().unwrap(), open(GRID).unwrap());
    let run = &grid.runs()[1];
    let folder = RunFolder::of(run, out.path());
    let status = || folder.status(run, &grid.evaluate).unwrap();
    assert_eq!(status(), RunStatus::ToDo);
    assert_eq!(folder.begin(&ingredients(run)).unwrap(), None);
    assert_eq!(status(), RunStatus::Begun);
    let failure = Failure { stage: "training".into(), reason: "no".into() };
    folder.set_failure(&failure).unwrap();
    assert_eq!(status(), RunStatus::Failed(failure));
    folder.forget_failure().unwrap();
    std::fs::write(folder.adapter(), "adapters").unwrap();
    assert!(!folder.is_trained(), "adapters of a run that was interrupted are not final");
    folder.set_trained(&serde_json::json!({ "steps": 3 })).unwrap();
    assert_eq!(status(), RunStatus::Trained { measured: 0 });
    assert_eq!(folder.similarity().unwrap(), None, "it left no log");
    let measured = Measured {
        data: "d".into(),
        pixel_auroc: None,
        image_auroc: Some(0.75),
        report: serde_json::json!({}),
    };
    folder.set_measured("HeadCT", &measured).unwrap();
    assert_eq!(folder.measured("HeadCT").unwrap(), Some(measured.clone()));
    assert_eq!(status(), RunStatus::Trained { measured: 1 });
    folder.set_measured("mvtec-ad", &measured).unwrap();
    assert_eq!(status(), RunStatus::Done);
}

/// A step's line in a log, with two taps.
fn logged(step: usize, epoch: usize, cosines: [Option<f32>; 2]) -> String {
    let taps = cosines.map(|similarity| TapMetrics { similarity, ..TapMetrics::default() });
    let (taps, losses) = (taps.to_vec(), LossValues::default());
    let report = StepReport { step, images: 2, learning_rate: 5e-4, losses, taps };
    let (images_per_second, unix_seconds) = (1.0, 1e9);
    let peak_bytes = None;
    let held_out = None;
    let metrics =
        StepMetrics { epoch, report, images_per_second, peak_bytes, unix_seconds, held_out };
    serde_json::to_string(&metrics).unwrap() + "\n"
}

#[test]
fn the_likeness_of_experts_is_that_of_the_last_epoch() {
    let (out, grid) = (tempfile::tempdir().unwrap(), open(GRID).unwrap());
    let folder = RunFolder::of(&grid.runs()[1], out.path());
    let log = folder.checkpoints().join("log");
    std::fs::create_dir_all(&log).unwrap();
    let write =
        |lines: &[String]| std::fs::write(log.join("metrics.jsonl"), lines.concat()).unwrap();
    let steps = [
        logged(1, 1, [Some(0.9), Some(0.9)]),
        logged(2, 2, [Some(0.25), Some(0.5)]),
        logged(3, 2, [Some(0.125), Some(-0.375)]),
    ];
    write(&steps);
    assert_eq!(folder.similarity().unwrap(), None, "not before it is trained");
    std::fs::write(folder.adapter(), "adapters").unwrap();
    folder.set_trained(&serde_json::json!({})).unwrap();
    assert_eq!(folder.similarity().unwrap(), Some(0.125));
    write(&[logged(1, 1, [None, None])]);
    assert_eq!(folder.similarity().unwrap(), None, "no experts");
}

#[test]
fn what_other_ingredients_made_is_set_aside_and_kept() {
    let (out, grid) = (tempfile::tempdir().unwrap(), open(GRID).unwrap());
    let run = &grid.runs()[1];
    let folder = RunFolder::of(run, out.path());
    folder.begin(&ingredients(run)).unwrap();
    std::fs::write(folder.adapter(), "first").unwrap();
    assert_eq!(folder.begin(&ingredients(run)).unwrap(), None);
    let other = |clip: &str| RunInputs { clip: clip.into(), ..ingredients(run) };
    let aside = folder.begin(&other("d")).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(aside.join("adapter.safetensors")).unwrap(), "first");
    assert!(!folder.adapter().exists());
    let aside_too = folder.begin(&other("e")).unwrap().unwrap();
    assert_ne!(aside, aside_too);
    let mut changed = run.clone();
    changed.experiment.model.rank = 3;
    assert_eq!(folder.status(&changed, &grid.evaluate).unwrap(), RunStatus::Changed);
}

#[test]
fn a_record_that_was_torn_is_as_good_as_absent() {
    let (out, grid) = (tempfile::tempdir().unwrap(), open(GRID).unwrap());
    let folder = RunFolder::of(&grid.runs()[1], out.path());
    std::fs::create_dir_all(folder.path().join("measured")).unwrap();
    std::fs::write(folder.path().join("measured/headct.json"), "{\"data\":").unwrap();
    assert_eq!(folder.measured("HeadCT").unwrap(), None);
}
