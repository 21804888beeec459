//! Writing weights: one canonical safetensors per CLIP, and the `.pth` that PyTorch opens. Every
//! file is written beside its target and renamed, so an interrupted run leaves the old one whole.

mod canonical;
mod safetensors;
mod torch;

use std::path::Path;

use burn::tensor::{DType, TensorData};
use whole_file::WholeFile;

use super::view::byte_length;
use super::{Dtype, WeightError};

pub use canonical::write_clip;
pub use safetensors::write_safetensors;
pub use torch::{TorchValue, write_torch_zip};

/// A tensor in memory, as files store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTensor {
    /// Element type.
    pub dtype: Dtype,
    /// Sizes of the axes; empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements, row-major and little-endian.
    pub bytes: Vec<u8>,
}

impl HostTensor {
    /// A tensor of singles.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = bytemuck::cast_slice(values).to_vec();
        HostTensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// A tensor of integers.
    pub fn from_i64(shape: &[usize], values: &[i64]) -> Self {
        let bytes = bytemuck::cast_slice(values).to_vec();
        HostTensor { dtype: Dtype::I64, shape: shape.to_vec(), bytes }
    }

    /// A tensor of Burn's; `None` for types that files do not store (quantized ones).
    pub fn from_data(data: &TensorData) -> Option<Self> {
        let dtype = match data.dtype {
            DType::F64 => Dtype::F64,
            DType::F32 | DType::Flex32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::Bf16,
            DType::I64 => Dtype::I64,
            DType::I32 => Dtype::I32,
            DType::I16 => Dtype::I16,
            DType::I8 => Dtype::I8,
            DType::U64 => Dtype::U64,
            DType::U32 => Dtype::U32,
            DType::U16 => Dtype::U16,
            DType::U8 => Dtype::U8,
            _ => return None,
        };
        Some(HostTensor { dtype, shape: data.shape.to_vec(), bytes: data.as_bytes().to_vec() })
    }

    fn check(&self, file: &Path, name: &str) -> Result<(), WeightError> {
        if byte_length(self.dtype, &self.shape) == Ok(self.bytes.len()) {
            return Ok(());
        }
        let (shape, bytes) = (&self.shape, self.bytes.len());
        let reason = format!("its {bytes} bytes do not fill {} {shape:?}", self.dtype);
        Err(WeightError::Unwritable { file: file.into(), tensor: name.into(), reason })
    }
}

/// Replaces `path` by what `fill` writes; on any error `path` stays as it was.
fn replace(
    path: &Path,
    fill: impl FnOnce(&mut WholeFile) -> Result<(), WeightError>,
) -> Result<(), WeightError> {
    let failed = |source| WeightError::write(path, source);
    let mut file = WholeFile::create(path).map_err(failed)?;
    fill(&mut file)?;
    file.commit().map_err(failed)
}

/// Refuses an output path that is the input file itself, under whatever name.
///
/// # Errors
///
/// [`WeightError::SameFile`] when both paths lead to one file.
pub fn refuse_same_file(input: &Path, output: &Path) -> Result<(), WeightError> {
    let (from, to) = (input.canonicalize(), output.canonicalize());
    match (from, to) {
        (Ok(from), Ok(to)) if from == to => Err(WeightError::SameFile { file: output.into() }),
        _ => Ok(()),
    }
}
