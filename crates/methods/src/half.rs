//! Rounding to f16 where learned prompts enter a frozen tower.
//!
//! Releases that keep their prompts in f32 and cast them to f16 on the way into a tower change the numbers
//! even where all else is f32. A cast's derivative is a cast, so the gradient is rounded on its way back too.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor, TensorPrimitive, backend::Backend};
use clip_vit::{Frozen, TextTower, VisionTower};
use serde::{Deserialize, Serialize};

/// A tower that takes its prompts rounded to f16.
pub trait HalfRounding<B: Backend> {
    /// The prompts' nearest f16 numbers (of two equally near the even one), in the type that they came in.
    /// Where a graph is recorded, their gradient is rounded in the same way.
    ///
    /// A set of prompts that several sequences share must be expanded before: each sequence's gradient is
    /// rounded by itself, and only then summed.
    ///
    /// # Shapes
    ///
    /// - prompts: `[sequences, prompts, width]`
    /// - output: `[sequences, prompts, width]`
    fn round_to_half(&self, prompts: Tensor<B, 3>) -> Tensor<B, 3>;
}

/// The precision in which learned prompts enter a tower.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptPrecision {
    /// As they are.
    F32,
    /// Rounded to f16, and their gradients too, as releases do it.
    #[default]
    F16,
}

impl PromptPrecision {
    /// The prompts as they enter a tower. A set that several sequences share must be expanded before.
    ///
    /// # Shapes
    ///
    /// - prompts: `[sequences, prompts, width]`
    /// - output: `[sequences, prompts, width]`
    pub fn enter<B: Backend>(
        self,
        tower: &impl HalfRounding<B>,
        prompts: Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        match self {
            Self::F32 => prompts,
            Self::F16 => tower.round_to_half(prompts),
        }
    }
}

impl<B: Backend> HalfRounding<B> for VisionTower<B> {
    fn round_to_half(&self, prompts: Tensor<B, 3>) -> Tensor<B, 3> {
        nearest_half(prompts)
    }
}

impl<B: Backend> HalfRounding<B> for TextTower<B> {
    fn round_to_half(&self, prompts: Tensor<B, 3>) -> Tensor<B, 3> {
        nearest_half(prompts)
    }
}

impl<B, C, T> HalfRounding<Autodiff<B, C>> for Frozen<B, T>
where
    B: Backend,
    C: CheckpointStrategy,
{
    fn round_to_half(&self, prompts: Tensor<Autodiff<B, C>, 3>) -> Tensor<Autodiff<B, C>, 3> {
        let prompts = prompts.into_primitive().tensor();
        let rounded = nearest_half(float::<B>(prompts.primitive.clone()));
        let operation = RoundingBackward.prepare::<C>([prompts.node.clone()]).compute_bound();
        let output = operation.stateless(rounded.into_primitive().tensor());
        Tensor::from_primitive(TensorPrimitive::Float(output))
    }
}

/// The operation's place in the graph; it needs to remember nothing.
#[derive(Debug)]
struct RoundingBackward;

impl<B: Backend> Backward<B, 1> for RoundingBackward {
    type State = ();

    fn backward(
        self,
        ops: Ops<(), 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = float::<B>(gradients.consume::<B>(&ops.node));
        let [prompts] = ops.parents;
        if let Some(node) = prompts {
            gradients.register::<B>(node.id, nearest_half(gradient).into_primitive().tensor());
        }
    }
}

/// On the device where it has f16, otherwise on the host.
fn nearest_half<B: Backend>(tensor: Tensor<B, 3>) -> Tensor<B, 3> {
    let (dtype, device) = (tensor.dtype(), tensor.device());
    if B::supports_dtype(&device, DType::F16) {
        return tensor.cast(DType::F16).cast(dtype);
    }
    let rounded = tensor.into_data().convert_dtype(DType::F16).convert_dtype(dtype);
    Tensor::from_data(rounded, (&device, dtype))
}

fn float<B: Backend>(primitive: B::FloatTensorPrimitive) -> Tensor<B, 3> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

#[cfg(test)]
mod tests {
    use burn::backend::{Flex, NdArray};
    use burn::tensor::TensorData;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights};

    use super::*;

    const ULP: f32 = 1.0 / 1024.0;

    /// A number between two of f16, two in the middle between two, the smallest of f16 and a half of it,
    /// one that is beyond all.
    const VALUES: [f32; 6] =
        [1.0 + 0.7 * ULP, 1.0 + 0.5 * ULP, 1.0 + 1.5 * ULP, 6e-8, 2.9e-8, -70000.0];

    const SMALLEST: f32 = 1.0 / 16_777_216.0;

    const ROUNDED: [f32; 6] = [1.0 + ULP, 1.0, 1.0 + 2.0 * ULP, SMALLEST, 0.0, f32::NEG_INFINITY];

    fn tower<B: Backend>() -> TextTower<B> {
        let spec = ClipSpecBuilder::new().vision(4, 2, 8, 1).text(8, 1).tokens(4, 8).embed(4);
        let (spec, source) = (spec.build().unwrap(), RandomWeights::new(1));
        TextTower::load(&spec, &source, Precision::F32, &Default::default()).unwrap()
    }

    fn data(values: [f32; 6]) -> TensorData {
        TensorData::new(values.to_vec(), [1, 2, 3])
    }

    fn check<B: Backend>() {
        let device = Default::default();
        let values = Tensor::<B, 3>::from_data(data(VALUES), &device);
        tower::<B>().round_to_half(values).into_data().assert_eq(&data(ROUNDED), true);
    }

    fn check_gradient<B: Backend>() {
        let device = Default::default();
        let prompts = Tensor::<Autodiff<B>, 3>::ones([1, 2, 3], &device).require_grad();
        let slopes = Tensor::from_data(data(VALUES), &device);
        let rounded = Frozen::new(tower::<B>()).round_to_half(prompts.clone());
        let gradients = (rounded * slopes).sum().backward();
        prompts.grad(&gradients).unwrap().into_data().assert_eq(&data(ROUNDED), true);
    }

    #[test]
    fn values_become_the_nearest_of_f16() {
        check::<Flex>();
        check::<NdArray>();
    }

    #[test]
    fn gradients_become_the_nearest_of_f16() {
        check_gradient::<Flex>();
        check_gradient::<NdArray>();
    }
}
