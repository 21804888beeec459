//! The tables for a terminal, as Markdown and as CSV, AUROC / AP in percent with one decimal; and
//! for a paper, as `tabular` with the rules of booktabs, the best number of each row bold.

use std::fmt;

use super::{Benchmark, Cell, Pair, Published, ResultTable, TableColumn, TableRow};
use crate::report::{DecisionRate, Decisions, Metric, Metrics, Protocol, Report};

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
        text.extend(self.notes().iter().map(|note| format!("\n- {}\n", markdown_escaped(note))));
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
    let cells: Vec<String> = cells.map(|cell| markdown_escaped(&cell)).collect();
    format!("| {} | {} |\n", markdown_escaped(name), cells.join(" | "))
}

/// A text that is one cell of a Markdown table.
pub(in crate::report) fn markdown_escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The heads of every table of classes.
pub(super) fn heads() -> Vec<String> {
    ["images", "anomalous"]
        .into_iter()
        .chain(Metric::ALL.map(Metric::head))
        .map(str::to_owned)
        .collect()
}

/// The heads of a file of classes: those of the tables, and of decisions by calibrated thresholds.
pub(super) fn file_heads() -> Vec<String> {
    let decisions = DecisionRate::ALL.iter().map(|rate| format!("decided {}", rate.head()));
    heads().into_iter().chain(decisions).collect()
}

/// A class or the mean of all.
pub(super) struct ClassRow<'a> {
    pub(super) name: &'a str,
    images: usize,
    anomalous: usize,
    metrics: &'a Metrics,
    decisions: Option<&'a Decisions>,
}

impl ClassRow<'_> {
    /// In percent with one decimal.
    pub(super) fn cells(&self) -> impl Iterator<Item = String> {
        let counts = [self.images, self.anomalous].map(|count| count.to_string());
        counts.into_iter().chain(self.metrics.values().map(percent))
    }

    /// In percent with four decimals; empty where undefined.
    pub(super) fn fields(&self) -> impl Iterator<Item = String> {
        let counts = [self.images, self.anomalous].map(|count| count.to_string());
        let decisions = self.decisions.map(Decisions::values).unwrap_or_default();
        counts.into_iter().chain(self.metrics.values().map(full)).chain(decisions.map(full))
    }
}

/// Percent with four decimals; empty where undefined.
pub(super) fn full(fraction: Option<f64>) -> String {
    fraction.map(|fraction| format!("{:.4}", 100.0 * fraction)).unwrap_or_default()
}

impl Report {
    /// The table as Markdown, without a heading.
    pub fn markdown(&self) -> String {
        let heads = heads();
        let rule = format!("| --- |{}\n", " ---: |".repeat(heads.len()));
        let text = markdown_row("class", heads.into_iter()) + &rule;
        self.rows().iter().fold(text, |text, row| text + &markdown_row(row.name, row.cells()))
    }

    /// Every class, then their mean.
    pub(super) fn rows(&self) -> Vec<ClassRow<'_>> {
        let rows = self.classes.iter().map(|class| ClassRow {
            name: &class.class,
            images: class.images,
            anomalous: class.anomalous,
            metrics: &class.metrics,
            decisions: class.decisions.as_ref(),
        });
        let mean = ClassRow {
            name: "mean",
            images: self.classes.iter().map(|class| class.images).sum(),
            anomalous: self.classes.iter().map(|class| class.anomalous).sum(),
            metrics: &self.mean,
            decisions: self.mean_decisions.as_ref(),
        };
        rows.chain([mean]).collect()
    }
}

impl Benchmark {
    /// One `table*` for each level.
    pub fn latex(&self, published: &Published) -> String {
        let tables = self.tables(published);
        let head = "% Needs \\usepackage{booktabs}. AUROC / AP in percent.\n".to_owned();
        tables.iter().fold(head, |text, table| text + &table.latex(&self.title))
    }
}

impl ResultTable {
    fn latex(&self, title: &str) -> String {
        let columns = "c".repeat(self.columns.len());
        let heads = self.columns.iter().map(|column| latex_escaped(&column.head()));
        let heads: Vec<String> = heads.collect();
        let mut text = format!(
            "\\begin{{table*}}\n\\centering\n\\caption{{{}, {} level}}\n\\begin{{tabular}}{{l{columns}}}\n\\toprule\n & {} \\\\\n\\midrule\n",
            latex_escaped(title),
            self.level.name(),
            heads.join(" & ")
        );
        let mut was_average = false;
        for row in &self.rows {
            if row.is_average && !was_average {
                text += "\\midrule\n";
            }
            was_average = row.is_average;
            text +=
                &format!("{} & {} \\\\\n", latex_escaped(&row.name), self.cells(row).join(" & "));
        }
        text + "\\bottomrule\n\\end{tabular}\n\\end{table*}\n"
    }

    fn cells(&self, row: &TableRow) -> Vec<String> {
        let (auroc, ap) = (self.best(row, |pair| pair.auroc), self.best(row, |pair| pair.ap));
        let best = auroc.into_iter().zip(ap);
        let cells = row.cells.iter().zip(best);
        cells.map(|(cell, (auroc, ap))| latex_cell(cell, [auroc, ap])).collect()
    }
}

/// A cell whose `[AUROC, AP]` may be the best of their row.
fn latex_cell(cell: &Cell, [auroc, ap]: [bool; 2]) -> String {
    let number = |value: Option<f64>, is_best: bool| match is_best {
        true => format!("\\textbf{{{}}}", percent(value)),
        false => percent(value),
    };
    match cell {
        Cell::Numbers(Pair { auroc: None, ap: None }) => "n/a".into(),
        Cell::Numbers(pair) => format!("{} / {}", number(pair.auroc, auroc), number(pair.ap, ap)),
        Cell::Missing | Cell::Refused | Cell::Absent => cell.text(),
    }
}

/// A text without commands.
fn latex_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', letter]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_give_commands() {
        assert_eq!(
            latex_escaped(r"a_b & 50% \input{x}"),
            r"a\_b \& 50\% \textbackslash{}input\{x\}"
        );
    }
}
