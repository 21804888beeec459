//! Lists as tables: comma-separated values with a header.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::Collector;
use super::fields::{Fields, label, shown};
use crate::error::DataError;

/// A column that a table may have, or must.
pub(super) struct Column {
    name: &'static str,
    is_needed: bool,
    field: fn(&mut Fields) -> &mut String,
}

const fn needed(name: &'static str, field: fn(&mut Fields) -> &mut String) -> Column {
    Column { name, is_needed: true, field }
}

const fn optional(name: &'static str, field: fn(&mut Fields) -> &mut String) -> Column {
    Column { name, is_needed: false, field }
}

/// The columns of a table of one's own.
pub(super) const OWN: &[Column] = &[
    needed("image", |fields| &mut fields.image),
    needed("label", |fields| &mut fields.label),
    optional("mask", |fields| &mut fields.mask),
    optional("class", |fields| &mut fields.class),
    optional("prompt", |fields| &mut fields.prompt),
    optional("defect", |fields| &mut fields.defect),
    optional("split", |fields| &mut fields.split),
    optional("group", |fields| &mut fields.group),
];

/// The columns of `split_csv` tables.
pub(super) const SPLIT: &[Column] = &[
    needed("object", |fields| &mut fields.class),
    needed("split", |fields| &mut fields.split),
    needed("label", |fields| &mut fields.label),
    needed("image", |fields| &mut fields.image),
    needed("mask", |fields| &mut fields.mask),
];

/// One row that is not empty.
struct Row {
    line: usize,
    values: Result<StringRecord, String>,
}

pub(super) fn parse(
    text: &str,
    known: &'static [Column],
    lines: &mut Collector,
) -> Result<(), DataError> {
    let mut rows = rows(text);
    let header = header(rows.next(), known, lines)?;
    for row in rows {
        let fields = row.values.and_then(|values| {
            check_width(&values, header.len())?;
            let mut fields = Fields::default();
            for (column, value) in header.iter().zip(&values) {
                *(column.field)(&mut fields) = value.to_owned();
            }
            Ok(fields)
        });
        lines.add(row.line, fields.and_then(|fields| fields.check(row.line)))?;
    }
    Ok(())
}

/// Tables whose first two columns are an image's name and its label, whatever they are called.
pub(super) fn parse_labels(text: &str, lines: &mut Collector) -> Result<(), DataError> {
    let mut rows = rows(text);
    let header = rows.next().and_then(|row| row.values.ok()).unwrap_or_default();
    if header.len() < 2 || header.get(1).is_some_and(|second| label(second).is_ok()) {
        let reason = "the first line is no header of two columns, an image's name and its label; \
                      add one, such as id,label";
        return Err(lines.refuse(reason.into()));
    }
    for row in rows {
        let fields = row.values.and_then(|values| {
            check_width(&values, header.len())?;
            let value = |at| values.get(at).unwrap_or_default().to_owned();
            Ok(Fields { image: value(0), label: value(1), ..Fields::default() })
        });
        lines.add(row.line, fields.and_then(|fields| fields.check(row.line)))?;
    }
    Ok(())
}

/// Whether a header is that of `split_csv` tables.
pub(in crate::layout) fn is_split_table(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let header = rows(text).next().and_then(|row| row.values.ok()).unwrap_or_default();
    header.len() == SPLIT.len()
        && SPLIT.iter().all(|column| header.iter().any(|name| column.is_called(name)))
}

impl Column {
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

fn header(
    row: Option<Row>,
    known: &'static [Column],
    lines: &Collector,
) -> Result<Vec<&'static Column>, DataError> {
    let names: Vec<&str> = known.iter().map(|column| column.name).collect();
    let names = names.join(", ");
    let line = row.as_ref().map_or(1, |row| row.line);
    let refuse =
        |wrong: String| Err(lines.refuse(format!("line {line}: {wrong}; the columns are {names}")));
    let Some(Ok(values)) = row.map(|row| row.values) else {
        return refuse("there is no header".into());
    };
    let mut header: Vec<&Column> = Vec::new();
    for value in &values {
        match known.iter().find(|column| column.is_called(value)) {
            None => return refuse(format!("there is no column {}", shown(value))),
            Some(column) if header.iter().any(|other| other.name == column.name) => {
                return refuse(format!("two columns are called {}", column.name));
            }
            Some(column) => header.push(column),
        }
    }
    let is_there = |column: &Column| header.iter().any(|there| there.name == column.name);
    match known.iter().find(|column| column.is_needed && !is_there(column)) {
        Some(column) => refuse(format!("the column {} is missing", column.name)),
        None => Ok(header),
    }
}

fn check_width(values: &StringRecord, header: usize) -> Result<(), String> {
    if values.len() == header {
        return Ok(());
    }
    let found = values.len();
    Err(format!("has {found} values where the header has {header}; is a quote or comma missing?"))
}

fn rows(text: &str) -> impl Iterator<Item = Row> {
    let reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let mut counter = LineCounter::new(text);
    let mut records = reader.into_records();
    std::iter::from_fn(move || {
        let offset = usize::try_from(records.reader().position().byte()).unwrap_or(usize::MAX);
        let values = records.next()?.map_err(|error| shown(&error.to_string()));
        Some(Row { line: counter.line_of(offset), values })
    })
    .filter(|row| !row.values.as_ref().is_ok_and(|values| values.iter().all(str::is_empty)))
}

/// Counts the lines of a text up to places that are asked for in ascending order.
struct LineCounter<'a> {
    rest: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> LineCounter<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line, from 1, of the first byte from `offset` on that does not end a line.
    fn line_of(&mut self, offset: usize) -> usize {
        let (passed, rest) =
            self.rest.split_at(offset.saturating_sub(self.at).min(self.rest.len()));
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (ends, rest) = rest.split_at(ends);
        self.line += passed.iter().chain(ends).filter(|byte| **byte == b'\n').count();
        self.at += passed.len() + ends.len();
        self.rest = rest;
        self.line
    }
}
