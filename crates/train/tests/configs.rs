//! The files of `configs/`: each is read, and says what its head promises.

use std::path::{Path, PathBuf};

use moeclip_data::PromptNames;
use moeclip_train::Experiment;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn read(name: &str) -> Experiment {
    let path = folder().join(name);
    Experiment::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap()
}

#[test]
fn every_head_says_paper_command_data_duration_and_result() {
    let mut files = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["# Paper:", "# Command:", "# Data:", "# Duration:", "# Expected:"] {
            assert!(text.contains(word), "{}: no {word}", path.display());
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(text.contains(&format!("configs/{name}")), "{name} does not name its own command");
        files += 1;
    }
    assert!(files >= 3);
}

#[test]
fn the_papers_runs_are_the_defaults_but_for_the_data() {
    for (name, data) in [("train-visa.toml", "visa"), ("train-mvtec.toml", "mvtec-ad")] {
        let mut run = read(name);
        assert_eq!(run.data.name.take().as_deref(), Some(data));
        assert_eq!(run, Experiment::default(), "{name}");
    }
}

#[test]
fn the_release_differs_as_documented() {
    let run = read("train-visa-release.toml");
    assert_eq!(run.data.prompt_names, PromptNames::Release);
    assert_eq!(run.training.learning_rate.initial, 5e-5);
    assert_eq!((run.training.losses.etf, run.training.losses.balance), (0.0, 0.0));
    let mut rest = Experiment { data: run.data.clone(), ..Experiment::default() };
    rest.training.learning_rate.initial = 5e-5;
    rest.training.losses = run.training.losses;
    assert_eq!(run, rest);
}
