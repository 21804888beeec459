//! A `.pth` that `torch.load(weights_only=True)` opens: nested dictionaries of tensors, numbers and
//! texts, in the zip format of `torch.save`, with the same bytes for the same content.

use std::io::{Seek, Write};
use std::path::Path;

use ::zip::result::{ZipError, ZipResult};
use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, DateTime, ZipWriter};

use super::{HostTensor, replace};
use crate::weights::error::shown;
use crate::weights::{Dtype, WeightError};

/// Where torch puts tensors for memory mapping.
const ALIGNMENT: u16 = 64;

/// A value of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum TorchValue {
    /// A dictionary, in this order.
    Dict(Vec<(String, TorchValue)>),
    /// A list.
    List(Vec<TorchValue>),
    /// A tensor on the CPU.
    Tensor(HostTensor),
    /// An integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// A string.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// None.
    None,
}

/// Writes `root` as `torch.save` does.
///
/// # Errors
///
/// [`WeightError`] when the folder cannot be written, a tensor's bytes do not fit its shape, or
/// PyTorch has no storage for its type.
pub fn write_torch_zip(path: &Path, root: &TorchValue) -> Result<(), WeightError> {
    let mut pickle = Pickle { file: path, bytes: vec![0x80, 2], tensors: Vec::new() };
    pickle.value("", root)?;
    pickle.bytes.push(b'.');
    let Pickle { bytes, tensors, .. } = pickle;
    replace(path, |writer| {
        archive(writer, &bytes, &tensors).map_err(|error| match error {
            ZipError::Io(source) => WeightError::write(path, source),
            other => WeightError::write(path, std::io::Error::other(other)),
        })
    })
}

fn archive<W: Write + Seek>(
    writer: &mut W,
    pickle: &[u8],
    tensors: &[&HostTensor],
) -> ZipResult<()> {
    let mut zip = ZipWriter::new(writer);
    let mut entry = |name: &str, bytes: &[u8]| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::DEFAULT)
            .large_file(u32::try_from(bytes.len()).is_err())
            .with_alignment(ALIGNMENT);
        zip.start_file(format!("archive/{name}"), options)?;
        zip.write_all(bytes).map_err(ZipError::Io)
    };
    entry("data.pkl", pickle)?;
    entry("byteorder", b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        entry(&format!("data/{key}"), &tensor.bytes)?;
    }
    entry("version", b"3\n")?;
    zip.finish().map(drop)
}

/// A pickle of protocol 2 under construction, and the tensors that it refers to by number.
struct Pickle<'a> {
    file: &'a Path,
    bytes: Vec<u8>,
    tensors: Vec<&'a HostTensor>,
}

impl<'a> Pickle<'a> {
    /// Appends a value; `name` is its dotted name, for errors.
    fn value(&mut self, name: &str, value: &'a TorchValue) -> Result<(), WeightError> {
        match value {
            TorchValue::Dict(entries) => {
                self.bytes.extend(b"}(");
                for (key, value) in entries {
                    self.text(key);
                    self.value(&format!("{name}.{key}"), value)?;
                }
                self.bytes.push(b'u');
            }
            TorchValue::List(members) => {
                self.bytes.extend(b"](");
                for (index, value) in members.iter().enumerate() {
                    self.value(&format!("{name}.{index}"), value)?;
                }
                self.bytes.push(b'e');
            }
            TorchValue::Tensor(tensor) => self.tensor(name.trim_start_matches('.'), tensor)?,
            TorchValue::Int(number) => self.int(*number),
            TorchValue::Float(number) => {
                self.bytes.push(b'G');
                self.bytes.extend(number.to_be_bytes());
            }
            TorchValue::Text(text) => self.text(text),
            TorchValue::Bool(flag) => self.bytes.push(if *flag { 0x88 } else { 0x89 }),
            TorchValue::None => self.bytes.push(b'N'),
        }
        Ok(())
    }

    /// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn tensor(&mut self, name: &str, tensor: &'a HostTensor) -> Result<(), WeightError> {
        tensor.check(self.file, name)?;
        let storage = storage_type(tensor.dtype).ok_or_else(|| WeightError::Unwritable {
            file: self.file.into(),
            tensor: shown(name),
            reason: format!("torch has no storage for {}", tensor.dtype),
        })?;
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.extend(b"((");
        self.text("storage");
        self.global("torch", storage);
        self.text(&self.tensors.len().to_string());
        self.text("cpu");
        self.size(tensor.bytes.len() / tensor.dtype.size());
        self.bytes.extend(b"tQ");
        self.size(0);
        self.sizes(&tensor.shape);
        self.sizes(&strides(&tensor.shape));
        self.bytes.push(0x89);
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")RtR");
        self.tensors.push(tensor);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        // Names and short texts: 4 GiB of one would not fit the format's length.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.bytes.push(b'X');
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(text.as_bytes().iter().take(length as usize));
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.bytes.push(b'(');
        for size in sizes {
            self.size(*size);
        }
        self.bytes.push(b't');
    }

    fn size(&mut self, size: usize) {
        self.int(i64::try_from(size).unwrap_or(i64::MAX));
    }

    fn int(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(small) => {
                self.bytes.push(b'J');
                self.bytes.extend(small.to_le_bytes());
            }
            Err(_) => {
                self.bytes.extend([0x8a, 8]);
                self.bytes.extend(number.to_le_bytes());
            }
        }
    }
}

fn storage_type(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F64 => "DoubleStorage",
        Dtype::F32 => "FloatStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::Bf16 => "BFloat16Storage",
        Dtype::I64 => "LongStorage",
        Dtype::I32 => "IntStorage",
        Dtype::I16 => "ShortStorage",
        Dtype::I8 => "CharStorage",
        Dtype::U8 => "ByteStorage",
        Dtype::Bool => "BoolStorage",
        Dtype::U16 | Dtype::U32 | Dtype::U64 => return None,
    })
}

/// Row-major strides, in elements.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut step = 1_usize;
    let mut strides = Vec::with_capacity(shape.len());
    for size in shape.iter().rev() {
        strides.push(step);
        step = step.saturating_mul((*size).max(1));
    }
    strides.reverse();
    strides
}
