//! The file of a grid: its keys, and one clear line for whatever is wrong with them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AblationError, Cell, CellMethod, Grid, Published, plain};
use crate::Experiment;
use crate::experiment::overlay;

/// A grid as it is written. Every key stands here with its default, as `overlay` wants it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GridFile {
    title: String,
    /// The path of a description, from the grid's folder, or its sections.
    base: Option<Value>,
    seeds: Vec<u64>,
    evaluate: Vec<String>,
    cells: Vec<Value>,
}

impl Default for GridFile {
    fn default() -> Self {
        let (title, evaluate, cells) = Default::default();
        Self { title, base: None, seeds: vec![0], evaluate, cells }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CellEntry {
    name: String,
    /// Empty where it is the first.
    method: String,
    set: Vec<String>,
    /// An object where it is given: its keys are datasets, not settings.
    published: Option<Value>,
    published_similarity: Option<f64>,
}

pub(super) fn open(
    path: &Path,
    changes: &[String],
    methods: &[CellMethod],
) -> Result<Grid, AblationError> {
    let text = read(path)?;
    let refuse = |reason: String| AblationError::Grid { file: path.into(), reason };
    let file: GridFile = overlay::toml(&text).and_then(laid_over_defaults).map_err(refuse)?;
    let base = base(&file, path)?;
    let base = changes.iter().try_fold(base, |run, change| run.set(change));
    let base = base.map_err(|error| refuse(error.to_string()))?;
    grid(file, base, path, methods).map_err(refuse)
}

fn grid(
    file: GridFile,
    base: Experiment,
    path: &Path,
    methods: &[CellMethod],
) -> Result<Grid, String> {
    let GridFile { title, seeds, evaluate, cells, base: _ } = file;
    check_seeds(&seeds)?;
    check_datasets(&evaluate)?;
    if cells.is_empty() {
        return Err("has no cells; write at least one [[cells]] with a name".into());
    }
    let numbered = cells.into_iter().enumerate();
    let cells = numbered.map(|(index, cell)| read_cell(index, cell, &base, &evaluate, methods));
    let cells = cells.collect::<Result<Vec<_>, _>>()?;
    check_names(&cells)?;
    let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let title = if title.is_empty() { stem() } else { title };
    Ok(Grid { title, evaluate, seeds, cells })
}

/// The description that every cell starts from.
fn base(grid: &GridFile, path: &Path) -> Result<Experiment, AblationError> {
    let refuse = |reason: String| AblationError::Grid { file: path.into(), reason };
    match &grid.base {
        Some(Value::String(file)) => {
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            let run = Experiment::parse(&read(&file)?, &file);
            run.map_err(|error| refuse(format!("base: {error}")))
        }
        Some(sections @ Value::Object(_)) => {
            let run = Experiment::default().with(sections.clone(), "base");
            run.map_err(|error| refuse(error.to_string()))
        }
        Some(other) => Err(refuse(format!("base = {other}: give a file's path or sections"))),
        None => Err(refuse(
            "base is missing; name a description as in base = \"train-visa.toml\", or write its \
             sections as in [base.training]"
                .into(),
        )),
    }
}

fn read_cell(
    index: usize,
    given: Value,
    base: &Experiment,
    evaluate: &[String],
    methods: &[CellMethod],
) -> Result<Cell, String> {
    let name = given.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let place = match plain(&name).as_str() {
        "" => format!("cell {}", index + 1),
        _ => format!("cell {name:?}"),
    };
    let at = |reason: String| format!("{place}: {reason}");
    let entry: CellEntry = laid_over_defaults(given).map_err(at)?;
    if plain(&entry.name).is_empty() {
        return Err(at("has no name; give one with letters or digits".into()));
    }
    let experiment = changed(base, &entry.set).map_err(at)?;
    let method = named_method(&entry.method, methods).map_err(at)?;
    if method.is_trained {
        check_auxiliary(&experiment, evaluate).map_err(at)?;
    }
    let CellEntry { name, published, published_similarity, .. } = entry;
    let published = read_published(published, evaluate).map_err(at)?;
    if let Some(cosine) = published_similarity.filter(|cosine| !(-1.0..=1.0).contains(cosine)) {
        return Err(at(format!("published-similarity = {cosine} is no cosine; give -1 to 1")));
    }
    Ok(Cell { name, method, experiment, published, published_similarity })
}

/// The method of this name, the first of all without one.
fn named_method(word: &str, methods: &[CellMethod]) -> Result<CellMethod, String> {
    let is_meant = |method: &&CellMethod| word.is_empty() || method.word == word;
    methods.iter().find(is_meant).copied().ok_or_else(|| {
        let known: Vec<String> = methods.iter().map(|known| format!("`{}`", known.word)).collect();
        format!("method: unknown variant `{word}`, expected {}", known.join(" or "))
    })
}

fn changed(base: &Experiment, changes: &[String]) -> Result<Experiment, String> {
    let mut run = base.clone();
    for change in changes {
        let set = run.set(change);
        run = set.map_err(|error| format!("set {change:?}: {}", error.reason))?;
        if run.training.seed != base.training.seed {
            return Err(format!("set {change:?}: a cell has no seed; list them in seeds"));
        }
    }
    Ok(run)
}

/// Trained cells need something to train on, and it must not be what they are measured on.
fn check_auxiliary(run: &Experiment, evaluate: &[String]) -> Result<(), String> {
    let Some(auxiliary) = &run.data.name else {
        return Err("nothing says what to train on; write data.name into the base".into());
    };
    match evaluate.iter().find(|name| plain(name) == plain(auxiliary)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "is trained on {auxiliary} and measured on {name}; take it out of evaluate, or train on \
             another"
        )),
    }
}

fn read_published(
    given: Option<Value>,
    evaluate: &[String],
) -> Result<BTreeMap<String, Published>, String> {
    let Some(given) = given else { return Ok(BTreeMap::new()) };
    let published: BTreeMap<String, Published> = overlay::read(given).map_err(|error| {
        format!("published.{error}; write it as in {{ pixel = 92.5, image = 93.9 }}")
    })?;
    for (dataset, numbers) in &published {
        if !evaluate.contains(dataset) {
            let known = evaluate.iter().map(String::as_str);
            let advice = overlay::nearest(dataset, known, "evaluate");
            return Err(format!("published.{dataset} is not measured{advice}"));
        }
        let wrong = |number: &f64| !(0.0..=100.0).contains(number);
        if let Some(number) = [numbers.pixel, numbers.image].into_iter().flatten().find(wrong) {
            return Err(format!("published.{dataset}: {number} is no percentage; give 0 to 100"));
        }
    }
    Ok(published)
}

fn check_seeds(seeds: &[u64]) -> Result<(), String> {
    if seeds.is_empty() {
        return Err("seeds is empty; give at least one, as in seeds = [0]".into());
    }
    match seeds.iter().enumerate().find(|(at, seed)| seeds[..*at].contains(seed)) {
        None => Ok(()),
        Some((_, seed)) => Err(format!("seeds: {seed} stands twice; remove one")),
    }
}

fn check_datasets(evaluate: &[String]) -> Result<(), String> {
    if evaluate.is_empty() {
        return Err("evaluate names no dataset; give at least one".into());
    }
    let names: Vec<String> = evaluate.iter().map(|name| plain(name)).collect();
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("evaluate: {:?} is no name of a dataset", evaluate[at]));
        }
        if names[..at].contains(name) {
            return Err(format!("evaluate: {:?} stands twice; remove one", evaluate[at]));
        }
    }
    Ok(())
}

/// Names are folders too, so names that make the same folder are the same.
fn check_names(cells: &[Cell]) -> Result<(), String> {
    for (at, cell) in cells.iter().enumerate() {
        let folder = plain(&cell.name);
        if let Some(other) = cells[..at].iter().find(|other| plain(&other.name) == folder) {
            return Err(match other.name == cell.name {
                true => format!("cell {:?} stands twice; rename one", cell.name),
                false => format!(
                    "cells {:?} and {:?} would share the folder {folder}; rename one",
                    other.name, cell.name
                ),
            });
        }
    }
    Ok(())
}

fn laid_over_defaults<T: Default + Serialize + for<'a> Deserialize<'a>>(
    given: Value,
) -> Result<T, String> {
    let mut settings = serde_json::to_value(T::default()).map_err(|error| error.to_string())?;
    overlay::overlay(&mut settings, given, "")?;
    overlay::read(settings)
}

fn read(path: &Path) -> Result<String, AblationError> {
    std::fs::read_to_string(path)
        .map_err(|source| AblationError::File { path: path.into(), source })
}
