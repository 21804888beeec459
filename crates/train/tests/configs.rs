//! The files of `configs/`: each is read, and says what its head promises.

use std::path::{Path, PathBuf};

use moeclip_data::PromptNames;
use moeclip_train::{CellMethod, Experiment, Grid};

/// The methods that cells can name.
const METHODS: [CellMethod; 2] = [
    CellMethod { word: "moeclip", is_trained: true },
    CellMethod { word: "clip", is_trained: false },
];

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
        // Those of other methods are read by the crate that has them.
        if path.is_dir() {
            continue;
        }
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

fn grid(name: &str) -> Grid {
    Grid::open(&folder().join(name), &[], &METHODS).unwrap()
}

#[test]
fn table_3_has_the_papers_rows_and_each_differs_from_its_last() {
    let grid = grid("ablation-table3.toml");
    let names: Vec<&str> = grid.cells.iter().map(|cell| cell.name.as_str()).collect();
    let paper = [
        "Vanilla CLIP",
        "w/o FOFS & ETF",
        "w/o FOFS",
        "w/o ETF loss",
        "w/o depth adapter",
        "w/o PAA",
        "MoECLIP",
    ];
    assert_eq!(names, paper);
    let whole = &grid.cells[6].experiment;
    assert_eq!(*whole, read("train-visa.toml"), "the last row is the paper's run");
    for cell in &grid.cells[1..6] {
        assert_eq!(cell.method, METHODS[0]);
        assert_ne!(cell.experiment, *whole, "{}", cell.name);
    }
    assert_eq!(grid.cells[0].method, METHODS[1]);
    let both = &grid.cells[1].experiment;
    assert_eq!(both.training, grid.cells[3].experiment.training);
    assert_eq!(both.model, grid.cells[2].experiment.model);
}

/// HeadCT has no masks, ColonDB no normal images, and the paper's averages are those of its columns.
#[test]
fn table_3_carries_the_papers_numbers() {
    let grid = grid("ablation-table3.toml");
    let averages: Vec<[String; 2]> = grid
        .cells
        .iter()
        .map(|cell| {
            let mean = |values: Vec<f64>| {
                format!("{:.1}", values.iter().sum::<f64>() / values.len() as f64)
            };
            let of = |dataset: &String| cell.published[dataset];
            let pixel = grid.evaluate.iter().filter_map(|dataset| of(dataset).pixel).collect();
            let image = grid.evaluate.iter().filter_map(|dataset| of(dataset).image).collect();
            [mean(pixel), mean(image)]
        })
        .collect();
    let paper = [
        ["40.6", "67.4"],
        ["91.2", "93.1"],
        ["91.9", "93.9"],
        ["91.7", "94.1"],
        ["91.7", "93.6"],
        ["90.7", "93.5"],
        ["92.2", "95.3"],
    ];
    assert_eq!(averages, paper);
}

#[test]
fn what_is_beyond_the_paper_differs_from_it_and_from_each_other() {
    let cells = grid("ablation-beyond.toml").cells;
    for (at, cell) in cells.iter().enumerate() {
        assert!(
            cells[..at].iter().all(|other| other.experiment != cell.experiment),
            "{}",
            cell.name
        );
    }
}
