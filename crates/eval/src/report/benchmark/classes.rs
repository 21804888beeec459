//! The classes of a report as Markdown and as rows of a CSV file.

use super::format::{markdown_row, percent};
use crate::report::table::{DECISION_HEADS, HEADS};
use crate::report::{Decisions, Metrics, Report};

/// The heads of every table of classes.
pub(super) fn heads() -> Vec<String> {
    ["images", "anomalous"].iter().chain(&HEADS).map(ToString::to_string).collect()
}

/// The heads of a file of classes: those of the tables, and of decisions by calibrated thresholds.
pub(super) fn file_heads() -> Vec<String> {
    let decisions = DECISION_HEADS.iter().map(|head| format!("decided {head}"));
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
        counts.into_iter().chain(self.metrics.columns().map(percent))
    }

    /// In percent with four decimals; empty where undefined.
    pub(super) fn fields(&self) -> impl Iterator<Item = String> {
        let counts = [self.images, self.anomalous].map(|count| count.to_string());
        let decisions = self.decisions.map(Decisions::columns).unwrap_or_default();
        counts.into_iter().chain(self.metrics.columns().map(full)).chain(decisions.map(full))
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
