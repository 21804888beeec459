//! A tower that is never trained, under an autodiff graph.
//!
//! The tower itself lives on the inner backend, so its weights cannot gather gradients. Tokens that
//! carry no gradient pass through it outside the graph; for tokens that do, each layer is one
//! operation that remembers its input and recomputes the rest in the backward pass.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::module::{AutodiffModule, Module};
use burn::nn::LayerNorm;
use burn::tensor::{Tensor, TensorPrimitive, backend::Backend};

use crate::{
    ImageTextBackbone, JointEmbedding, PromptError, TextBackbone, TextSpec, VisionBackbone,
    VisionSpec, VisionTower,
};

/// A tower of the inner backend, used under [`Autodiff`]: an image tower is then a
/// [`VisionBackbone`], a text tower a [`TextBackbone`] of the outer one.
#[derive(Debug, Clone)]
pub struct Frozen<B: Backend, T = VisionTower<B>> {
    tower: T,
    backend: PhantomData<B>,
}

/// A layer that never learns, with the gradient of its input written out.
pub trait FrozenLayer<B: Backend>: Debug + Clone + Send + 'static {
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    fn forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3>;

    /// The gradient of the input, from the input and the gradient of the output.
    ///
    /// # Shapes
    ///
    /// - input, output_gradient: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    fn input_gradient(&self, input: Tensor<B, 3>, output_gradient: Tensor<B, 3>) -> Tensor<B, 3>;
}

/// A tower of such layers.
pub trait FrozenLayers<B: Backend> {
    /// What its layers are.
    type Layer: FrozenLayer<B>;

    /// A layer, counted from 0.
    fn frozen_layer(&self, index: usize) -> &Self::Layer;

    /// The normalisation behind the last layer.
    fn last_norm(&self) -> &LayerNorm<B>;
}

impl<B: Backend, T: FrozenLayers<B>> Frozen<B, T> {
    /// Puts a tower under autodiff.
    pub fn new(tower: T) -> Self {
        Self { tower, backend: PhantomData }
    }

    /// The tower on its own backend.
    pub fn tower(&self) -> &T {
        &self.tower
    }

    /// The last normalisation as a constant of the graph.
    fn last_norm<C: CheckpointStrategy>(&self) -> LayerNorm<Autodiff<B, C>> {
        let norm: LayerNorm<Autodiff<B, C>> =
            AutodiffModule::from_inner(self.tower.last_norm().clone());
        norm.no_grad()
    }
}

impl<B, C, T> VisionBackbone<Autodiff<B, C>> for Frozen<B, T>
where
    B: Backend,
    C: CheckpointStrategy,
    T: VisionBackbone<B> + FrozenLayers<B>,
{
    fn spec(&self) -> &VisionSpec {
        self.tower.spec()
    }

    fn prefix_tokens(&self) -> usize {
        self.tower.prefix_tokens()
    }

    fn embed(&self, images: Tensor<Autodiff<B, C>, 4>) -> Tensor<Autodiff<B, C>, 3> {
        Tensor::from_inner(self.tower.embed(images.inner()))
    }

    fn layer(&self, index: usize, tokens: Tensor<Autodiff<B, C>, 3>) -> Tensor<Autodiff<B, C>, 3> {
        forward_frozen(self.tower.frozen_layer(index), tokens)
    }

    fn post_norm(&self, tokens: Tensor<Autodiff<B, C>, 3>) -> Tensor<Autodiff<B, C>, 3> {
        self.last_norm().forward(tokens)
    }
}

impl<B: Backend, C: CheckpointStrategy> ImageTextBackbone<Autodiff<B, C>> for Frozen<B> {
    fn joint_embedding(&self, tokens: Tensor<Autodiff<B, C>, 3>) -> JointEmbedding<Autodiff<B, C>> {
        let image = self.image_embedding(tokens.clone());
        let patches = self.project(VisionBackbone::<Autodiff<B, C>>::patches(self, tokens));
        JointEmbedding { image, patches }
    }

    fn image_embedding(&self, tokens: Tensor<Autodiff<B, C>, 3>) -> Tensor<Autodiff<B, C>, 2> {
        self.project(tokens.narrow(1, 0, self.tower.prefix_tokens())).squeeze_dim(1)
    }
}

impl<B: Backend> Frozen<B> {
    /// Tokens behind the last layer in CLIP's joint embedding, not made unit: `[batch, any, width]` to
    /// `[batch, any, embed]`.
    fn project<C: CheckpointStrategy>(
        &self,
        tokens: Tensor<Autodiff<B, C>, 3>,
    ) -> Tensor<Autodiff<B, C>, 3> {
        let projection = Tensor::<Autodiff<B, C>, 2>::from_inner(self.tower.projection.val());
        self.post_norm(tokens).matmul(projection.unsqueeze())
    }
}

impl<B, C, T> TextBackbone<Autodiff<B, C>> for Frozen<B, T>
where
    B: Backend,
    C: CheckpointStrategy,
    T: TextBackbone<B> + FrozenLayers<B>,
{
    fn spec(&self) -> &TextSpec {
        self.tower.spec()
    }

    fn look_up(&self, prompts: &[Vec<i64>]) -> Result<Tensor<Autodiff<B, C>, 3>, PromptError> {
        self.tower.look_up(prompts).map(Tensor::from_inner)
    }

    fn positions(&self) -> Tensor<Autodiff<B, C>, 2> {
        Tensor::from_inner(self.tower.positions())
    }

    fn layer(&self, index: usize, tokens: Tensor<Autodiff<B, C>, 3>) -> Tensor<Autodiff<B, C>, 3> {
        forward_frozen(self.tower.frozen_layer(index), tokens)
    }

    fn final_norm(&self) -> LayerNorm<Autodiff<B, C>> {
        self.last_norm()
    }

    fn projection(&self) -> Tensor<Autodiff<B, C>, 2> {
        Tensor::from_inner(self.tower.projection())
    }
}

/// The operation's place in the graph; its state is the input and the layer.
#[derive(Debug)]
struct LayerBackward<L>(PhantomData<L>);

/// What one layer remembers for the backward pass.
#[derive(Debug, Clone)]
struct LayerState<B: Backend, L> {
    layer: L,
    input: B::FloatTensorPrimitive,
}

impl<B: Backend, L: FrozenLayer<B>> Backward<B, 1> for LayerBackward<L> {
    type State = LayerState<B, L>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let output_gradient = float(gradients.consume::<B>(&ops.node));
        let [input_node] = ops.parents;
        if let Some(node) = input_node {
            let LayerState { layer, input } = ops.state;
            let gradient = layer.input_gradient(float(input), output_gradient);
            gradients.register::<B>(node.id, gradient.into_primitive().tensor());
        }
    }
}

fn forward_frozen<B: Backend, C: CheckpointStrategy, L: FrozenLayer<B>>(
    layer: &L,
    tokens: Tensor<Autodiff<B, C>, 3>,
) -> Tensor<Autodiff<B, C>, 3> {
    let tokens = tokens.into_primitive().tensor();
    let input = tokens.primitive.clone();
    let output = layer.forward(float(input.clone())).into_primitive().tensor();
    let operation = LayerBackward::<L>(PhantomData);
    let output = match operation.prepare::<C>([tokens.node.clone()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(LayerState { layer: layer.clone(), input }, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

fn float<B: Backend>(primitive: B::FloatTensorPrimitive) -> Tensor<B, 3> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}
