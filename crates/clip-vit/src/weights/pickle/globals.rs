//! The Python names that a weight file may use, and what each stands for here: those that
//! `torch.load(weights_only=True)` allows, and NumPy's scalars, which training scripts keep beside
//! weights. Nothing else is known, and none of them runs.

use super::{Dialect, PickleError};
use crate::weights::Dtype;
use crate::weights::error::shown;

/// A known Python name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::weights) enum Global {
    /// A dictionary, or a counter, which is one of numbers.
    Dictionary,
    /// A tensor from a storage, an offset, a shape and strides.
    RebuildTensor,
    /// A parameter from a tensor.
    RebuildParameter,
    /// Either of the two, with attributes of its own.
    RebuildFromType,
    /// The type of a storage.
    Storage(Dtype),
    /// The type of a storage that no weight of a CLIP has: complex or quantized numbers.
    OtherStorage,
    /// A TorchScript class: a bag of attributes.
    ScriptClass,
    /// A wrapper of TorchScript or `torch.Size` that stands for its first argument.
    Transparent,
    /// A harmless value that no weight depends on: a set, a dtype, a device, a sparse tensor.
    Inert,
}

/// What `module.name` stands for.
pub(super) fn resolve(module: &str, name: &str, dialect: Dialect) -> Result<Global, PickleError> {
    let known = match (module, name) {
        ("collections", "OrderedDict" | "Counter") => Some(Global::Dictionary),
        ("torch._utils", _) => in_utils(name),
        ("torch._tensor", "_rebuild_from_type_v2") => Some(Global::RebuildFromType),
        ("torch.nn.parameter", "Parameter") => Some(Global::RebuildParameter),
        ("torch", "Size") => Some(Global::Transparent),
        ("torch.serialization", "_get_layout") => Some(Global::Inert),
        ("torch" | "torch.storage", _) => in_torch(name),
        // Protocol 2 says `__builtin__`, as Python 2 called it.
        ("builtins" | "__builtin__", "set" | "bytearray" | "complex") => Some(Global::Inert),
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Some(Global::Inert),
        ("numpy", "dtype") | ("_codecs", "encode") => Some(Global::Inert),
        _ if dialect == Dialect::TorchScript => in_script(module, name),
        _ => None,
    };
    known.ok_or_else(|| PickleError::Refused { module: shown(module), name: shown(name) })
}

fn in_utils(name: &str) -> Option<Global> {
    Some(match name {
        "_rebuild_tensor" | "_rebuild_tensor_v2" => Global::RebuildTensor,
        "_rebuild_parameter" | "_rebuild_parameter_with_state" => Global::RebuildParameter,
        "_rebuild_tensor_v3"
        | "_rebuild_qtensor"
        | "_rebuild_sparse_tensor"
        | "_rebuild_meta_tensor_no_storage"
        | "_rebuild_wrapper_subclass"
        | "_rebuild_device_tensor_from_numpy"
        | "_rebuild_device_tensor_from_cpu_tensor" => Global::Inert,
        _ => return None,
    })
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
        "ComplexFloatStorage"
        | "ComplexDoubleStorage"
        | "QInt8Storage"
        | "QUInt8Storage"
        | "QInt32Storage"
        | "QUInt4x2Storage"
        | "QUInt2x4Storage" => {
            return Some(Global::OtherStorage);
        }
        _ => return is_inert_in_torch(name).then_some(Global::Inert),
    };
    Some(Global::Storage(dtype))
}

/// The class of tensors, devices, element types, and kinds of quantization.
fn is_inert_in_torch(name: &str) -> bool {
    const WHOLE: [&str; 24] = [
        "Tensor",
        "device",
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "complex128",
        "complex64",
        "complex32",
        "uint64",
        "uint32",
        "uint16",
        "uint8",
        "int64",
        "int32",
        "int16",
        "int8",
        "bool",
        "qint8",
        "quint8",
        "qint32",
        "quint4x2",
        "quint2x4",
        "per_channel_affine_float_qparams",
    ];
    const QUANTIZED: [&str; 4] = [
        "per_tensor_affine",
        "per_tensor_symmetric",
        "per_channel_affine",
        "per_channel_symmetric",
    ];
    const FLOAT8: [&str; 5] =
        ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"];
    WHOLE.contains(&name) || QUANTIZED.contains(&name) || FLOAT8.contains(&name)
}

fn in_script(module: &str, name: &str) -> Option<Global> {
    if module == "__torch__" || module.starts_with("__torch__.") {
        return Some(Global::ScriptClass);
    }
    let wraps = ["build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"];
    let known = wraps.contains(&name) || name == "restore_type_tag";
    (module == "torch.jit._pickle" && known).then_some(Global::Transparent)
}
