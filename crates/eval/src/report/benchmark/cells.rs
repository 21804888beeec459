//! A published table with our columns behind it: datasets are rows, methods are columns.

use serde::Serialize;

use super::{Benchmark, Level, Outcome, Pair, Published};
use crate::metrics::mean_of_defined;
use crate::report::Protocol;

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
    /// What the numbers were measured under, here; `None` where they were published.
    pub protocol: Option<Protocol>,
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
        let measured = measured_columns(level, benchmark);
        let listed: Vec<&str> = published.datasets(level).collect();
        let datasets = benchmark.datasets.iter().filter(|set| listed.contains(&set.name.as_str()));
        let mut rows: Vec<TableRow> = datasets
            .map(|set| {
                let others = published.on(level, &set.name).unwrap_or_default();
                let others = others.into_iter().map(Cell::Numbers);
                let ours = measured.iter().map(|ours| match set.outcomes.get(ours.method) {
                    Some(outcome) => Cell::of(level, outcome, ours.protocol),
                    None => Cell::Absent,
                });
                TableRow::of_dataset(&set.name, others.chain(ours).collect())
            })
            .collect();
        let as_paper = |ours: &MeasuredColumn| ours.protocol == Protocol::Paper;
        let compared = measured.iter().filter(|ours| as_paper(ours)).count();
        let averages = averages(level, published, &rows, Extent { listed: listed.len(), compared });
        rows.extend(averages);
        let columns = published.methods().iter();
        let columns = columns.map(|name| TableColumn { name: name.clone(), protocol: None });
        let columns = columns.chain(measured.iter().map(|ours| TableColumn {
            name: benchmark.methods[ours.method].clone(),
            protocol: Some(ours.protocol),
        }));
        let columns = columns.collect();
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

/// A method under a protocol.
#[derive(Clone, Copy)]
struct MeasuredColumn {
    method: usize,
    protocol: Protocol,
}

/// How much of a table averages are over.
#[derive(Clone, Copy)]
struct Extent {
    /// Datasets that the published table lists.
    listed: usize,
    /// Columns of ours that are compared with published ones; they come before the others.
    compared: usize,
}

/// Every method under the paper's protocol, then the calibrated ones as deployed. A protocol changes
/// scores of images; the numbers of pixels are the same under all.
fn measured_columns(level: Level, benchmark: &Benchmark) -> Vec<MeasuredColumn> {
    let under = |protocol| move |method| MeasuredColumn { method, protocol };
    let methods = 0..benchmark.methods.len();
    let is_deployed = |method: &usize| {
        level == Level::Image
            && benchmark.datasets.iter().any(|set| {
                let measured = set.outcomes.get(*method).and_then(Outcome::measured);
                measured.is_some_and(|measured| measured.under(Protocol::Deployed).is_some())
            })
    };
    let deployed = methods.clone().filter(is_deployed).map(under(Protocol::Deployed));
    methods.map(under(Protocol::Paper)).chain(deployed).collect()
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
    fn of(level: Level, outcome: &Outcome, protocol: Protocol) -> Self {
        match outcome {
            Outcome::Missing => Self::Missing,
            Outcome::Refused(_) => Self::Refused,
            Outcome::Failed(_) => Self::Absent,
            Outcome::Measured(measured) => {
                let report = measured.under(protocol);
                let mean = report.map(|report| level.pair(&report.mean));
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
    extent: Extent,
) -> Vec<TableRow> {
    let Some(mut cells) =
        published.average(level).map(|row| row.into_iter().map(Cell::Numbers).collect::<Vec<_>>())
    else {
        return Vec::new();
    };
    let Some(columns) = rows.first().map(|row| row.cells.len()) else { return Vec::new() };
    let (all, ours) = (rows.iter().collect::<Vec<_>>(), cells.len());
    let compared = ours..ours + extent.compared;
    let is_measured = |row: &&TableRow| {
        let mut cells = row.cells[compared.clone()].iter();
        cells.all(|cell| cell.pair().is_some())
    };
    cells.extend((ours..columns).map(|column| match rows.len() == extent.listed {
        true => mean(&all, column),
        false => Cell::Absent,
    }));
    let average = |name: String, cells| TableRow { name, is_average: true, cells };
    let mut averages = vec![average("Average".into(), cells)];
    let shared: Vec<&TableRow> = rows.iter().filter(is_measured).collect();
    if !shared.is_empty() && shared.len() < extent.listed {
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
