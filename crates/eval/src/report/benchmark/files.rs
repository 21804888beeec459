//! The benchmark as files: for people, for spreadsheets, for programs and for papers.

use std::fmt::Display;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::format::{file_heads, full};
use super::{Benchmark, Cell, Published, ResultTable};
use crate::EvalError;
use crate::report::write_text;

/// What `table.json` holds.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    benchmark: &'a Benchmark,
    tables: Vec<ResultTable>,
    notes: Vec<String>,
    published: &'a str,
}

impl Benchmark {
    /// Writes `table.md`, `table.csv`, `classes.csv`, `table.json` and `table.tex` into a folder, each
    /// whole or not at all. The same results give the same bytes.
    ///
    /// # Errors
    /// [`EvalError::Write`] naming the file.
    pub fn write(&self, published: &Published, folder: &Path) -> Result<(), EvalError> {
        let json = folder.join("table.json");
        let text = serde_json::to_string_pretty(&self.whole(published));
        let text = text.map_err(|error| EvalError::write(&json, io::Error::other(error)))?;
        write_text(&json, &(text + "\n"))?;
        write_text(&folder.join("table.md"), &self.markdown(published))?;
        write_text(&folder.join("table.tex"), &self.latex(published))?;
        write_text(&folder.join("table.csv"), &self.csv(published)?)?;
        write_text(&folder.join("classes.csv"), &self.classes_csv()?)
    }

    /// Everything that `table.json` holds.
    pub fn whole<'a>(&'a self, published: &'a Published) -> impl Serialize + 'a {
        let (tables, notes) = (self.tables(published), self.notes());
        Whole { benchmark: self, tables, notes, published: published.source() }
    }

    /// One line for each cell of the tables: level, dataset, method, whether it was measured here or
    /// published, what stands there, and the numbers in percent.
    ///
    /// # Errors
    /// [`EvalError::Setting`] when a name cannot be written, which no text is known to be.
    pub fn csv(&self, published: &Published) -> Result<String, EvalError> {
        let mut lines = vec![
            ["level", "dataset", "method", "source", "state", "auroc", "ap"].map(str::to_owned),
        ];
        for table in self.tables(published) {
            for row in &table.rows {
                for (column, cell) in table.columns.iter().zip(&row.cells) {
                    let source = match column.protocol {
                        None => "published".to_owned(),
                        Some(protocol) => format!("measured, {protocol}"),
                    };
                    let pair = cell.pair().unwrap_or_default();
                    lines.push([
                        table.level.name().into(),
                        row.name.clone(),
                        column.name.clone(),
                        source,
                        state(cell).into(),
                        full(pair.auroc),
                        full(pair.ap),
                    ]);
                }
            }
        }
        csv_text(lines.iter().map(|line| line.as_slice()))
    }

    /// One line for each class, method and protocol: all metrics, and what calibrated thresholds do, in
    /// percent.
    ///
    /// # Errors
    /// As [`Benchmark::csv`].
    pub fn classes_csv(&self) -> Result<String, EvalError> {
        let first = ["dataset", "method", "protocol", "class"].map(str::to_owned);
        let mut lines = vec![first.into_iter().chain(file_heads()).collect::<Vec<String>>()];
        for dataset in &self.datasets {
            for (method, outcome) in self.methods.iter().zip(&dataset.outcomes) {
                let reports = outcome.measured().map(|measured| measured.reports.as_slice());
                for report in reports.unwrap_or_default() {
                    let place =
                        [&dataset.name, method, &report.protocol.to_string()].map(String::clone);
                    lines.extend(report.rows().iter().map(|row| {
                        let row = std::iter::once(row.name.to_owned()).chain(row.fields());
                        place.iter().cloned().chain(row).collect()
                    }));
                }
            }
        }
        csv_text(lines.iter().map(Vec::as_slice))
    }
}

fn state(cell: &Cell) -> &'static str {
    match cell {
        Cell::Missing => "missing",
        Cell::Refused => "refused",
        Cell::Absent => "not measured",
        Cell::Numbers(pair) if pair.auroc.is_none() && pair.ap.is_none() => "undefined",
        Cell::Numbers(_) => "number",
    }
}

fn csv_text<'a>(lines: impl Iterator<Item = &'a [String]>) -> Result<String, EvalError> {
    let unwritable = |error: &dyn Display| {
        EvalError::setting("table", error.to_string(), "must be writable as CSV")
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(line).map_err(|error| unwritable(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| unwritable(&error))?;
    String::from_utf8(bytes).map_err(|error| unwritable(&error))
}
