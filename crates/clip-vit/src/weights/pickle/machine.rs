//! The pickle machine: a stack, marks and a memo, for the opcodes of protocols 2 to 5 that torch
//! writes. Its memory is bounded by the pickle's length and by a fixed number of opcodes.

use std::collections::HashMap;

use super::globals::resolve;
use super::reader::Reader;
use super::value::{Document, Node, Value};
use super::{Dialect, PickleError, rebuild};

/// Most opcodes of one pickle; a CLIP takes some 20 thousand, with its optimizer 100 thousand.
const MAX_OPCODES: usize = 4_000_000;

/// Reads the pickle at the start of `bytes`; more may follow it.
pub(in crate::weights) fn read(
    bytes: &[u8],
    dialect: Dialect,
) -> Result<Document<'_>, PickleError> {
    let mut machine = Machine::new(bytes, dialect);
    for _ in 0..MAX_OPCODES {
        let opcode = machine.reader.byte()?;
        if opcode == b'.' {
            return machine.finish();
        }
        machine.step(opcode)?;
    }
    Err(PickleError::Limit { what: "takes more than 4 million steps" })
}

#[derive(Debug)]
pub(super) struct Machine<'a> {
    reader: Reader<'a>,
    dialect: Dialect,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: HashMap<usize, Value<'a>>,
    pub(super) document: Document<'a>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8], dialect: Dialect) -> Self {
        let document = Document {
            root: Value::None,
            nodes: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
            length: 0,
        };
        let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
        Machine { reader: Reader::new(bytes), dialect, stack, marks, memo, document }
    }

    fn finish(mut self) -> Result<Document<'a>, PickleError> {
        self.document.root = self.pop()?;
        self.document.length = self.reader.at();
        Ok(self.document)
    }

    /// An error at the current byte.
    pub(super) fn malformed(&self, what: &'static str) -> PickleError {
        PickleError::Malformed { at: self.reader.at(), what }
    }

    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        let value = match opcode {
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | b'G' | 0x8a | 0x8b => self.number(opcode)?,
            b'X' | 0x8c | 0x8d | b'U' | b'T' | b'C' | b'B' | 0x8e => self.text(opcode)?,
            b'}' | b']' | b')' | b't' | b'l' | b'd' | 0x85..=0x87 => self.container(opcode)?,
            // A set; no weight is in one.
            0x8f => Value::Opaque,
            b'c' | 0x93 | b'R' | 0x81 | b'b' | b'Q' => self.call(opcode)?,
            b'h' | b'j' => self.recall(opcode)?,
            b'2' => self.top()?,
            _ => return self.arrange(opcode),
        };
        self.stack.push(value);
        Ok(())
    }

    /// Opcodes that push nothing.
    fn arrange(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            b's' | b'u' => self.set_entries(opcode),
            b'a' | b'e' => self.add_members(opcode),
            0x90 => self.add_to_set(),
            b'q' | b'r' | 0x94 => self.remember(opcode),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_marked().map(drop),
            0x80 => self.protocol(),
            // A frame's length is a hint for buffering.
            0x95 => self.reader.size64().map(drop),
            _ => Err(PickleError::Opcode { opcode, at: self.reader.at() - 1 }),
        }
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        match self.reader.byte()? {
            2..=5 => Ok(()),
            _ => Err(self.malformed("its protocol is not 2 to 5")),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<Value<'a>, PickleError> {
        let reader = &mut self.reader;
        Ok(match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(reader.array()?).into()),
            b'K' => Value::Int(reader.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(reader.array()?).into()),
            b'G' => Value::Float(f64::from_be_bytes(reader.array()?)),
            0x8a => long(reader.size8().and_then(|length| reader.take(length))?),
            _ => long(reader.size32().and_then(|length| reader.take(length))?),
        })
    }

    fn text(&mut self, opcode: u8) -> Result<Value<'a>, PickleError> {
        let reader = &mut self.reader;
        let length = match opcode {
            b'X' | b'T' | b'B' => reader.size32()?,
            0x8c | b'U' | b'C' => reader.size8()?,
            _ => reader.size64()?,
        };
        match opcode {
            b'X' | 0x8c | 0x8d | b'U' | b'T' => reader.text(length).map(Value::Text),
            // Bytes objects occur only within NumPy scalars.
            _ => reader.take(length).map(|_| Value::Opaque),
        }
    }

    fn container(&mut self, opcode: u8) -> Result<Value<'a>, PickleError> {
        let node = match opcode {
            b'}' => Node::Dict(Vec::new()),
            b']' => Node::List(Vec::new()),
            b')' => Node::Tuple(Vec::new()),
            b't' => Node::Tuple(self.pop_marked()?),
            b'l' => Node::List(self.pop_marked()?),
            b'd' => Node::Dict(self.pop_pairs()?),
            _ => Node::Tuple(self.pop_several(usize::from(opcode - 0x84))?),
        };
        Ok(self.store(node))
    }

    fn set_entries(&mut self, opcode: u8) -> Result<(), PickleError> {
        let pairs = if opcode == b'u' { self.pop_pairs()? } else { self.pop_pair()? };
        match self.top_node() {
            Some(Node::Dict(entries)) => entries.extend(pairs),
            _ => return Err(self.malformed("entries are set on what is no dictionary")),
        }
        Ok(())
    }

    fn add_members(&mut self, opcode: u8) -> Result<(), PickleError> {
        let members = if opcode == b'e' { self.pop_marked()? } else { self.pop_several(1)? };
        match self.top_node() {
            Some(Node::List(list)) => list.extend(members),
            _ => return Err(self.malformed("members are added to what is no list")),
        }
        Ok(())
    }

    fn add_to_set(&mut self) -> Result<(), PickleError> {
        self.pop_marked()?;
        match self.top()? {
            Value::Opaque => Ok(()),
            _ => Err(self.malformed("members are added to what is no set")),
        }
    }

    fn remember(&mut self, opcode: u8) -> Result<(), PickleError> {
        let index = match opcode {
            b'q' => self.reader.size8()?,
            b'r' => self.reader.size32()?,
            _ => self.memo.len(),
        };
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<Value<'a>, PickleError> {
        let index = if opcode == b'h' { self.reader.size8()? } else { self.reader.size32()? };
        let found = self.memo.get(&index).copied();
        found.ok_or_else(|| self.malformed("it recalls what it has not stored"))
    }

    fn call(&mut self, opcode: u8) -> Result<Value<'a>, PickleError> {
        match opcode {
            b'c' => {
                let (module, name) = (self.reader.line()?, self.reader.line()?);
                resolve(module, name, self.dialect).map(Value::Global)
            }
            0x93 => match self.pop_pair()?.as_slice() {
                [(Value::Text(module), Value::Text(name))] => {
                    resolve(module, name, self.dialect).map(Value::Global)
                }
                _ => Err(self.malformed("a name is not text")),
            },
            b'Q' => {
                let identity = self.pop()?;
                rebuild::storage(self, identity)
            }
            _ => {
                let (target, operand) = (self.pop_below()?, self.pop()?);
                match opcode {
                    0x81 => rebuild::object(self, target, operand),
                    b'b' => rebuild::set_state(self, target, operand),
                    _ => rebuild::reduce(self, target, operand),
                }
            }
        }
    }

    /// Keeps a container and gives the value that stands for it.
    pub(super) fn store(&mut self, node: Node<'a>) -> Value<'a> {
        self.document.nodes.push(node);
        Value::Node(self.document.nodes.len() - 1)
    }

    /// Values above the last mark may be popped, those below it may not.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value<'a>, PickleError> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| self.malformed("its stack is empty"))
    }

    fn top_node(&mut self) -> Option<&mut Node<'a>> {
        match self.top().ok()? {
            Value::Node(index) => self.document.nodes.get_mut(index),
            _ => None,
        }
    }

    fn pop(&mut self) -> Result<Value<'a>, PickleError> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    /// The value below the top one.
    fn pop_below(&mut self) -> Result<Value<'a>, PickleError> {
        let top = self.pop()?;
        let below = self.pop()?;
        self.stack.push(top);
        Ok(below)
    }

    fn pop_several(&mut self, count: usize) -> Result<Vec<Value<'a>>, PickleError> {
        let from = self.stack.len().checked_sub(count).filter(|from| *from >= self.floor());
        let from = from.ok_or_else(|| self.malformed("its stack is empty"))?;
        Ok(self.stack.split_off(from))
    }

    fn pop_marked(&mut self) -> Result<Vec<Value<'a>>, PickleError> {
        let mark =
            self.marks.pop().ok_or_else(|| self.malformed("it ends what it has not begun"))?;
        // A mark is never above the stack: what lies below it cannot be popped before it.
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn pop_pair(&mut self) -> Result<Vec<(Value<'a>, Value<'a>)>, PickleError> {
        let members = self.pop_several(2)?;
        self.pairs(&members)
    }

    fn pop_pairs(&mut self) -> Result<Vec<(Value<'a>, Value<'a>)>, PickleError> {
        let members = self.pop_marked()?;
        self.pairs(&members)
    }

    fn pairs(&self, members: &[Value<'a>]) -> Result<Vec<(Value<'a>, Value<'a>)>, PickleError> {
        let (pairs, rest) = members.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.malformed("a key has no value"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }
}

/// An integer of any length, little-endian with a sign.
fn long(bytes: &[u8]) -> Value<'_> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    match wide.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Value::Long(bytes),
    }
    Value::Int(i64::from_le_bytes(wide))
}
