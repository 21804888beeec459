//! An ablation as one TOML file: a description of a run, what each cell of the table changes in it,
//! and on which datasets all are measured.
//!
//! A grid is read as strictly as a run, and completely before anything is trained: a misspelt
//! setting in the last cell must not show after a week. Who trains and measures is the caller;
//! [`RunFolder`] remembers what was done.

mod folder;
mod grid_file;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use conditions::Difference;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Experiment;

pub use folder::{Failure, Measured, RunFolder, RunInputs, RunStatus};

/// A table of runs that differ in what is under study.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// What stands above the table.
    pub title: String,
    /// Datasets that every cell is measured on, by name or path, in the order of the columns.
    pub evaluate: Vec<String>,
    /// Each trained cell is trained once with each.
    pub seeds: Vec<u64>,
    /// The rows.
    pub cells: Vec<Cell>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// As it stands in the table.
    pub name: String,
    /// What is measured.
    pub method: CellMethod,
    /// The run, resolved: base, then changes for the whole grid, then the cell's own.
    pub experiment: Experiment,
    /// Numbers that were published, by dataset.
    pub published: BTreeMap<String, Published>,
    /// The mean cosine between the outputs of two experts that was published.
    pub published_similarity: Option<f64>,
}

/// What a cell measures: one of the methods that the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellMethod {
    /// As cells name it.
    pub word: &'static str,
    /// Whether the cell trains adapters for it.
    pub is_trained: bool,
}

/// Published numbers of a dataset, AUROC in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Published {
    /// Over pixels.
    pub pixel: Option<f64>,
    /// Over images.
    pub image: Option<f64>,
}

/// One cell with one seed: what is trained and measured as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// The cell's name.
    pub cell: String,
    /// What is measured.
    pub method: CellMethod,
    /// `None` where nothing is trained.
    pub seed: Option<u64>,
    /// The description with that seed.
    pub experiment: Experiment,
    /// Where its files lie, below the grid's own folder.
    pub folder: PathBuf,
}

impl Grid {
    /// Reads a grid and its base; `changes` are `key=value` for every cell, under the cells' own.
    /// `methods` are those that a cell can name; the first where it names none.
    ///
    /// # Errors
    /// [`AblationError`] naming file, cell and key: a file that cannot be read, an unknown key, a
    /// name that stands twice, nothing to train or to measure, a change that no run can have.
    pub fn open(
        path: &Path,
        changes: &[String],
        methods: &[CellMethod],
    ) -> Result<Self, AblationError> {
        grid_file::open(path, changes, methods)
    }

    /// Every run, cell by cell.
    pub fn runs(&self) -> Vec<PlannedRun> {
        self.cells.iter().flat_map(|cell| cell.runs(&self.seeds)).collect()
    }
}

impl Cell {
    /// The cell's runs, one for each seed.
    pub fn runs(&self, seeds: &[u64]) -> Vec<PlannedRun> {
        match self.method.is_trained {
            false => vec![self.run(None)],
            true => seeds.iter().map(|&seed| self.run(Some(seed))).collect(),
        }
    }

    fn run(&self, seed: Option<u64>) -> PlannedRun {
        let mut experiment = self.experiment.clone();
        let mut folder = PathBuf::from(plain(&self.name));
        if let Some(seed) = seed {
            experiment.training.seed = seed;
            folder.push(format!("seed-{seed}"));
        }
        let (cell, method) = (self.name.clone(), self.method);
        PlannedRun { cell, method, seed, experiment, folder }
    }
}

/// A name as a folder: small letters and digits, with `-` between words.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// A grid that cannot be run, or a folder that cannot be used.
#[derive(Debug, Error)]
pub enum AblationError {
    /// The grid, or its base, says something that cannot be.
    #[error("{}: {reason}", .file.display())]
    Grid {
        /// The grid's file.
        file: PathBuf,
        /// Cell, key and remedy.
        reason: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}; check that it exists and is yours to read and write", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A run that was made by another build or machine.
    #[error("{}: holds a run of other conditions: {difference} or another folder", .folder.display())]
    OtherConditions {
        /// The run's folder.
        folder: PathBuf,
        /// The first condition that differs.
        difference: Box<Difference>,
    },
}
