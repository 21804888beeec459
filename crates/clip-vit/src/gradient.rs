//! The gradient of a frozen block with respect to its input, written out.
//!
//! The weights never learn, so only the input's gradient is needed: the block is computed once more
//! from its input and walked backwards. Attention is taken a few heads at a time, so that the
//! `[tokens, tokens]` matrices of all heads never exist together.

use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{DType, Tensor, TensorPrimitive, backend::Backend, ops::ActivationOps};

use crate::Activation;
use crate::block::{
    Heads, QUICK_GELU_SLOPE, ResidualBlock, Visibility, merge_heads, split_heads,
};
use crate::loader::LAYER_NORM_EPSILON;

/// Heads whose attention matrices exist at the same time.
const HEADS_AT_ONCE: usize = 2;

impl<B: Backend> ResidualBlock<B> {
    /// The gradient of the input, from the input and the gradient of the output.
    ///
    /// # Shapes
    ///
    /// - input, output_gradient: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    pub(crate) fn input_gradient(
        &self,
        input: Tensor<B, 3>,
        output_gradient: Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        let normed = self.norm_attention.forward(input.clone());
        let heads = self.project_heads(normed);
        let attended = AttentionTape::new(self, heads);
        let middle = input.clone() + self.attention_out.forward(attended.mixed());

        let through_mlp = self.mlp_gradient(middle.clone(), output_gradient.clone());
        let middle_gradient = output_gradient + norm_gradient(&self.norm_mlp, middle, through_mlp);

        let mixed_gradient = linear_gradient(&self.attention_out, middle_gradient.clone());
        let qkv_gradient = attended.gradient(mixed_gradient);
        let through_attention = linear_gradient(&self.qkv, qkv_gradient);
        middle_gradient + norm_gradient(&self.norm_attention, input, through_attention)
    }

    /// Gradient of the normalised tokens that enter the feed-forward.
    fn mlp_gradient(&self, middle: Tensor<B, 3>, gradient: Tensor<B, 3>) -> Tensor<B, 3> {
        let hidden = self.mlp_in.forward(self.norm_mlp.forward(middle));
        let activated = linear_gradient(&self.mlp_out, gradient);
        let hidden_gradient = activation_gradient(self.activation, hidden, activated);
        linear_gradient(&self.mlp_in, hidden_gradient)
    }
}

/// What attention's backward pass needs: the heads and nothing quadratic.
struct AttentionTape<'a, B: Backend> {
    block: &'a ResidualBlock<B>,
    heads: Heads<B>,
}

impl<'a, B: Backend> AttentionTape<'a, B> {
    fn new(block: &'a ResidualBlock<B>, heads: Heads<B>) -> Self {
        Self { block, heads }
    }

    /// Values mixed by attention, `[batch, tokens, width]`.
    fn mixed(&self) -> Tensor<B, 3> {
        let Heads { query, key, value } = &self.heads;
        merge_heads(burn::tensor::module::attention(
            query.clone(),
            key.clone(),
            value.clone(),
            None,
            None,
            self.block.options(),
        ))
    }

    /// Gradient of query, key and value side by side, `[batch, tokens, 3 * width]`.
    fn gradient(self, mixed_gradient: Tensor<B, 3>) -> Tensor<B, 3> {
        let count = self.block.heads;
        let gradient = split_heads(mixed_gradient, count);
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for first in (0..count).step_by(HEADS_AT_ONCE) {
            let taken = HEADS_AT_ONCE.min(count - first);
            let slice = |heads: &Tensor<B, 4>| heads.clone().narrow(1, first, taken);
            let Heads { query, key, value } = &self.heads;
            let some = Heads { query: slice(query), key: slice(key), value: slice(value) };
            let some = attention_gradient(some, slice(&gradient), self.block.visibility);
            for (part, gradient) in parts.iter_mut().zip([some.query, some.key, some.value]) {
                part.push(gradient);
            }
        }
        Tensor::cat(parts.into_iter().map(|part| merge_heads(Tensor::cat(part, 1))).collect(), 2)
    }
}

/// Gradients of query, key and value of `softmax(q k' / sqrt(c)) v`, in f32.
fn attention_gradient<B: Backend>(
    heads: Heads<B>,
    gradient: Tensor<B, 4>,
    visibility: Visibility,
) -> Heads<B> {
    let dtype = gradient.dtype();
    let wide = |tensor: Tensor<B, 4>| tensor.cast(DType::F32);
    let (query, key, value) = (wide(heads.query), wide(heads.key), wide(heads.value));
    let gradient = wide(gradient);
    let [_, _, _, channels] = query.dims();
    let scale = (channels as f64).sqrt().recip();

    let scores = query.clone().matmul(key.clone().transpose()).mul_scalar(scale);
    let weights = softmax(hide_future(scores, visibility), 3);
    let value_gradient = weights.clone().transpose().matmul(gradient.clone());
    let weights_gradient = gradient.matmul(value.transpose());
    let along = (weights_gradient.clone() * weights.clone()).sum_dim(3);
    let scores_gradient = (weights_gradient - along) * weights;
    let query_gradient = scores_gradient.clone().matmul(key).mul_scalar(scale);
    let key_gradient = scores_gradient.transpose().matmul(query).mul_scalar(scale);
    Heads {
        query: query_gradient.cast(dtype),
        key: key_gradient.cast(dtype),
        value: value_gradient.cast(dtype),
    }
}

fn hide_future<B: Backend>(scores: Tensor<B, 4>, visibility: Visibility) -> Tensor<B, 4> {
    match visibility {
        Visibility::All => scores,
        Visibility::Causal => {
            let [_, _, rows, columns] = scores.dims();
            let mask = Tensor::<B, 2, burn::tensor::Bool>::tril_mask(
                [rows, columns],
                0,
                &scores.device(),
            );
            scores.mask_fill(mask.unsqueeze(), f32::NEG_INFINITY)
        }
    }
}

fn linear_gradient<B: Backend>(linear: &Linear<B>, gradient: Tensor<B, 3>) -> Tensor<B, 3> {
    gradient.matmul(linear.weight.val().transpose().unsqueeze())
}

fn activation_gradient<B: Backend>(
    activation: Activation,
    x: Tensor<B, 3>,
    gradient: Tensor<B, 3>,
) -> Tensor<B, 3> {
    match activation {
        Activation::QuickGelu => {
            let gate = sigmoid(x.clone().mul_scalar(QUICK_GELU_SLOPE));
            let bend = gate.clone() * gate.clone().neg().add_scalar(1.0);
            gradient * (gate + x.mul_scalar(QUICK_GELU_SLOPE) * bend)
        }
        Activation::Gelu => {
            let (x, gradient) = (x.into_primitive().tensor(), gradient.into_primitive().tensor());
            Tensor::from_primitive(TensorPrimitive::Float(<B as ActivationOps<B>>::gelu_backward(
                x, gradient,
            )))
        }
    }
}

/// Gradient of a layer normalisation's input, in f32.
fn norm_gradient<B: Backend>(
    norm: &LayerNorm<B>,
    input: Tensor<B, 3>,
    gradient: Tensor<B, 3>,
) -> Tensor<B, 3> {
    let dtype = gradient.dtype();
    let input = input.cast(DType::F32);
    let centered = input.clone() - input.mean_dim(2);
    let variance = centered.clone().square().mean_dim(2);
    let inverse = variance.add_scalar(LAYER_NORM_EPSILON).sqrt().recip();
    let unit = centered * inverse.clone();
    let gamma = norm.gamma.val().cast(DType::F32).unsqueeze::<3>();
    let scaled = gradient.cast(DType::F32) * gamma;
    let mean = scaled.clone().mean_dim(2);
    let along = (scaled.clone() * unit.clone()).mean_dim(2);
    ((scaled - mean - unit * along) * inverse).cast(dtype)
}
