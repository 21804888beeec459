//! The comparison for a terminal, as Markdown and as CSV: percent with one decimal, cosines as they are.

use std::fmt;
use std::io;
use std::path::Path;

use super::{Auroc, Comparison, ComparisonRow, Entry, Number};
use crate::EvalError;
use crate::pictures::comparison_chart;
use crate::report::{markdown_escaped, write_text};

/// What stands under every table.
const LEGEND: &str = "pixel / image AUROC, percent; n/a: undefined (no masks, or no normal images), \
                      and not in the average; -: not measured";

/// What the published row of a method is called.
const PUBLISHED: &str = "  published";

/// The last column, where any row has experts.
const EXPERTS: &str = "Experts' cosine";

/// What that column is.
const EXPERTS_LEGEND: &str =
    "experts' cosine: mean between the outputs of two experts, over taps and the last epoch";

/// A row of finished text.
struct TableLine {
    name: String,
    cells: Vec<String>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lines, heads) = (self.lines(), self.heads());
        let width = |texts: &mut dyn Iterator<Item = &str>| {
            texts.map(|text| text.chars().count()).max().unwrap_or(0)
        };
        let names = width(&mut lines.iter().map(|line| line.name.as_str()));
        let widths: Vec<usize> = (0..heads.len())
            .map(|at| {
                let cells = lines.iter().filter_map(|line| Some(line.cells.get(at)?.as_str()));
                width(&mut cells.chain([heads[at].as_str()]))
            })
            .collect();
        write!(f, "{}\n{:names$}", self.title, "")?;
        for (column, width) in heads.iter().zip(&widths) {
            write!(f, "  {column:>width$}")?;
        }
        for line in &lines {
            write!(f, "\n{:names$}", line.name)?;
            for (cell, width) in line.cells.iter().zip(&widths) {
                write!(f, "  {cell:>width$}")?;
            }
        }
        write!(f, "\n{}", self.legend())?;
        self.failures().try_for_each(|failure| write!(f, "\nfailed: {failure}"))
    }
}

impl Comparison {
    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let row = |name: &str, cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| markdown_escaped(cell)).collect();
            format!("| {} | {} |\n", markdown_escaped(name), cells.join(" | "))
        };
        let mut text = format!("## {}\n\n", self.title);
        let heads = self.heads();
        text += &row("", &heads);
        text += &format!("| --- |{}\n", " ---: |".repeat(heads.len()));
        for line in self.lines() {
            text += &row(line.name.trim(), &line.cells);
        }
        text += &format!("\n{}\n", self.legend());
        for failure in self.failures() {
            text += &format!("\n- failed: {}\n", markdown_escaped(&failure));
        }
        text
    }

    /// One line for each number: method, dataset, metric, mean, deviation, runs, published. Percent,
    /// but for the experts' cosine, which has no dataset; an empty field is undefined, `-` was not
    /// measured.
    ///
    /// # Errors
    /// [`EvalError::Setting`] when a name cannot be written, which no text is known to be.
    pub fn csv(&self) -> Result<String, EvalError> {
        let unwritable = |error: &dyn fmt::Display| {
            EvalError::setting("table", error.to_string(), "must be writable as CSV")
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let heads = ["method", "dataset", "metric", "mean", "deviation", "runs", "published"];
        writer.write_record(heads).map_err(|error| unwritable(&error))?;
        for record in self.rows.iter().flat_map(|row| self.records(row)) {
            writer.write_record(record).map_err(|error| unwritable(&error))?;
        }
        let bytes = writer.into_inner().map_err(|error| unwritable(&error))?;
        String::from_utf8(bytes).map_err(|error| unwritable(&error))
    }

    fn records(&self, row: &ComparisonRow) -> Vec<[String; 7]> {
        let columns = self.columns.iter().zip(&row.entries);
        let records = columns.flat_map(|(column, entry)| {
            let Entry { pixel, image, published } = entry;
            let metrics =
                [("pixel AUROC", pixel, published.pixel), ("image AUROC", image, published.image)];
            metrics.map(|(metric, number, published)| {
                let [mean, deviation, runs] = fields(number, full);
                let published = published.map(full).unwrap_or_default();
                let (name, column) = (row.name.clone(), column.clone());
                [name, column, metric.into(), mean, deviation, runs, published]
            })
        });
        let experts = self.has_experts().then(|| {
            let [mean, deviation, runs] = fields(&row.similarity, |cosine| format!("{cosine:.4}"));
            let published = row.published_similarity.map(|cosine| format!("{cosine:.4}"));
            let (name, metric) = (row.name.clone(), "experts' cosine".to_owned());
            [name, String::new(), metric, mean, deviation, runs, published.unwrap_or_default()]
        });
        records.chain(experts).collect()
    }

    /// What stands above the columns.
    fn heads(&self) -> Vec<String> {
        let experts = self.has_experts().then(|| EXPERTS.to_owned());
        self.columns.iter().cloned().chain(experts).collect()
    }

    fn has_experts(&self) -> bool {
        self.rows.iter().any(|row| row.similarity.mean().is_some())
    }

    fn lines(&self) -> Vec<TableLine> {
        let has_experts = self.has_experts();
        let lines = self.rows.iter().flat_map(|row| {
            let cosine = has_experts.then(|| short(&row.similarity, cosine));
            let measured = row.entries.iter().map(measured).chain(cosine).collect();
            let published = row.entries.iter().map(|entry| published(&entry.published));
            let theirs = || row.published_similarity.map(self::cosine).unwrap_or_default();
            let published: Vec<String> = published.chain(has_experts.then(theirs)).collect();
            let is_published = published.iter().any(|cell| !cell.is_empty());
            let beside =
                is_published.then(|| TableLine { name: PUBLISHED.into(), cells: published });
            [TableLine { name: row.name.clone(), cells: measured }].into_iter().chain(beside)
        });
        lines.collect()
    }

    fn legend(&self) -> String {
        let mut legend = LEGEND.to_owned();
        if let Some(runs @ 2..) = self.rows.iter().map(|row| row.runs).max() {
            legend += &format!("; mean±standard deviation of {runs} runs");
        }
        if self.has_experts() {
            legend += &format!("\n{EXPERTS_LEGEND}");
        }
        legend
    }

    fn failures(&self) -> impl Iterator<Item = String> {
        let rows = self.rows.iter();
        rows.flat_map(|row| row.failures.iter().map(|why| format!("{}: {why}", row.name)))
    }
}

fn measured(entry: &Entry) -> String {
    match (entry.pixel, entry.image) {
        (Number::Missing, Number::Missing) => "-".into(),
        (pixel, image) => format!("{} / {}", short(&pixel, percent), short(&image, percent)),
    }
}

fn published(numbers: &Auroc) -> String {
    let text = |number: Option<f64>| number.map_or("n/a".to_owned(), percent);
    match numbers {
        Auroc { pixel: None, image: None } => String::new(),
        Auroc { pixel, image } => format!("{} / {}", text(*pixel), text(*image)),
    }
}

fn short(number: &Number, write: fn(f64) -> String) -> String {
    match number {
        Number::Missing => "-".into(),
        Number::Undefined => "n/a".into(),
        Number::Measured(spread) => match spread.deviation {
            None => write(spread.mean),
            Some(deviation) => format!("{}±{}", write(spread.mean), write(deviation)),
        },
    }
}

/// Mean, deviation and number of runs.
fn fields(number: &Number, write: fn(f64) -> String) -> [String; 3] {
    match number {
        Number::Missing => ["-".into(), String::new(), "0".into()],
        Number::Undefined => [String::new(), String::new(), "0".into()],
        Number::Measured(spread) => {
            let deviation = spread.deviation.map(write).unwrap_or_default();
            [write(spread.mean), deviation, spread.runs.to_string()]
        }
    }
}

fn cosine(value: f64) -> String {
    format!("{value:.2}")
}

fn percent(fraction: f64) -> String {
    format!("{:.1}", 100.0 * fraction)
}

fn full(fraction: f64) -> String {
    format!("{:.4}", 100.0 * fraction)
}

impl Comparison {
    /// Writes `table.md`, `table.csv`, `table.json` and `table.svg` into a folder, each whole or not
    /// at all. The same results give the same bytes.
    ///
    /// # Errors
    /// [`EvalError::Write`] naming the file.
    pub fn write(&self, folder: &Path) -> Result<(), EvalError> {
        let json = folder.join("table.json");
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| EvalError::write(&json, io::Error::other(error)))?;
        write_text(&json, &(text + "\n"))?;
        write_text(&folder.join("table.md"), &self.markdown())?;
        write_text(&folder.join("table.csv"), &self.csv()?)?;
        write_text(&folder.join("table.svg"), &comparison_chart(self))
    }
}
