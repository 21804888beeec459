//! Turns named weights into the modules of the towers.

use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

use crate::block::{BlockLayer, BlockSpec, LayerSize};
use crate::fast::{HostLinear, HostNorm, HostWeights, Kernels};
use crate::{Precision, WeightError, WeightSource};

/// A source of weights, how they are held, and the device they go to.
pub(crate) struct Loader<'a, B: Backend> {
    source: &'a dyn WeightSource,
    /// Of the tensors.
    precision: Precision,
    /// What blocks are packed for, if they are.
    pub(crate) kernels: Option<Kernels>,
    device: &'a B::Device,
}

impl<'a, B: Backend> Loader<'a, B> {
    /// Where blocks are packed, what lies around them is f32.
    ///
    /// # Errors
    ///
    /// If `MOECLIP_KERNEL` names kernels that cannot be used.
    pub(crate) fn new(
        source: &'a dyn WeightSource,
        precision: Precision,
        device: &'a B::Device,
    ) -> Result<Self, WeightError> {
        let kernels = Kernels::of::<B>(precision)?;
        let precision = if kernels.is_some() { Precision::F32 } else { precision };
        Ok(Self { source, precision, kernels, device })
    }

    /// The weights of the block under this prefix, on the host.
    pub(crate) fn host_block(
        &self,
        prefix: &str,
        spec: BlockSpec,
    ) -> Result<HostWeights, WeightError> {
        // A source may keep to a precision of its own.
        let data = |name: &str, shape: &[usize]| {
            let data = self.source.tensor(name, shape, Precision::F32)?;
            Ok::<_, WeightError>(data.convert::<f32>())
        };
        let norm = |name: &str| {
            let part = |part: &str| data(&format!("{prefix}.{name}.{part}"), &[spec.width]);
            Ok::<_, WeightError>(HostNorm { gamma: part("weight")?, beta: part("bias")? })
        };
        let linear = |layer: BlockLayer| {
            let LayerSize { inputs, outputs } = layer.size(spec);
            Ok::<_, WeightError>(HostLinear {
                weight: data(&layer.weight(prefix), &[outputs, inputs])?,
                bias: data(&layer.bias(prefix), &[outputs])?,
            })
        };
        Ok(HostWeights {
            norm_attention: norm("ln_1")?,
            qkv: linear(BlockLayer::Qkv)?,
            attention_out: linear(BlockLayer::AttentionOut)?,
            norm_mlp: norm("ln_2")?,
            mlp_in: linear(BlockLayer::MlpIn)?,
            mlp_out: linear(BlockLayer::MlpOut)?,
        })
    }

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
