//! The gradient of a frozen block with respect to its input, written out.
//!
//! The weights never learn, so only the input's gradient is needed: the block is computed once more
//! from its input and walked backwards.

use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::sigmoid;
use burn::tensor::{DType, Tensor, backend::Backend};

use crate::attention::{AttentionGradient, Heads, Visibility, attention_gradient};
use crate::block::{BlockLayers, QUICK_GELU_SLOPE, ResidualBlock, normal_share, project};
use crate::loader::LAYER_NORM_EPSILON;
use crate::{Activation, AttentionKind, FrozenLayer, fast};

/// The standard normal's density at zero, `1 / sqrt(2 pi)`.
const NORMAL_PEAK: f64 = 0.398_942_280_401_432_7;

impl<B: Backend> FrozenLayer<B> for ResidualBlock<B> {
    fn forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        ResidualBlock::forward(self, tokens)
    }

    fn input_gradient(&self, input: Tensor<B, 3>, output_gradient: Tensor<B, 3>) -> Tensor<B, 3> {
        if let Some(packed) = self.packed() {
            return fast::input_gradient(packed, input, output_gradient, self.visibility);
        }
        let layers = &*self.layers();
        let normed = self.norm_attention.forward(input.clone());
        let heads = self.heads(layers, normed, self.attention);
        let mixed = self.mix(&heads, self.attention).cast(input.dtype());
        let middle = input.clone() + project(&layers.attention_out, mixed);

        let through_mlp = self.mlp_gradient(layers, middle.clone(), output_gradient.clone());
        let middle_gradient = output_gradient + norm_gradient(&self.norm_mlp, middle, through_mlp);

        let mixed_gradient = linear_gradient(&layers.attention_out, middle_gradient.clone());
        let through_attention = self.heads_gradient(layers, &heads, mixed_gradient);
        middle_gradient + norm_gradient(&self.norm_attention, input, through_attention)
    }
}

impl<B: Backend> ResidualBlock<B> {
    /// Gradient of the normalised tokens from which the heads are made.
    fn heads_gradient(
        &self,
        layers: &BlockLayers<B>,
        heads: &Heads<B>,
        mixed_gradient: Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        let of_values = |visibility, mixed_gradient| {
            let AttentionGradient { query, key, value } =
                attention_gradient(heads, visibility, mixed_gradient);
            linear_gradient(&layers.values(), query + key + value)
        };
        match self.attention {
            AttentionKind::QueryKey => {
                let AttentionGradient { query, key, value } =
                    attention_gradient(heads, self.visibility, mixed_gradient);
                linear_gradient(&layers.qkv, Tensor::cat(vec![query, key, value], 2))
            }
            AttentionKind::ValueValue => of_values(self.visibility, mixed_gradient),
            AttentionKind::ValueValueAcrossBatch => {
                of_values(Visibility::All, mixed_gradient.swap_dims(0, 1)).swap_dims(0, 1)
            }
        }
    }

    /// Gradient of the normalised tokens that enter the feed-forward.
    fn mlp_gradient(
        &self,
        layers: &BlockLayers<B>,
        middle: Tensor<B, 3>,
        gradient: Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        let hidden = project(&layers.mlp_in, self.norm_mlp.forward(middle));
        let activated = linear_gradient(&layers.mlp_out, gradient);
        let hidden_gradient = activation_gradient(self.activation, hidden, activated);
        linear_gradient(&layers.mlp_in, hidden_gradient)
    }
}

fn linear_gradient<B: Backend>(linear: &Linear<B>, gradient: Tensor<B, 3>) -> Tensor<B, 3> {
    let [batch, count, outputs] = gradient.dims();
    let weight = linear.weight.val();
    let [inputs, _] = weight.dims();
    let flat = gradient.reshape([batch * count, outputs]).matmul(weight.transpose());
    flat.reshape([batch, count, inputs])
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
            let density = x.clone().square().mul_scalar(-0.5).exp().mul_scalar(NORMAL_PEAK);
            gradient * (normal_share(x.clone()) + x * density)
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

#[cfg(test)]
#[path = "gradient_tests.rs"]
mod tests;
