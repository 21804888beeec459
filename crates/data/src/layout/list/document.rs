//! One JSON document of splits, classes and samples, read entry by entry: each has its line, and one
//! that is no sample does not hide the others.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Collector;
use super::json::{Node, reason};
use crate::error::DataError;
use crate::sample::Split;

pub(super) fn parse(text: &str, lines: &mut Collector) -> Result<(), DataError> {
    let line = Cell::new(1);
    let reader = CountingReader { rest: text.as_bytes(), line: &line };
    let mut json = serde_json::Deserializer::from_reader(reader);
    let mut progress = Progress { lines, line: &line, has_split: false, refused: None };
    let place = Place { progress: &mut progress, level: Level::Document };
    let read = place.deserialize(&mut json).and_then(|()| json.end());
    let Progress { lines, has_split, refused, .. } = progress;
    match (refused, read) {
        (Some(refused), _) => Err(refused),
        (None, Err(error)) => {
            let (line, reason) = (error.line(), reason(&error));
            Err(lines.refuse(format!("line {line}: {reason}; the form is {FORM}")))
        }
        (None, Ok(())) if !has_split => {
            Err(lines.refuse(format!("names neither train nor test; the form is {FORM}")))
        }
        (None, Ok(())) => Ok(()),
    }
}

/// What a document looks like, for messages.
const FORM: &str = r#"{"train": {CLASS: [..]}, "test": {CLASS: [..]}}"#;

/// Counts lines as they are read. It hands out single bytes, so that what is being read now stands in
/// the line counted last.
struct CountingReader<'a> {
    rest: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for CountingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (Some((first, rest)), Some(to)) = (self.rest.split_first(), buffer.first_mut()) else {
            return Ok(0);
        };
        self.line.set(self.line.get() + usize::from(*first == b'\n'));
        *to = *first;
        self.rest = rest;
        Ok(1)
    }
}

/// What has been read so far.
struct Progress<'a, 'p> {
    lines: &'a mut Collector<'p>,
    line: &'a Cell<usize>,
    has_split: bool,
    refused: Option<DataError>,
}

/// A place in the document; deserializing there takes in all samples below it.
struct Place<'a, 'b, 'p> {
    progress: &'a mut Progress<'b, 'p>,
    level: Level<'a>,
}

enum Level<'a> {
    Document,
    Split(Split),
    Class(Split, &'a str),
    Entry(Split, &'a str),
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.level {
            Level::Document | Level::Split(_) => deserializer.deserialize_map(self),
            Level::Class(..) => deserializer.deserialize_seq(self),
            Level::Entry(split, class) => {
                let line = self.progress.line.get();
                let node = serde::Deserialize::deserialize(deserializer)?;
                self.progress.take(line, split, class, node).map_err(Error::custom)
            }
        }
    }
}

impl<'de> Visitor<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Level::Document => "an object of splits",
            Level::Split(_) => "an object of classes",
            Level::Class(..) | Level::Entry(..) => "a list of samples",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            let level = match (&self.level, key.as_str()) {
                (Level::Document, "train") => Level::Split(Split::Train),
                (Level::Document, "test") => Level::Split(Split::Test),
                (Level::Split(split), class) => Level::Class(*split, class),
                _ => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            self.progress.has_split = true;
            object.next_value_seed(Place { progress: &mut *self.progress, level })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Level::Class(split, class) = self.level else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        let entry = || Level::Entry(split, class);
        while list
            .next_element_seed(Place { progress: &mut *self.progress, level: entry() })?
            .is_some()
        {}
        Ok(())
    }
}

impl Progress<'_, '_> {
    /// Takes in a sample. An error ends the reading; what it is, `refused` says.
    fn take(&mut self, line: usize, split: Split, class: &str, node: Node) -> Result<(), &str> {
        let record = node.fields().and_then(|mut fields| {
            split.name().clone_into(&mut fields.split);
            if fields.class.is_empty() {
                class.clone_into(&mut fields.class);
            }
            fields.check(line)
        });
        self.lines.add(line, record).map_err(|refused| {
            self.refused = Some(refused);
            "refused"
        })
    }
}
