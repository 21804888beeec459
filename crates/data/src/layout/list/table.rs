//! Lists as tables: values separated by commas, semicolons or tabs, with a header.

use csv::{ReaderBuilder, StringRecord, Trim};
use strsim::{hamming, osa_distance};

use super::Collector;
use super::fields::{Fields, label, shown};
use super::json::{Field, KEYS};
use crate::error::DataError;

/// A column that a table may have, or must.
pub(super) struct Column {
    name: &'static str,
    is_needed: bool,
    field: Field,
}

const fn needed(name: &'static str, field: Field) -> Column {
    Column { name, is_needed: true, field }
}

const fn optional(name: &'static str, field: Field) -> Column {
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
                if let Some(column) = column {
                    *(column.field)(&mut fields) = value.to_owned();
                }
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
    // A table that pandas wrote has its own numbers first.
    let first = usize::from(header.len() > 2 && header.get(0).is_some_and(is_unnamed));
    if header.len() < 2 || header.get(first + 1).is_some_and(|second| label(second).is_ok()) {
        let reason = "the first line is no header of two columns, an image's name and its label; \
                      add one, such as id,label";
        return Err(lines.refuse(reason.into()));
    }
    for row in rows {
        let fields = row.values.and_then(|values| {
            check_width(&values, header.len())?;
            let value = |at| values.get(first + at).unwrap_or_default().to_owned();
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
    SPLIT.iter().all(|column| header.iter().any(|name| column.is_called(name)))
}

impl Column {
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether lists of JSON objects call it so.
    fn is_known_as(&self, name: &str) -> bool {
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        KEYS.iter().any(|(names, _)| names.contains(&self.name) && names.iter().any(is))
    }

    /// Whether `name` is its own with one letter missing or too many, or two letters exchanged.
    fn is_misspelt_as(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        // Another letter in the place of one makes another word: task is no misspelt mask.
        osa_distance(self.name, &name) == 1 && hamming(self.name, &name) != Ok(1)
    }
}

/// Whether a column has no name of anybody's, as the numbers of rows that pandas writes.
fn is_unnamed(name: &str) -> bool {
    name.is_empty() || name.starts_with("Unnamed: ")
}

/// Which column stands where; none where nobody asked for one.
fn header(
    row: Option<Row>,
    known: &'static [Column],
    lines: &Collector,
) -> Result<Vec<Option<&'static Column>>, DataError> {
    let names: Vec<&str> = known.iter().map(|column| column.name).collect();
    let names = names.join(", ");
    let line = row.as_ref().map_or(1, |row| row.line);
    let refuse =
        |wrong: String| Err(lines.refuse(format!("line {line}: {wrong}; the columns are {names}")));
    let Some(Ok(values)) = row.map(|row| row.values) else {
        return refuse("there is no header".into());
    };
    let is_there = |column: &Column| values.iter().any(|value| column.is_called(value));
    let of = |value: &str| {
        let by_name = known.iter().find(|column| column.is_called(value));
        by_name.or_else(|| known.iter().find(|c| c.is_known_as(value) && !is_there(c)))
    };
    let header: Vec<Option<&Column>> = values.iter().map(of).collect();
    let times = |column: &Column| header.iter().flatten().filter(|c| c.name == column.name).count();
    if let Some(twice) = known.iter().find(|column| times(column) > 1) {
        return refuse(format!("two columns are called {}", twice.name));
    }
    for column in known.iter().filter(|column| times(column) == 0) {
        let further = values.iter().zip(&header).filter(|(_, column)| column.is_none());
        let mut further = further.map(|(value, _)| value);
        if let Some(misspelt) = further.clone().find(|value| column.is_misspelt_as(value)) {
            let misspelt = shown(misspelt);
            return refuse(format!("there is no column {misspelt}; is it {}?", column.name));
        }
        if column.is_needed {
            let beside = match further.find(|value| !is_unnamed(value)) {
                Some(value) => format!(" (there is {})", shown(value)),
                None => String::new(),
            };
            return refuse(format!("the column {} is missing{beside}", column.name));
        }
    }
    Ok(header)
}

fn check_width(values: &StringRecord, header: usize) -> Result<(), String> {
    if values.len() == header {
        return Ok(());
    }
    let found = values.len();
    Err(format!("has {found} values where the header has {header}; is a quote or comma missing?"))
}

/// The separators that tables are written with; the first that the header has most often counts.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

fn separator(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let times = |separator: &u8| {
        let mut quoted = false;
        header.bytes().fold(0, |times, byte| {
            quoted ^= byte == b'"';
            times + usize::from(byte == *separator && !quoted)
        })
    };
    let most = SEPARATORS.into_iter().rev().max_by_key(times);
    most.unwrap_or(b',')
}

/// What Excel is told a table's separator by, in a line before the header.
fn told_separator(line: &str) -> Option<u8> {
    match line.trim_end().strip_prefix("sep=")?.as_bytes() {
        [separator] => Some(*separator),
        _ => None,
    }
}

fn rows(text: &str) -> impl Iterator<Item = Row> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (separator, skipped, text) = match told_separator(first) {
        Some(told) => (told, 1, rest),
        None => (separator(text), 0, text),
    };
    let reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let mut counter = LineCounter::new(text);
    let mut records = reader.into_records();
    std::iter::from_fn(move || {
        let offset = usize::try_from(records.reader().position().byte()).unwrap_or(usize::MAX);
        let values = records.next()?.map_err(|error| shown(&error.to_string()));
        Some(Row { line: counter.line_of(offset) + skipped, values })
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
