//! Samples as JSON objects, one per line. Whatever stands in an object that nobody asked for is
//! passed over and never held in memory.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Collector;
use super::fields::{Fields, shown};
use crate::error::DataError;

/// What a sample's keys are called. The first names are those of AA-CLIP's lists, which the authors'
/// follow, the second ones AnomalyCLIP's; the others are about as well.
const KEYS: [(&[&str], Field); 8] = [
    (&["image_path", "img_path", "image", "filename"], |fields| &mut fields.image),
    (&["mask_path", "mask", "maskname"], |fields| &mut fields.mask),
    (&["label", "anomaly"], |fields| &mut fields.label),
    (&["class_name", "cls_name", "class", "clsname"], |fields| &mut fields.class),
    (&["defect", "specie_name", "label_name"], |fields| &mut fields.defect),
    (&["prompt"], |fields| &mut fields.prompt),
    (&["group"], |fields| &mut fields.group),
    (&["split"], |fields| &mut fields.split),
];

type Field = fn(&mut Fields) -> &mut String;

pub(super) fn parse_lines(text: &str, lines: &mut Collector) -> Result<(), DataError> {
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let node = serde_json::from_str::<Node>(line).map_err(|error| {
            format!("column {}: {} (one JSON object is needed)", error.column(), reason(&error))
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
    List,
    /// A sample, or why it is none.
    Object(Box<Result<Fields, String>>),
}

impl Node {
    /// The values of a sample.
    pub(super) fn fields(self) -> Result<Fields, String> {
        match self {
            Self::Object(fields) => *fields,
            Self::Text(text) => Err(format!("{} is no JSON object", shown(&text))),
            Self::List => Err("a list is no JSON object".into()),
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
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Node::List)
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
        _ => return Err(format!("{}: is no text or number", names.join(" or "))),
    }
    Ok(fields)
}

/// What is wrong, without the place.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    what.chars().filter(|c| !c.is_control()).take(200).collect()
}
