//! A tower that is never trained, under an autodiff graph.
//!
//! The tower itself lives on the inner backend, so its weights cannot gather gradients. Tokens that
//! carry no gradient pass through it outside the graph; for tokens that do, each block is one
//! operation that remembers its input and recomputes the rest on the way back.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::module::{AutodiffModule, Module};
use burn::nn::LayerNorm;
use burn::tensor::{Tensor, TensorPrimitive, backend::Backend};

use crate::{ResidualBlock, VisionBackbone, VisionSpec, VisionTower};

/// A [`VisionTower`] of the inner backend, used under [`Autodiff`].
#[derive(Debug, Clone)]
pub struct Frozen<B: Backend> {
    tower: VisionTower<B>,
}

impl<B: Backend> Frozen<B> {
    /// Puts a tower under autodiff.
    pub fn new(tower: VisionTower<B>) -> Self {
        Self { tower }
    }

    /// The tower on its own backend.
    pub fn tower(&self) -> &VisionTower<B> {
        &self.tower
    }
}

impl<B: Backend, C: CheckpointStrategy> VisionBackbone<Autodiff<B, C>> for Frozen<B> {
    fn spec(&self) -> &VisionSpec {
        self.tower.spec()
    }

    fn embed(&self, images: Tensor<Autodiff<B, C>, 4>) -> Tensor<Autodiff<B, C>, 3> {
        Tensor::from_inner(self.tower.embed(images.inner()))
    }

    fn layer(&self, index: usize, tokens: Tensor<Autodiff<B, C>, 3>) -> Tensor<Autodiff<B, C>, 3> {
        frozen_block(self.tower.block(index), tokens)
    }

    fn post_norm(&self, tokens: Tensor<Autodiff<B, C>, 3>) -> Tensor<Autodiff<B, C>, 3> {
        let norm: LayerNorm<Autodiff<B, C>> =
            AutodiffModule::from_inner(self.tower.post_layer_norm().clone());
        norm.no_grad().forward(tokens)
    }
}

/// The operation's place in the graph; its state is the input and the block.
#[derive(Debug)]
struct FrozenBlock;

/// What one block remembers for the way back.
#[derive(Debug, Clone)]
struct BlockState<B: Backend> {
    block: ResidualBlock<B>,
    input: B::FloatTensorPrimitive,
}

impl<B: Backend> Backward<B, 1> for FrozenBlock {
    type State = BlockState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let output_gradient = float(gradients.consume::<B>(&ops.node));
        let [input_node] = ops.parents;
        if let Some(node) = input_node {
            let BlockState { block, input } = ops.state;
            let gradient = block.input_gradient(float(input), output_gradient);
            gradients.register::<B>(node.id, gradient.into_primitive().tensor());
        }
    }
}

fn frozen_block<B: Backend, C: CheckpointStrategy>(
    block: &ResidualBlock<B>,
    tokens: Tensor<Autodiff<B, C>, 3>,
) -> Tensor<Autodiff<B, C>, 3> {
    let tokens = tokens.into_primitive().tensor();
    let input = tokens.primitive.clone();
    let output = block.forward(float(input.clone())).into_primitive().tensor();
    let output = match FrozenBlock.prepare::<C>([tokens.node.clone()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(BlockState { block: block.clone(), input }, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

fn float<B: Backend>(primitive: B::FloatTensorPrimitive) -> Tensor<B, 3> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}
