//! Blocks on the flex backend by [`tile_kernels`]: the one place where a tensor's primitive is reached
//! by its concrete type. All other backends keep the plain operations.

use std::any::{Any, TypeId};
use std::sync::Arc;

use burn::tensor::{Bytes, DType, Tensor, TensorData, TensorPrimitive, backend::Backend};
use burn_flex::{Flex, FlexTensor, Layout};
use tile_kernels::{
    BlockWeights, DenseLayer, Isa, LinearWeights, NormWeights, PackedBlock, Tokens,
};

use crate::attention::Visibility;
use crate::block::BlockSpec;
use crate::loader::LAYER_NORM_EPSILON;
use crate::{Activation, Precision, WeightError};

/// Kernels that a tower's blocks are packed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels {
    isa: Isa,
    precision: tile_kernels::Precision,
}

impl Kernels {
    /// The kernels for blocks on a backend, or none where it keeps to its own operations: it is another
    /// than flex, or weights are f16, for which there are none.
    ///
    /// # Errors
    ///
    /// If `MOECLIP_KERNEL` names kernels that cannot be used.
    pub(crate) fn of<B: Backend>(precision: Precision) -> Result<Option<Self>, WeightError> {
        let precision = match precision {
            Precision::F32 => tile_kernels::Precision::F32,
            Precision::Bf16 => tile_kernels::Precision::Bf16,
            Precision::F16 => return Ok(None),
        };
        if !is_flex::<B>() {
            return Ok(None);
        }
        Ok(Some(Self { isa: Isa::chosen()?, precision }))
    }

    /// Packs a block's weights.
    pub(crate) fn pack(self, spec: BlockSpec, weights: &HostWeights) -> Arc<PackedBlock> {
        let HostWeights { qkv, attention_out, mlp_in, mlp_out, .. } = weights;
        let [of_qkv, of_out] = [qkv, attention_out].map(HostLinear::reader);
        let [of_mlp_in, of_mlp_out] = [mlp_in, mlp_out].map(HostLinear::reader);
        Arc::new(PackedBlock::new(
            self.isa,
            self.precision,
            &BlockWeights {
                norm_attention: weights.norm_attention.weights(),
                qkv: LinearWeights { weight: &of_qkv, bias: floats(&qkv.bias) },
                attention_out: LinearWeights { weight: &of_out, bias: floats(&attention_out.bias) },
                norm_mlp: weights.norm_mlp.weights(),
                mlp_in: LinearWeights { weight: &of_mlp_in, bias: floats(&mlp_in.bias) },
                mlp_out: LinearWeights { weight: &of_mlp_out, bias: floats(&mlp_out.bias) },
                heads: spec.heads,
                activation: match spec.activation {
                    Activation::QuickGelu => tile_kernels::Activation::QuickGelu,
                    Activation::Gelu => tile_kernels::Activation::Gelu,
                },
            },
        ))
    }
}

/// The precision in which flex computes a frozen block fastest on this machine: bf16 where its products
/// are faster than those of f32.
///
/// # Errors
///
/// If `MOECLIP_KERNEL` names kernels that cannot be used.
pub fn fastest_precision() -> Result<Precision, WeightError> {
    Ok(if Isa::chosen()?.has_fast_bf16() { Precision::Bf16 } else { Precision::F32 })
}

/// Whether the kernels can reach a backend's numbers.
pub(crate) fn is_flex<B: Backend>() -> bool {
    TypeId::of::<B>() == TypeId::of::<Flex>()
}

/// Weights of a block on the host, all f32.
pub(crate) struct HostWeights {
    pub(crate) norm_attention: HostNorm,
    pub(crate) qkv: HostLinear,
    pub(crate) attention_out: HostLinear,
    pub(crate) norm_mlp: HostNorm,
    pub(crate) mlp_in: HostLinear,
    pub(crate) mlp_out: HostLinear,
}

/// Scale and shift.
pub(crate) struct HostNorm {
    pub(crate) gamma: TensorData,
    pub(crate) beta: TensorData,
}

impl HostNorm {
    fn weights(&self) -> NormWeights<'_> {
        NormWeights {
            gamma: floats(&self.gamma),
            beta: floats(&self.beta),
            epsilon: LAYER_NORM_EPSILON as f32,
        }
    }
}

/// PyTorch's `[outputs, inputs]` matrix and a bias.
pub(crate) struct HostLinear {
    pub(crate) weight: TensorData,
    pub(crate) bias: TensorData,
}

impl HostLinear {
    /// Weights by input and output.
    fn reader(&self) -> impl Fn(usize, usize) -> f32 + Sync {
        let weight = floats(&self.weight);
        let inputs = weight.len() / floats(&self.bias).len();
        move |input, output| weight[output * inputs + input]
    }
}

fn floats(data: &TensorData) -> &[f32] {
    data.as_slice().expect("weights were read as f32")
}

/// A block's output, `[batch, tokens, width]`, in the dtype of its input.
pub(crate) fn forward<B: Backend>(
    block: &PackedBlock,
    tokens: Tensor<B, 3>,
    visibility: Visibility,
) -> Tensor<B, 3> {
    let dtype = tokens.dtype();
    let [batch, count, _] = tokens.dims();
    let size = Tokens { batch, count };
    changed(tokens, |stream| block.forward(stream, size, visible(visibility))).cast(dtype)
}

/// The gradient of a block's input, from the input and the output's gradient, all
/// `[batch, tokens, width]`.
pub(crate) fn input_gradient<B: Backend>(
    block: &PackedBlock,
    input: Tensor<B, 3>,
    output_gradient: Tensor<B, 3>,
    visibility: Visibility,
) -> Tensor<B, 3> {
    let dtype = output_gradient.dtype();
    let [batch, count, _] = input.dims();
    let input = contiguous(flex_of(input.cast(DType::F32)));
    let input = numbers(&input);
    let size = Tokens { batch, count };
    let gradient = changed(output_gradient, |gradient| {
        block.input_gradient(input, gradient, size, visible(visibility));
    });
    gradient.cast(dtype)
}

fn visible(visibility: Visibility) -> tile_kernels::Visibility {
    match visibility {
        Visibility::All => tile_kernels::Visibility::All,
        Visibility::Causal => tile_kernels::Visibility::Causal,
    }
}

/// A tensor's numbers changed, in place if nobody else holds them.
fn changed<B: Backend>(tensor: Tensor<B, 3>, change: impl FnOnce(&mut [f32])) -> Tensor<B, 3> {
    let mut tensor = contiguous(flex_of(tensor.cast(DType::F32)));
    let layout = tensor.layout().clone();
    match tensor.try_storage_mut::<f32>() {
        Some(numbers) if numbers.len() == layout.num_elements() => {
            change(numbers);
            tensor_of(tensor)
        }
        _ => {
            let mut numbers = numbers(&tensor).to_vec();
            change(&mut numbers);
            let layout = Layout::contiguous(layout.shape().clone());
            tensor_of(FlexTensor::new(Bytes::from_elems(numbers), layout, DType::F32))
        }
    }
}

fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The numbers of a contiguous f32 tensor.
fn numbers(tensor: &FlexTensor) -> &[f32] {
    let layout = tensor.layout();
    &tensor.storage::<f32>()[layout.start_offset()..][..layout.num_elements()]
}

/// A linear layer's tensors, `[inputs, outputs]` and `[outputs]`.
pub(crate) fn dense<B: Backend>(
    layer: DenseLayer,
    device: &B::Device,
) -> (Tensor<B, 2>, Tensor<B, 1>) {
    let DenseLayer { weight, bias } = layer;
    let outputs = bias.len();
    let inputs = weight.len() / outputs;
    let weight = TensorData::new(weight, [inputs, outputs]);
    let device = (device, DType::F32);
    (Tensor::from_data(weight, device), Tensor::from_data(TensorData::new(bias, [outputs]), device))
}

/// The primitive by its concrete type. Blocks are packed on flex alone.
fn flex_of<B: Backend>(tensor: Tensor<B, 3>) -> FlexTensor {
    let primitive: Box<dyn Any> = Box::new(tensor.into_primitive().tensor());
    *primitive.downcast().expect("packed blocks are on the flex backend")
}

fn tensor_of<B: Backend>(primitive: FlexTensor) -> Tensor<B, 3> {
    let primitive: Box<dyn Any> = Box::new(primitive);
    let primitive = primitive.downcast().expect("packed blocks are on the flex backend");
    Tensor::from_primitive(TensorPrimitive::Float(*primitive))
}
