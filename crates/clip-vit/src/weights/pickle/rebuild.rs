//! What a pickle's calls stand for: tensors, storages, dictionaries and modules. No call is made;
//! each known one has its meaning here.

use super::PickleError;
use super::globals::Global;
use super::machine::Machine;
use super::value::{Node, StorageRef, TensorRef, Value};
use crate::weights::view::MAX_RANK;

/// A persistent id: `("storage", type, key, device, elements)`, in old files with a view.
pub(super) fn storage<'a>(
    machine: &mut Machine<'a>,
    identity: Value<'a>,
) -> Result<Value<'a>, PickleError> {
    let document = &machine.document;
    if let Some([Value::Text("storage"), Value::Global(Global::OtherStorage), ..]) =
        document.tuple(identity)
    {
        return Ok(Value::Opaque);
    }
    let parsed = match document.tuple(identity) {
        Some(
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                rest @ ..,
            ],
        ) => {
            let part = |value: &Value<'a>| match document.tuple(*value) {
                Some([_, offset, length]) => size(offset).zip(size(length)),
                _ => None,
            };
            let place = match rest {
                [length] | [length, Value::None] => size(length).map(|length| (0, length)),
                [_, view] => part(view),
                _ => None,
            };
            place.map(|(offset, length)| StorageRef { key, dtype: *dtype, length, offset })
        }
        _ => None,
    };
    let storage = parsed.ok_or_else(|| machine.malformed("a storage's id is not torch's"))?;
    machine.document.storages.push(storage);
    Ok(Value::Storage(machine.document.storages.len() - 1))
}

/// A new object: a TorchScript module without attributes yet, an empty dictionary, a parameter.
pub(super) fn object<'a>(
    machine: &mut Machine<'a>,
    callee: Value<'a>,
    arguments: Value<'a>,
) -> Result<Value<'a>, PickleError> {
    let Some(given) = machine.document.tuple(arguments) else {
        return Err(machine.malformed("an object's arguments are no tuple"));
    };
    match (callee, given) {
        (Value::Global(Global::ScriptClass), []) => Ok(machine.store(Node::Object(None))),
        (Value::Global(Global::Dictionary), []) => Ok(machine.store(Node::Dict(Vec::new()))),
        (Value::Global(Global::RebuildParameter), [inner @ Value::Tensor(_), ..]) => Ok(*inner),
        _ => Err(machine.malformed("it makes an object that is no module")),
    }
}

/// A module gets its attributes; what else has a state (a dictionary's version notes) keeps none.
pub(super) fn set_state<'a>(
    machine: &mut Machine<'a>,
    target: Value<'a>,
    state: Value<'a>,
) -> Result<Value<'a>, PickleError> {
    match target {
        Value::Node(index) => match machine.document.nodes.get_mut(index) {
            Some(Node::Object(attributes)) => *attributes = Some(state),
            Some(Node::Dict(_)) => {}
            _ => return Err(machine.malformed("it gives a state to what has none")),
        },
        Value::Tensor(_) | Value::Opaque => {}
        _ => return Err(machine.malformed("it gives a state to what has none")),
    }
    Ok(target)
}

/// A call of a known name.
pub(super) fn reduce<'a>(
    machine: &mut Machine<'a>,
    callee: Value<'a>,
    arguments: Value<'a>,
) -> Result<Value<'a>, PickleError> {
    let Some(given) = machine.document.tuple(arguments) else {
        return Err(machine.malformed("a call's arguments are no tuple"));
    };
    match (callee, given) {
        (Value::Global(Global::Dictionary), []) => Ok(machine.store(Node::Dict(Vec::new()))),
        (Value::Global(Global::Dictionary), [entries]) => {
            let entries = *entries;
            dictionary(machine, entries)
        }
        (Value::Global(Global::RebuildTensor), [Value::Opaque, ..]) => Ok(Value::Opaque),
        (Value::Global(Global::RebuildTensor), _) => tensor(machine, arguments),
        (
            Value::Global(Global::RebuildParameter),
            [inner @ (Value::Tensor(_) | Value::Opaque), ..],
        ) => Ok(*inner),
        (Value::Global(Global::RebuildFromType), [Value::Global(of), _, inner, ..]) => {
            let (of, inner) = (*of, *inner);
            from_type(machine, of, inner)
        }
        (Value::Global(Global::Transparent), [inner, ..]) => Ok(*inner),
        (Value::Global(Global::Inert), _) => Ok(Value::Opaque),
        _ => Err(machine.malformed("it calls a name with arguments that torch does not write")),
    }
}

/// A tensor with attributes of its own, which are let go. One step only: what nests these calls in each
/// other is none of torch's.
fn from_type<'a>(
    machine: &mut Machine<'a>,
    of: Global,
    arguments: Value<'a>,
) -> Result<Value<'a>, PickleError> {
    match (of, machine.document.tuple(arguments)) {
        (Global::RebuildTensor, _) => tensor(machine, arguments),
        (Global::RebuildParameter, Some([inner @ (Value::Tensor(_) | Value::Opaque), ..])) => {
            Ok(*inner)
        }
        (Global::Inert, _) => Ok(Value::Opaque),
        _ => Err(machine.malformed("a tensor is made of what is none")),
    }
}

/// A dictionary from another, or from a list of pairs, as Python 2 wrote ordered ones. Neither is
/// copied, for a pickle may ask for that without end: the one stands for itself, the other becomes a
/// dictionary where it is.
fn dictionary<'a>(machine: &mut Machine<'a>, entries: Value<'a>) -> Result<Value<'a>, PickleError> {
    let document = &machine.document;
    let pair = |value: &Value<'a>| match document.tuple(*value).or(document.list(*value)) {
        Some([key, value]) => Some((*key, *value)),
        _ => None,
    };
    let pairs: Option<Vec<_>> = match document.node(entries) {
        Some(Node::Dict(_)) => return Ok(entries),
        Some(Node::List(members)) => members.iter().map(pair).collect(),
        _ => None,
    };
    let place = match entries {
        Value::Node(index) => machine.document.nodes.get_mut(index),
        _ => None,
    };
    match pairs.zip(place) {
        Some((pairs, place)) => {
            *place = Node::Dict(pairs);
            Ok(entries)
        }
        None => Err(machine.malformed("a dictionary is made of what holds no pairs")),
    }
}

/// A tensor: `(storage, offset, shape, strides, requires_grad, hooks)`.
fn tensor<'a>(machine: &mut Machine<'a>, arguments: Value<'a>) -> Result<Value<'a>, PickleError> {
    let document = &machine.document;
    let declared = match document.tuple(arguments) {
        Some([Value::Storage(storage), offset, shape, strides, ..]) => {
            let sizes = |value: &Value<'a>| {
                let members = document.tuple(*value).filter(|sizes| sizes.len() <= MAX_RANK)?;
                members.iter().map(size).collect::<Option<Vec<usize>>>()
            };
            let place = size(offset).zip(sizes(shape)).zip(sizes(strides));
            place.map(|((offset, shape), strides)| TensorRef {
                storage: *storage,
                offset,
                shape,
                strides,
            })
        }
        _ => None,
    };
    let declared = declared
        .ok_or_else(|| machine.malformed("a tensor's offset, shape or strides are wrong"))?;
    machine.document.tensors.push(declared);
    Ok(Value::Tensor(machine.document.tensors.len() - 1))
}

fn size(value: &Value<'_>) -> Option<usize> {
    match value {
        Value::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    }
}
