//! The Python names that a weight file may use, and what each stands for here. Nothing else is
//! known, and none of them runs.

use super::{Dialect, PickleError};
use crate::weights::Dtype;
use crate::weights::error::shown;

/// A known Python name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::weights) enum Global {
    /// A dictionary.
    OrderedDict,
    /// A tensor from a storage, an offset, a shape and strides.
    RebuildTensor,
    /// A parameter from a tensor.
    RebuildParameter,
    /// The type of a storage.
    Storage(Dtype),
    /// A TorchScript class: a bag of attributes.
    ScriptClass,
    /// A wrapper of TorchScript or `torch.Size` that stands for its first argument.
    Transparent,
    /// A harmless value that no weight depends on: a dtype, a device, a NumPy scalar.
    Inert,
}

/// What `module.name` stands for.
pub(super) fn resolve(module: &str, name: &str, dialect: Dialect) -> Result<Global, PickleError> {
    let known = match (module, name) {
        ("collections", "OrderedDict") => Some(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
        ("torch", "Size") => Some(Global::Transparent),
        ("torch" | "torch.storage", _) => in_torch(name),
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Some(Global::Inert),
        ("numpy", "dtype") | ("_codecs", "encode") => Some(Global::Inert),
        _ if dialect == Dialect::TorchScript => in_script(module, name),
        _ => None,
    };
    known.ok_or_else(|| PickleError::Refused { module: shown(module), name: shown(name) })
}

fn in_torch(name: &str) -> Option<Global> {
    let dtype = match name {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" | "UntypedStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        "device" | "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "int16"
        | "int8" | "uint8" | "bool" => return Some(Global::Inert),
        _ => return None,
    };
    Some(Global::Storage(dtype))
}

fn in_script(module: &str, name: &str) -> Option<Global> {
    if module == "__torch__" || module.starts_with("__torch__.") {
        return Some(Global::ScriptClass);
    }
    let wraps = ["build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"];
    let known = wraps.contains(&name) || name == "restore_type_tag";
    (module == "torch.jit._pickle" && known).then_some(Global::Transparent)
}
