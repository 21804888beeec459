//! Samples as JSON objects, one per line. Whatever stands in an object that nobody asked for is
//! passed over and never held in memory.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Collector;
use super::fields::{BETWEEN_MASKS, Fields, shown};
use crate::error::DataError;

/// What a sample's keys are called. The first names are those of AA-CLIP's lists, which the authors'
/// follow, the second ones AnomalyCLIP's; the others are about as well, Real-IAD's among them.
pub(super) const KEYS: [(&[&str], Field); 8] = [
    (&["image_path", "img_path", "image", "filename"], |fields| &mut fields.image),
    (&["mask_path", "mask", "maskname"], |fields| &mut fields.mask),
    (&["label", "anomaly"], |fields| &mut fields.label),
    (&["class_name", "cls_name", "class", "clsname", "category"], |fields| &mut fields.class),
    (&["defect", "specie_name", "label_name", "anomaly_class"], |fields| &mut fields.defect),
    (&["prompt"], |fields| &mut fields.prompt),
    (&["group"], |fields| &mut fields.group),
    (&["split"], |fields| &mut fields.split),
];

/// The key whose value may be a list of several.
const MASK: &str = "mask_path";

pub(super) type Field = fn(&mut Fields) -> &mut String;

pub(super) fn parse_lines(text: &str, lines: &mut Collector) -> Result<(), DataError> {
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let node = serde_json::from_str::<Node>(line).map_err(|error| {
            let column = error.column();
            format!("column {column}: {} (one JSON object is needed)", reason(&error, line))
        });
        let record = node.and_then(Node::fields).and_then(|fields| fields.check(at + 1));
        lines.add(at + 1, record)?;
    }
    Ok(())
}

/// A piece of JSON, as far as a sample needs it.
pub(super) enum Node {
    /// Text, or a number or truth value as text; nothing where it is null.
    Text(String),
    /// The texts of a list, as far as they are such.
    List(Vec<Option<String>>),
    /// A sample, or why it is none.
    Object(Box<Result<Fields, String>>),
}

impl Node {
    /// The values of a sample.
    pub(super) fn fields(self) -> Result<Fields, String> {
        match self {
            Self::Object(fields) => *fields,
            Self::Text(text) => Err(format!("{} is no JSON object", shown(&text))),
            Self::List(_) => Err("a list is no JSON object".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Text(u8::from(value).to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut texts = Vec::new();
        while let Some(node) = list.next_element()? {
            texts.push(match node {
                Node::Text(text) => Some(text),
                _ => None,
            });
        }
        Ok(Node::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut fields = Ok(Fields::default());
        while let Some(key) = object.next_key::<String>()? {
            let Some((names, field)) = KEYS.iter().find(|(names, _)| names.contains(&key.as_str()))
            else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = object.next_value()?;
            fields = fields.and_then(|fields| filled(fields, *field, names, value));
        }
        Ok(Node::Object(Box::new(fields)))
    }
}

/// `fields` with one more value.
fn filled(mut fields: Fields, field: Field, names: &[&str], node: Node) -> Result<Fields, String> {
    let said = field(&mut fields);
    match node {
        Node::Text(text) if said.is_empty() => *said = text,
        Node::Text(text) if text.is_empty() || text == *said => {}
        Node::Text(_) => return Err(format!("{}: there are two; remove one", names.join(" or "))),
        Node::List(texts) if names.contains(&MASK) && said.is_empty() => {
            let texts: Option<Vec<String>> = texts.into_iter().collect();
            let texts = texts.ok_or_else(|| format!("{}: lists no texts", names.join(" or ")))?;
            *said = texts.join(&String::from(BETWEEN_MASKS));
        }
        _ => return Err(format!("{}: is no text or number", names.join(" or "))),
    }
    Ok(fields)
}

/// What other programs write and JSON does not know, and what to write.
const NO_JSON: [(&str, &str); 7] = [
    ("NaN", "null"),
    ("nan", "null"),
    ("-Infinity", "a number"),
    ("Infinity", "a number"),
    ("None", "null"),
    ("True", "true"),
    ("False", "false"),
];

/// What is wrong, without the place; `line` is the text of the line in which it is.
pub(super) fn reason(error: &serde_json::Error, line: &str) -> String {
    let is_at = |at: usize, word: &str| (at + 1..=at + word.len() + 1).contains(&error.column());
    let found =
        NO_JSON.iter().find(|(word, _)| line.match_indices(word).any(|(at, word)| is_at(at, word)));
    if let Some((word, instead)) = found.filter(|_| error.is_syntax()) {
        return format!("{word} is no JSON; write {instead}");
    }
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    what.chars().filter(|c| !c.is_control()).take(200).collect()
}
