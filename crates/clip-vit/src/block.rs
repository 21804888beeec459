//! The residual attention block that both towers are stacks of.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};

use crate::attention::{AttentionKind, Heads, Visibility, attention, split_heads};
use crate::loader::{Loader, frozen};
use crate::{Activation, WeightError};

/// QuickGELU's slope: `x * sigmoid(1.702 x)`.
pub(crate) const QUICK_GELU_SLOPE: f64 = 1.702;

/// Pre-norm attention and feed-forward, each added to the stream.
#[derive(Module, Debug)]
pub struct ResidualBlock<B: Backend> {
    pub(crate) norm_attention: LayerNorm<B>,
    /// Query, key and value side by side.
    pub(crate) qkv: Linear<B>,
    pub(crate) attention_out: Linear<B>,
    pub(crate) norm_mlp: LayerNorm<B>,
    pub(crate) mlp_in: Linear<B>,
    pub(crate) mlp_out: Linear<B>,
    pub(crate) heads: usize,
    #[module(skip)]
    pub(crate) activation: Activation,
    #[module(skip)]
    pub(crate) visibility: Visibility,
    #[module(skip)]
    pub(crate) attention: AttentionKind,
}

/// The sizes of one block, shared by both towers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockSpec {
    pub(crate) width: usize,
    pub(crate) mlp: usize,
    pub(crate) heads: usize,
    pub(crate) activation: Activation,
    pub(crate) visibility: Visibility,
}

impl<B: Backend> ResidualBlock<B> {
    pub(crate) fn load(
        loader: &Loader<'_, B>,
        prefix: &str,
        spec: BlockSpec,
    ) -> Result<Self, WeightError> {
        let BlockSpec { width, mlp, heads, activation, visibility } = spec;
        let name = |suffix: &str| format!("{prefix}.{suffix}");
        let linear = |layer: &str, inputs, outputs| {
            let (weight, bias) = (name(&format!("{layer}.weight")), name(&format!("{layer}.bias")));
            loader.linear(&weight, &bias, inputs, outputs)
        };
        Ok(Self {
            norm_attention: loader.layer_norm(&name("ln_1"), width)?,
            qkv: loader.linear(
                &name("attn.in_proj_weight"),
                &name("attn.in_proj_bias"),
                width,
                3 * width,
            )?,
            attention_out: linear("attn.out_proj", width, width)?,
            norm_mlp: loader.layer_norm(&name("ln_2"), width)?,
            mlp_in: linear("mlp.c_fc", width, mlp)?,
            mlp_out: linear("mlp.c_proj", mlp, width)?,
            heads,
            activation,
            visibility,
            attention: AttentionKind::QueryKey,
        })
    }

    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    pub fn forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let tokens = tokens.clone() + self.attention_update(tokens, self.attention);
        tokens.clone() + self.feed_forward(self.norm_mlp.forward(tokens))
    }

    /// What attention of a kind adds to the stream, whatever the block's own kind.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    pub(crate) fn attention_update(
        &self,
        tokens: Tensor<B, 3>,
        kind: AttentionKind,
    ) -> Tensor<B, 3> {
        let dtype = tokens.dtype();
        let heads = self.heads(self.norm_attention.forward(tokens), kind);
        project(&self.attention_out, self.mix(&heads, kind).cast(dtype))
    }

    fn feed_forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let hidden = project(&self.mlp_in, tokens);
        project(&self.mlp_out, activate(self.activation, hidden))
    }

    /// Query, key and value of normalised tokens, as a kind of attention takes them.
    pub(crate) fn heads(&self, tokens: Tensor<B, 3>, kind: AttentionKind) -> Heads<B> {
        let values = |tokens| Heads::of_values(project(&self.values(), tokens), self.heads);
        match kind {
            AttentionKind::QueryKey => self.queries_keys_values(tokens),
            AttentionKind::ValueValue => values(tokens),
            AttentionKind::ValueValueAcrossBatch => values(tokens.swap_dims(0, 1)),
        }
    }

    /// What attention makes of the heads, `[batch, tokens, width]`.
    pub(crate) fn mix(&self, heads: &Heads<B>, kind: AttentionKind) -> Tensor<B, 3> {
        match kind {
            AttentionKind::QueryKey | AttentionKind::ValueValue => {
                attention(heads, self.visibility)
            }
            AttentionKind::ValueValueAcrossBatch => {
                attention(heads, Visibility::All).swap_dims(0, 1)
            }
        }
    }

    /// The linear layer that makes values alone.
    pub(crate) fn values(&self) -> Linear<B> {
        let weight = self.qkv.weight.val();
        let [width, _] = weight.dims();
        let bias = |bias: &Param<Tensor<B, 1>>| frozen(bias.val().narrow(0, 2 * width, width));
        Linear {
            weight: frozen(weight.narrow(1, 2 * width, width)),
            bias: self.qkv.bias.as_ref().map(bias),
        }
    }

    fn queries_keys_values(&self, tokens: Tensor<B, 3>) -> Heads<B> {
        let [_, _, width] = tokens.dims();
        let qkv = project(&self.qkv, tokens);
        let part =
            |index: usize| split_heads(qkv.clone().narrow(2, index * width, width), self.heads);
        Heads { query: part(0), key: part(1), value: part(2) }
    }
}

/// A linear layer on flattened tokens: two axes leave the weight as it lies in memory, while the
/// layer's own forward would copy a turned weight at every call.
pub(crate) fn project<B: Backend>(linear: &Linear<B>, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
    let [batch, count, inputs] = tokens.dims();
    let weight = linear.weight.val();
    let [_, outputs] = weight.dims();
    let flat = tokens.reshape([batch * count, inputs]).matmul(weight);
    let flat = match &linear.bias {
        Some(bias) => flat + bias.val().unsqueeze(),
        None => flat,
    };
    flat.reshape([batch, count, outputs])
}

pub(crate) fn activate<B: Backend>(activation: Activation, x: Tensor<B, 3>) -> Tensor<B, 3> {
    match activation {
        Activation::QuickGelu => x.clone() * sigmoid(x.mul_scalar(QUICK_GELU_SLOPE)),
        Activation::Gelu => x.clone() * normal_share(x),
    }
}

/// The standard normal's distribution function, GELU's gate. Written with `erf`, since the slope of
/// Burn's own GELU is that of its tanh approximation on some backends.
pub(crate) fn normal_share<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 3> {
    x.mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5)
}
