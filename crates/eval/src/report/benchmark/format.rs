//! The tables for a terminal and as Markdown: AUROC / AP in percent with one decimal.

use std::fmt;

use crate::report::Protocol;

use super::{Benchmark, Cell, Pair, Published, ResultTable, TableColumn};

/// What stands under every table.
pub const LEGEND: &str = "AUROC / AP, percent. n/a: undefined, and in no mean; missing: no \
                                 copy of the dataset; refused: trained on it; -: not measured";

impl fmt::Display for ResultTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let heads: Vec<String> = self.columns.iter().map(TableColumn::head).collect();
        let texts: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.cells.iter().map(Cell::text).collect()).collect();
        let width = |column: usize| {
            let cells = texts.iter().filter_map(|row| row.get(column)).chain(heads.get(column));
            cells.map(|text| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        write!(f, "{} level\n{:names$}", self.level.name(), "")?;
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            let mut cells = cells.iter().zip(&widths);
            cells.try_for_each(|(cell, width)| write!(f, "  {cell:>width$}"))
        };
        line(f, &heads)?;
        for (row, cells) in self.rows.iter().zip(&texts) {
            write!(f, "\n{:names$}", row.name)?;
            line(f, cells)?;
        }
        Ok(())
    }
}

impl ResultTable {
    /// The table as Markdown, without a heading.
    pub fn markdown(&self) -> String {
        let heads = self.columns.iter().map(TableColumn::head);
        let mut text = markdown_row("", heads);
        text += &format!("| --- |{}\n", " ---: |".repeat(self.columns.len()));
        for row in &self.rows {
            text += &markdown_row(&row.name, row.cells.iter().map(Cell::text));
        }
        text
    }
}

impl Benchmark {
    /// Both tables, the notes, and the classes of every dataset.
    pub fn markdown(&self, published: &Published) -> String {
        let mut text = format!("# {}\n", self.title);
        for table in self.tables(published) {
            text += &format!("\n## {} level\n\n{}", table.level.name(), table.markdown());
        }
        text += &format!("\n{LEGEND}.\nPublished numbers: {}\n", published.source());
        text.extend(self.notes().iter().map(|note| format!("\n- {}\n", escaped(note))));
        for dataset in &self.datasets {
            for (method, outcome) in self.methods.iter().zip(&dataset.outcomes) {
                let reports = outcome.measured().map(|measured| measured.reports.as_slice());
                for report in reports.unwrap_or_default() {
                    let heading =
                        format!("{}, {method}, protocol {}", dataset.name, report.protocol);
                    text += &format!("\n### {heading}\n\n{}", report.markdown());
                }
            }
        }
        text
    }
}

impl TableColumn {
    /// The name; ours says that it is, and under what if not as in the paper.
    pub(super) fn head(&self) -> String {
        match self.protocol {
            None => self.name.clone(),
            Some(Protocol::Paper) => format!("{} (here)", self.name),
            Some(protocol) => format!("{} ({protocol})", self.name),
        }
    }
}

impl Cell {
    /// As every table prints it.
    pub fn text(&self) -> String {
        match self {
            Self::Missing => "missing".into(),
            Self::Refused => "refused".into(),
            Self::Absent => "-".into(),
            Self::Numbers(Pair { auroc: None, ap: None }) => "n/a".into(),
            Self::Numbers(pair) => format!("{} / {}", percent(pair.auroc), percent(pair.ap)),
        }
    }
}

/// Percent with one decimal; `n/a` where undefined.
pub(in crate::report) fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "n/a".into(), |fraction| format!("{:.1}", 100.0 * fraction))
}

pub(in crate::report) fn markdown_row(name: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| escaped(&cell)).collect();
    format!("| {} | {} |\n", escaped(name), cells.join(" | "))
}

/// A text that is one cell of a Markdown table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
