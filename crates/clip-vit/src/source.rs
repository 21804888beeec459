//! Where the towers get their weights from: a checkpoint, a random start, or a caller's own store.

use std::path::Path;

use burn::tensor::{DType, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};

use crate::{ClipCheckpoint, Precision, TensorFile, WeightError};

/// Weights by open_clip's names (`visual.conv1.weight`, `transformer.resblocks.0.ln_1.bias`).
pub trait WeightSource {
    /// The tensor of this name in the given precision.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when it is missing, unreadable, not finite, or not of this shape.
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError>;
}

impl<S: WeightSource + ?Sized> WeightSource for &S {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        (**self).tensor(name, shape, precision)
    }
}

/// Random weights at the scales CLIP itself starts from, the same for the same seed everywhere.
///
/// The numbers of such a tower mean nothing as a detector; it exists to run the architecture where
/// pretrained weights are out of reach.
#[derive(Debug, Clone)]
pub struct RandomWeights {
    seed: u64,
}

impl RandomWeights {
    /// Weights of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl WeightSource for RandomWeights {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let law = Law::of(name, shape);
        let seed = Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(name);
        let mut rng = ChaCha8Rng::from_seed(seed.finalize().into());
        let mut draw = || {
            let unit: f32 = StandardNormal.sample(&mut rng);
            law.mean + law.deviation * unit
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw()).collect();
        let dtype = match precision {
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
            Precision::Bf16 => DType::BF16,
        };
        Ok(TensorData::new(values, shape).convert_dtype(dtype))
    }
}

/// Mean and standard deviation of a tensor's start.
struct Law {
    mean: f32,
    deviation: f32,
}

impl Law {
    fn of(name: &str, shape: &[usize]) -> Self {
        let fan_in = shape.iter().skip(1).product::<usize>().max(1) as f32;
        let first = shape.first().copied().unwrap_or(1) as f32;
        let (mean, deviation) = match name {
            _ if name.contains("ln_") && name.ends_with("weight") => (1.0, 0.1),
            _ if name.contains("ln_") => (0.0, 0.1),
            _ if name.ends_with("bias") => (0.0, 0.02),
            "token_embedding.weight" => (0.0, 0.02),
            "positional_embedding" => (0.0, 0.01),
            "visual.positional_embedding" => (0.0, fan_in.sqrt().recip()),
            "visual.class_embedding" | "visual.proj" | "text_projection" => {
                (0.0, first.sqrt().recip())
            }
            _ if name.ends_with("c_fc.weight") => (0.0, (2.0 * fan_in).sqrt().recip()),
            _ => (0.0, fan_in.sqrt().recip()),
        };
        Self { mean, deviation }
    }
}

impl WeightSource for ClipCheckpoint {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        check_shape(self.file().path(), name, self.tensor_data(name, precision)?, shape)
    }
}

/// The tensors of a file whose names begin with a prefix, such as a CLIP inside a larger file.
#[derive(Debug, Clone, Copy)]
pub struct PrefixedSource<'a> {
    /// The file.
    pub file: &'a TensorFile,
    /// What stands before each name, with its dot.
    pub prefix: &'a str,
}

impl WeightSource for PrefixedSource<'_> {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let name = format!("{}{name}", self.prefix);
        let data = self.file.tensor_data(&name, precision)?;
        check_shape(self.file.path(), &name, data, shape)
    }
}

fn check_shape(
    file: &Path,
    name: &str,
    data: TensorData,
    expected: &[usize],
) -> Result<TensorData, WeightError> {
    if data.shape.as_slice() == expected {
        return Ok(data);
    }
    let found = data.shape.as_slice();
    let reason = format!("has shape {found:?}, {expected:?} needed");
    Err(WeightError::Tensor { file: file.into(), tensor: name.into(), reason })
}
