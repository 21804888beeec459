//! Steps as a table: a column for every number. The first step decides the columns.

use std::io::{self, Write};

use crate::{LoggedStep, Scalar};

/// A table that grows by a row a step.
#[derive(Debug)]
pub(super) struct TableLog<W> {
    out: W,
    /// The names of the numbers; empty before the first step.
    columns: Vec<String>,
}

impl<W: Write> TableLog<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, columns: Vec::new() }
    }

    /// Adds a row; a number that a step lacks is an empty field.
    pub(super) fn step(&mut self, metrics: &impl LoggedStep) -> io::Result<()> {
        let scalars = metrics.scalars();
        let mut rows = csv::Writer::from_writer(Vec::new());
        if self.columns.is_empty() {
            self.columns = scalars.iter().map(|scalar| scalar.name.clone()).collect();
            let place = ["step", "epoch", "unix-seconds"].into_iter();
            rows.write_record(place.chain(self.columns.iter().map(String::as_str)))?;
        }
        let place = [
            metrics.step().to_string(),
            metrics.epoch().map(|epoch| epoch.to_string()).unwrap_or_default(),
            format!("{:.3}", metrics.unix_seconds()),
        ];
        let values = self.columns.iter().map(|column| field(&scalars, column));
        rows.write_record(place.into_iter().chain(values))?;
        let bytes = rows.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        self.out.write_all(&bytes)
    }
}

fn field(scalars: &[Scalar], column: &str) -> String {
    let found = scalars.iter().find(|scalar| scalar.name == column);
    found.and_then(|scalar| scalar.value).map(|value| value.to_string()).unwrap_or_default()
}
