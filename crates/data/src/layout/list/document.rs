//! One JSON document of splits, classes and samples, read entry by entry: each has its line, and one
//! that is no sample does not hide the others. Real-IAD's has no classes between.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Collector;
use super::fields::Fields;
use super::json::{Node, reason};
use crate::error::DataError;
use crate::sample::Split;

pub(super) fn parse(text: &str, lines: &mut Collector) -> Result<(), DataError> {
    let line = Cell::new(1);
    let reader = CountingReader { rest: text.as_bytes(), line: &line };
    let mut json = serde_json::Deserializer::from_reader(reader);
    let real_iad = RealIad::of(text);
    let mut progress = Progress { lines, line: &line, has_split: false, real_iad, refused: None };
    let place = Place { progress: &mut progress, level: Level::Document };
    let read = place.deserialize(&mut json).and_then(|()| json.end());
    let Progress { lines, has_split, refused, .. } = progress;
    match (refused, read) {
        (Some(refused), _) => Err(refused),
        (None, Err(error)) => {
            let line = error.line();
            let text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            let reason = reason(&error, text);
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

/// What Real-IAD's lists say before their samples.
#[derive(Deserialize)]
#[serde(default)]
struct RealIad {
    /// The folder of the class, before each path.
    prefix: String,
    /// What `anomaly_class` is of normal images.
    normal_class: String,
}

impl Default for RealIad {
    fn default() -> Self {
        Self { prefix: String::new(), normal_class: "OK".into() }
    }
}

impl RealIad {
    /// As the document says wherever it does; what is wrong with the document is found elsewhere.
    fn of(text: &str) -> Self {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            meta: RealIad,
        }
        let read =
            text.contains("\"normal_class\"").then(|| serde_json::from_str::<Document>(text));
        read.and_then(Result::ok).map(|document| document.meta).unwrap_or_default()
    }

    /// The values of a sample in the words of other lists.
    fn translate(&self, fields: &mut Fields) {
        if fields.label.is_empty() {
            let is_normal = fields.defect.eq_ignore_ascii_case(&self.normal_class);
            fields.label = if is_normal { "normal" } else { "anomalous" }.into();
            if is_normal {
                fields.defect.clear();
            }
        }
        let prefix = self.prefix.trim_end_matches('/');
        if !matches!(prefix, "" | ".") {
            for path in [&mut fields.image, &mut fields.mask] {
                if !path.is_empty() {
                    *path = format!("{prefix}/{path}");
                }
            }
        }
    }
}

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
    real_iad: RealIad,
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
    /// Of no class in Real-IAD's lists, whose samples name theirs.
    Class(Split, Option<&'a str>),
    Entry(Split, Option<&'a str>),
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.level {
            Level::Document => deserializer.deserialize_map(self),
            Level::Split(_) => deserializer.deserialize_any(self),
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
            Level::Split(_) => "an object of classes, or Real-IAD's list of samples",
            Level::Class(..) | Level::Entry(..) => "a list of samples",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            let level = match (&self.level, key.as_str()) {
                (Level::Document, "train") => Level::Split(Split::Train),
                (Level::Document, "test") => Level::Split(Split::Test),
                (Level::Split(split), class) => Level::Class(*split, Some(class)),
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
        let (split, class) = match self.level {
            Level::Class(split, class) => (split, class),
            Level::Split(split) => (split, None),
            _ => return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
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
    fn take(
        &mut self,
        line: usize,
        split: Split,
        class: Option<&str>,
        node: Node,
    ) -> Result<(), &str> {
        let record = node.fields().and_then(|mut fields| {
            split.name().clone_into(&mut fields.split);
            match class {
                Some(class) if fields.class.is_empty() => class.clone_into(&mut fields.class),
                Some(_) => {}
                None => self.real_iad.translate(&mut fields),
            }
            fields.check(line)
        });
        if class.is_none() {
            self.lines.listing.of = Some("Real-IAD's");
        }
        self.lines.add(line, record).map_err(|refused| {
            self.refused = Some(refused);
            "refused"
        })
    }
}
