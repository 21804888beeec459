//! A published table with our columns behind it: datasets are rows, methods are columns.

use serde::Serialize;

use super::{Benchmark, Level, Outcome, Pair, Published};
use crate::metrics::mean_of_defined;

/// One level's table. [`Display`](std::fmt::Display) prints it for a terminal, in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResultTable {
    /// What the numbers are taken over.
    pub level: Level,
    /// Published methods, then those measured here.
    pub columns: Vec<TableColumn>,
    /// One for each dataset, then the averages.
    pub rows: Vec<TableRow>,
}

/// A method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Whether the numbers were measured here; else they were published.
    pub is_measured: bool,
}

/// A dataset, or an average.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableRow {
    /// Its name.
    pub name: String,
    /// Whether it is made of other rows.
    pub is_average: bool,
    /// One for each column.
    pub cells: Vec<Cell>,
}

/// What stands in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// There is no copy of the dataset.
    Missing,
    /// The method was trained on it.
    Refused,
    /// It could not be measured; for an average: one of its datasets was not.
    Absent,
    /// The numbers, `None` where undefined.
    Numbers(Pair),
}

impl ResultTable {
    /// The rows are those datasets of the benchmark that the published table lists.
    pub(super) fn new(level: Level, benchmark: &Benchmark, published: &Published) -> Self {
        let column =
            |is_measured| move |name: &String| TableColumn { name: name.clone(), is_measured };
        let columns = published.methods().iter().map(column(false));
        let columns = columns.chain(benchmark.methods.iter().map(column(true))).collect();
        let listed: Vec<&str> = published.datasets(level).collect();
        let datasets = benchmark.datasets.iter().filter(|set| listed.contains(&set.name.as_str()));
        let mut rows: Vec<TableRow> = datasets
            .map(|set| {
                let others = published.on(level, &set.name).unwrap_or_default();
                let others = others.into_iter().map(Cell::Numbers);
                let ours = set.outcomes.iter().map(|outcome| Cell::of(level, outcome));
                TableRow::of_dataset(&set.name, others.chain(ours).collect())
            })
            .collect();
        let averages = averages(level, published, &rows, listed.len());
        rows.extend(averages);
        Self { level, columns, rows }
    }

    /// For each column whether its number is the highest of a row, by AUROC and by AP; a tie has
    /// several.
    pub fn best(&self, row: &TableRow, number: fn(&Pair) -> Option<f64>) -> Vec<bool> {
        let shown = |cell: &Cell| cell.pair().and_then(|pair| number(&pair)).map(tenths);
        let highest = row.cells.iter().filter_map(shown).max();
        row.cells.iter().map(|cell| highest.is_some() && shown(cell) == highest).collect()
    }
}

/// A fraction in the digits that tables print.
fn tenths(fraction: f64) -> i64 {
    (1000.0 * fraction).round() as i64
}

impl TableRow {
    fn of_dataset(name: &str, cells: Vec<Cell>) -> Self {
        Self { name: name.into(), is_average: false, cells }
    }
}

impl Cell {
    fn of(level: Level, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Missing => Self::Missing,
            Outcome::Refused(_) => Self::Refused,
            Outcome::Failed(_) => Self::Absent,
            Outcome::Measured(measured) => {
                let mean = measured.paper().map(|report| level.pair(&report.mean));
                mean.map_or(Self::Absent, Self::Numbers)
            }
        }
    }

    /// The numbers, where there are any.
    pub fn pair(&self) -> Option<Pair> {
        match self {
            Self::Numbers(pair) => Some(*pair),
            Self::Missing | Self::Refused | Self::Absent => None,
        }
    }
}

/// The average over all that the published table lists, and, where ours lack some of these, the one
/// over the datasets that every method here was measured on.
fn averages(
    level: Level,
    published: &Published,
    rows: &[TableRow],
    listed: usize,
) -> Vec<TableRow> {
    let Some(mut cells) =
        published.average(level).map(|row| row.into_iter().map(Cell::Numbers).collect::<Vec<_>>())
    else {
        return Vec::new();
    };
    let (all, ours) = (rows.iter().collect::<Vec<_>>(), cells.len());
    let columns = rows.first().map_or(ours, |row| row.cells.len());
    let is_measured = |row: &&TableRow| row.cells[ours..].iter().all(|cell| cell.pair().is_some());
    cells.extend((ours..columns).map(|column| match rows.len() == listed {
        true => mean(&all, column),
        false => Cell::Absent,
    }));
    let average = |name: String, cells| TableRow { name, is_average: true, cells };
    let mut averages = vec![average("Average".into(), cells)];
    let shared: Vec<&TableRow> = rows.iter().filter(is_measured).collect();
    if !shared.is_empty() && shared.len() < listed {
        let cells = (0..columns).map(|column| mean(&shared, column)).collect();
        averages.push(average(format!("Average of {}", shared.len()), cells));
    }
    averages
}

/// Each number's mean over the rows that define it.
fn mean(rows: &[&TableRow], column: usize) -> Cell {
    let pairs: Option<Vec<Pair>> =
        rows.iter().map(|row| row.cells.get(column).and_then(Cell::pair)).collect();
    pairs.map_or(Cell::Absent, |pairs| {
        Cell::Numbers(Pair {
            auroc: mean_of_defined(pairs.iter().filter_map(|pair| pair.auroc)),
            ap: mean_of_defined(pairs.iter().filter_map(|pair| pair.ap)),
        })
    })
}
