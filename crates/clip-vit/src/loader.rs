//! Turns named weights into the modules of the towers.

use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

use crate::{Precision, WeightError, WeightSource};

/// A source of weights, the precision they are held in, and the device they go to.
pub(crate) struct Loader<'a, B: Backend> {
    pub(crate) source: &'a dyn WeightSource,
    pub(crate) precision: Precision,
    pub(crate) device: &'a B::Device,
}

impl<B: Backend> Loader<'_, B> {
    /// The tensor of this name, refused when its shape differs.
    pub(crate) fn tensor<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<B, D>, WeightError> {
        let data: TensorData = self.source.tensor(name, &shape, self.precision)?;
        let dtype: DType = data.dtype;
        Ok(Tensor::from_data(data, (self.device, dtype)))
    }

    /// A linear layer from PyTorch's `[outputs, inputs]` matrix, turned by its strides alone.
    pub(crate) fn linear(
        &self,
        weight: &str,
        bias: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Linear<B>, WeightError> {
        let matrix = self.tensor(weight, [outputs, inputs])?.transpose();
        let bias = self.tensor(bias, [outputs])?;
        Ok(Linear { weight: frozen(matrix), bias: Some(frozen(bias)) })
    }

    /// The layer normalisation under this prefix, with CLIP's epsilon of 1e-5.
    pub(crate) fn layer_norm(
        &self,
        prefix: &str,
        width: usize,
    ) -> Result<LayerNorm<B>, WeightError> {
        let mut norm =
            LayerNormConfig::new(width).with_epsilon(LAYER_NORM_EPSILON).init(self.device);
        norm.gamma = frozen(self.tensor(&format!("{prefix}.weight"), [width])?);
        norm.beta = Some(frozen(self.tensor(&format!("{prefix}.bias"), [width])?));
        Ok(norm)
    }
}

/// CLIP's layer normalisations all use this epsilon.
pub(crate) const LAYER_NORM_EPSILON: f64 = 1e-5;

/// A parameter that no optimiser will touch.
pub(crate) fn frozen<B: Backend, const D: usize>(value: Tensor<B, D>) -> Param<Tensor<B, D>> {
    Param::from_tensor(value).set_require_grad(false)
}
