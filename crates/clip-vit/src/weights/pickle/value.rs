//! What a pickle describes: values, the containers they lie in, and references to storages.
//!
//! Containers live in one list and refer to each other by index, so a cyclic pickle is no cyclic
//! structure in memory. Text and bytes are borrowed from the file.

use super::globals::Global;
use crate::weights::Dtype;

/// One value; copying it copies no content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::weights) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes, little-endian.
    Long(&'a [u8]),
    Float(f64),
    Text(&'a str),
    Global(Global),
    /// Index of a container.
    Node(usize),
    /// Index of a storage.
    Storage(usize),
    /// Index of a tensor.
    Tensor(usize),
    /// Something harmless that no weight depends on.
    Opaque,
}

/// A container.
#[derive(Debug)]
pub(in crate::weights) enum Node<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// A TorchScript module with the dictionary of its attributes.
    Object(Option<Value<'a>>),
}

/// A storage that tensors lie in.
#[derive(Debug, Clone, Copy)]
pub(in crate::weights) struct StorageRef<'a> {
    /// Its name in the archive.
    pub(in crate::weights) key: &'a str,
    pub(in crate::weights) dtype: Dtype,
    /// Elements.
    pub(in crate::weights) length: usize,
    /// First element, where it is a part of another storage (old files only).
    pub(in crate::weights) offset: usize,
}

/// A tensor as the pickle declares it.
#[derive(Debug)]
pub(in crate::weights) struct TensorRef {
    /// Index of its storage.
    pub(in crate::weights) storage: usize,
    /// First element.
    pub(in crate::weights) offset: usize,
    pub(in crate::weights) shape: Vec<usize>,
    pub(in crate::weights) strides: Vec<usize>,
}

/// A whole pickle.
#[derive(Debug)]
pub(in crate::weights) struct Document<'a> {
    pub(in crate::weights) root: Value<'a>,
    pub(in crate::weights) nodes: Vec<Node<'a>>,
    pub(in crate::weights) storages: Vec<StorageRef<'a>>,
    pub(in crate::weights) tensors: Vec<TensorRef>,
    /// Bytes that it takes.
    pub(in crate::weights) length: usize,
}

impl<'a> Document<'a> {
    /// Members of a tuple; `None` for anything else.
    pub(in crate::weights) fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::Tuple(members) => Some(members),
            _ => None,
        }
    }

    /// Members of a list; `None` for anything else.
    pub(in crate::weights) fn list(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value)? {
            Node::List(members) => Some(members),
            _ => None,
        }
    }

    /// What a dictionary holds under a text key.
    pub(in crate::weights) fn entry(&self, value: Value<'a>, key: &str) -> Option<Value<'a>> {
        match self.node(value)? {
            Node::Dict(entries) => {
                entries.iter().find(|(name, _)| *name == Value::Text(key)).map(|(_, value)| *value)
            }
            _ => None,
        }
    }

    pub(super) fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            _ => None,
        }
    }
}
