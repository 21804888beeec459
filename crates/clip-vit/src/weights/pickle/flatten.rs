//! Nested dictionaries to dotted names.

use std::collections::{BTreeMap, BTreeSet};

use super::PickleError;
use super::value::{Document, Node, Value};
use crate::weights::error::shown;

/// Deepest nesting; CLIP's modules go to eight. It also ends what contains itself.
const MAX_DEPTH: usize = 64;

/// Most bytes of all names and texts together: a small pickle can repeat its parts without end.
const MAX_TEXT: usize = 1 << 26;

/// What a pickle's nesting costs besides its text, per value visited.
const VISIT: usize = 16;

/// Leaves of a document by their dotted names.
#[derive(Debug, Default)]
pub(in crate::weights) struct Flat {
    /// Indices of tensors.
    pub(in crate::weights) tensors: BTreeMap<String, usize>,
    /// Numbers, booleans and texts.
    pub(in crate::weights) scalars: BTreeMap<String, String>,
    /// Names of the dictionaries within the outermost.
    pub(in crate::weights) containers: BTreeSet<String>,
}

/// Every tensor, number, boolean and text of `document` by its dotted name, as in
/// `state_dict.visual.proj`. Members of lists are named by their index.
pub(in crate::weights) fn flatten(document: &Document<'_>) -> Result<Flat, PickleError> {
    let mut walk = Walk { document, flat: Flat::default(), budget: MAX_TEXT };
    walk.visit(document.root, String::new(), 0)?;
    Ok(walk.flat)
}

struct Walk<'d, 'a> {
    document: &'d Document<'a>,
    flat: Flat,
    budget: usize,
}

impl<'a> Walk<'_, 'a> {
    fn visit(&mut self, value: Value<'a>, name: String, depth: usize) -> Result<(), PickleError> {
        self.spend(name.len() + VISIT)?;
        if depth > MAX_DEPTH {
            return Err(PickleError::Limit {
                what: "is nested deeper than 64 levels or contains itself",
            });
        }
        match value {
            Value::Tensor(index) => self.keep_tensor(name, index),
            Value::Node(index) => self.descend(index, &name, depth + 1),
            Value::Bool(flag) => self.keep_scalar(name, flag.to_string()),
            Value::Int(number) => self.keep_scalar(name, number.to_string()),
            Value::Float(number) => self.keep_scalar(name, number.to_string()),
            Value::Text(text) => {
                self.spend(text.len())?;
                self.keep_scalar(name, text.into())
            }
            _ => Ok(()),
        }
    }

    fn descend(&mut self, node: usize, name: &str, depth: usize) -> Result<(), PickleError> {
        let document = self.document;
        match document.nodes.get(node) {
            Some(Node::Dict(entries)) => {
                if !name.is_empty() {
                    self.spend(name.len())?;
                    self.flat.containers.insert(name.into());
                }
                for (key, value) in entries {
                    match key {
                        Value::Text(key) => self.visit(*value, joined(name, key), depth)?,
                        Value::Int(key) => {
                            self.visit(*value, joined(name, &key.to_string()), depth)?;
                        }
                        // No weight has such a key.
                        _ => self.spend(VISIT)?,
                    }
                }
                Ok(())
            }
            Some(Node::List(members) | Node::Tuple(members)) => {
                for (index, value) in members.iter().enumerate() {
                    self.visit(*value, joined(name, &index.to_string()), depth)?;
                }
                Ok(())
            }
            Some(Node::Object(Some(attributes))) => self.visit(*attributes, name.into(), depth),
            Some(Node::Object(None)) | None => Ok(()),
        }
    }

    fn keep_tensor(&mut self, name: String, index: usize) -> Result<(), PickleError> {
        match self.flat.tensors.insert(name.clone(), index) {
            Some(_) => Err(PickleError::Ambiguous { name: shown(&name) }),
            None => Ok(()),
        }
    }

    fn keep_scalar(&mut self, name: String, text: String) -> Result<(), PickleError> {
        match self.flat.scalars.insert(name.clone(), text) {
            Some(_) => Err(PickleError::Ambiguous { name: shown(&name) }),
            None => Ok(()),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), PickleError> {
        let left = self.budget.checked_sub(bytes);
        self.budget =
            left.ok_or(PickleError::Limit { what: "repeats its parts beyond measure" })?;
        Ok(())
    }
}

fn joined(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.into() } else { format!("{prefix}.{key}") }
}
