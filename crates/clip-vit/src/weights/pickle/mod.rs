//! Pickles read as data: a small machine for the opcodes that `torch.save` and `torch.jit.save`
//! write. It calls nothing; a name that is not on its list ends the reading.

mod flatten;
mod globals;
mod machine;
mod reader;
mod rebuild;
mod value;

pub(super) use flatten::flatten;
pub(super) use machine::read;
pub(super) use value::{Document, StorageRef, TensorRef, Value};

use thiserror::Error;

/// Which names a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// What `torch.save` writes.
    Torch,
    /// What `torch.jit.save` writes: modules are `__torch__` classes, read as bags of attributes.
    TorchScript,
}

/// A pickle that is hostile, broken, or holds more than data.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PickleError {
    /// It names something that is no data.
    #[error(
        "refused: the pickle asks for {module}.{name}; nothing was executed; give a file that holds only a state dict"
    )]
    Refused {
        /// The Python module.
        module: String,
        /// The name in it.
        name: String,
    },
    /// It ends before its end.
    #[error("the pickle ends early, at byte {at}; download the file again")]
    Truncated {
        /// Where, counted from the start of the pickle.
        at: usize,
    },
    /// An opcode outside protocols 2 to 5 as torch uses them.
    #[error(
        "pickle opcode 0x{opcode:02x} at byte {at} is none that torch.save writes; save the state dict again"
    )]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Where, counted from the start of the pickle.
        at: usize,
    },
    /// An opcode whose operands do not fit it.
    #[error(
        "the pickle is broken at byte {at}: {what}; download the file or save the state dict again"
    )]
    Malformed {
        /// Where, counted from the start of the pickle.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// It describes more than any checkpoint needs.
    #[error("refused: the pickle {what}; save only the state dict")]
    Limit {
        /// What exceeds the limit.
        what: &'static str,
    },
    /// One name for two values.
    #[error("the pickle has two values named {name}; save only the state dict")]
    Ambiguous {
        /// The dotted name.
        name: String,
    },
}

#[cfg(test)]
mod tests;
