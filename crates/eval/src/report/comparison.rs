//! A table of several methods on several datasets, each number beside the published one: rows are
//! methods, columns are datasets and their average.
//!
//! The average is made as published tables make it: for each metric the mean over the datasets on
//! which it is defined. What is undefined is `n/a`; what was not measured, because it failed or was
//! not begun, is `-`, and so is every average that would need it.

mod format;

use serde::Serialize;

/// AUROC on one dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Auroc {
    /// Over pixels; `None` where undefined.
    pub pixel: Option<f64>,
    /// Over images; `None` where undefined.
    pub image: Option<f64>,
}

/// One method as it was measured and published.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodResults {
    /// As it stands in the table.
    pub name: String,
    /// For each run of the method, for each dataset, what was measured, as fractions of 1; `None`
    /// where nothing was.
    pub runs: Vec<Vec<Option<Auroc>>>,
    /// For each dataset what was published, as fractions of 1; `None` where nothing was.
    pub published: Vec<Option<Auroc>>,
    /// For each run that was trained, the mean cosine between the outputs of two of its experts; `None`
    /// where it has none.
    pub similarity: Vec<Option<f64>>,
    /// The cosine that was published.
    pub published_similarity: Option<f64>,
    /// One line for each run that failed.
    pub failures: Vec<String>,
}

/// The table. [`Display`](std::fmt::Display) prints it for a terminal, in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What stands above it.
    pub title: String,
    /// Datasets, and `Average` behind them.
    pub columns: Vec<String>,
    /// One for each method.
    pub rows: Vec<ComparisonRow>,
}

/// A method's row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparisonRow {
    /// The method.
    pub name: String,
    /// Runs behind the numbers, where all of them were measured.
    pub runs: usize,
    /// A number pair for each column.
    pub entries: Vec<Entry>,
    /// Mean cosine between the outputs of two experts.
    pub similarity: Number,
    /// The cosine that was published.
    pub published_similarity: Option<f64>,
    /// One line for each run that failed.
    pub failures: Vec<String>,
}

/// What stands in one column of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Over pixels.
    pub pixel: Number,
    /// Over images.
    pub image: Number,
    /// What was published, as fractions of 1.
    pub published: Auroc,
}

/// A number that was to be measured, from 0 to 1; a cosine from -1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Number {
    /// No run was measured.
    Missing,
    /// It does not exist: there are no masks, or only one kind of image.
    Undefined,
    /// Over the runs that were measured.
    Measured(Spread),
}

/// Mean and spread over runs, not in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// Standard deviation of the sample (n - 1); `None` for a single run.
    pub deviation: Option<f64>,
    /// Runs behind it.
    pub runs: usize,
}

impl Comparison {
    /// A table of results on `datasets`; where a row has fewer columns than there are datasets, the
    /// rest counts as not measured.
    pub fn new(title: impl Into<String>, datasets: &[String], methods: &[MethodResults]) -> Self {
        let average = std::iter::once("Average".to_owned());
        let columns = datasets.iter().cloned().chain(average).collect();
        let rows = methods.iter().map(|method| ComparisonRow::new(method, datasets.len()));
        Self { title: title.into(), columns, rows: rows.collect() }
    }
}

impl ComparisonRow {
    fn new(method: &MethodResults, datasets: usize) -> Self {
        let column = |runs: &[Option<Auroc>], at: usize| runs.get(at).copied().flatten();
        let average = |runs: &[Option<Auroc>]| {
            let all: Option<Vec<Auroc>> = (0..datasets).map(|at| column(runs, at)).collect();
            all.map(|all| Auroc::mean(&all))
        };
        let mut entries: Vec<Entry> = (0..datasets)
            .map(|at| {
                let measured = method.runs.iter().map(|run| column(run, at));
                Entry::new(measured.collect(), column(&method.published, at))
            })
            .collect();
        let measured = method.runs.iter().map(|run| average(run));
        entries.push(Entry::new(measured.collect(), average(&method.published)));
        let (name, failures) = (method.name.clone(), method.failures.clone());
        let similarity = Number::of(method.similarity.clone());
        let published_similarity = method.published_similarity;
        let runs = method.runs.len();
        Self { name, runs, entries, similarity, published_similarity, failures }
    }
}

impl Entry {
    fn new(runs: Vec<Option<Auroc>>, published: Option<Auroc>) -> Self {
        let measured: Vec<Auroc> = runs.into_iter().flatten().collect();
        Self {
            pixel: Number::of(measured.iter().map(|run| run.pixel).collect()),
            image: Number::of(measured.iter().map(|run| run.image).collect()),
            published: published.unwrap_or_default(),
        }
    }
}

impl Number {
    fn of(runs: Vec<Option<f64>>) -> Self {
        let defined: Vec<f64> = runs.iter().copied().flatten().collect();
        match (runs.len(), defined.len()) {
            (0, _) => Self::Missing,
            (_, 0) => Self::Undefined,
            (_, count) => {
                let mean = mean(&defined);
                let squares: f64 = defined.iter().map(|value| (value - mean).powi(2)).sum();
                let deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
                Self::Measured(Spread { mean, deviation, runs: count })
            }
        }
    }

    /// The mean, where there is one.
    pub fn mean(&self) -> Option<f64> {
        match self {
            Self::Measured(spread) => Some(spread.mean),
            Self::Missing | Self::Undefined => None,
        }
    }
}

impl Auroc {
    /// Each metric's mean over the datasets where it is defined.
    fn mean(datasets: &[Auroc]) -> Self {
        let over = |metric: fn(&Auroc) -> Option<f64>| {
            let defined: Vec<f64> = datasets.iter().filter_map(metric).collect();
            (!defined.is_empty()).then(|| mean(&defined))
        };
        Self { pixel: over(|auroc| auroc.pixel), image: over(|auroc| auroc.image) }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
