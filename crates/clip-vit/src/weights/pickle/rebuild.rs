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

/// A new object: a TorchScript module without attributes yet.
pub(super) fn object<'a>(
    machine: &mut Machine<'a>,
    callee: Value<'a>,
    arguments: Value<'a>,
) -> Result<Value<'a>, PickleError> {
    let none = machine.document.tuple(arguments).is_some_and(<[_]>::is_empty);
    match callee {
        Value::Global(Global::ScriptClass) if none => Ok(machine.store(Node::Object(None))),
        Value::Global(Global::OrderedDict) if none => Ok(machine.store(Node::Dict(Vec::new()))),
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
        (Value::Global(Global::OrderedDict), []) => Ok(machine.store(Node::Dict(Vec::new()))),
        (Value::Global(Global::RebuildTensor), _) => tensor(machine, arguments),
        (Value::Global(Global::RebuildParameter), [parameter @ Value::Tensor(_), ..]) => {
            Ok(*parameter)
        }
        (Value::Global(Global::Transparent), [inner, ..]) => Ok(*inner),
        (Value::Global(Global::Inert), _) => Ok(Value::Opaque),
        _ => Err(machine.malformed("it calls a name with arguments that torch does not write")),
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
