//! The residual attention block that both towers are stacks of.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::{gelu, sigmoid};
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Tensor, backend::Backend};

use crate::loader::Loader;
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
}

/// Which tokens a token may attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// All of them, as among patches.
    All,
    /// Itself and those before it, as in text.
    Causal,
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
        })
    }

    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    pub fn forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let tokens = tokens.clone() + self.attend(self.norm_attention.forward(tokens));
        tokens.clone() + self.feed_forward(self.norm_mlp.forward(tokens))
    }

    fn attend(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let heads = self.project_heads(tokens);
        let mixed = attention(heads.query, heads.key, heads.value, None, None, self.options());
        self.attention_out.forward(merge_heads(mixed))
    }

    fn feed_forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let hidden = self.mlp_in.forward(tokens);
        self.mlp_out.forward(activate(self.activation, hidden))
    }

    /// Query, key and value of normalised tokens, each `[batch, heads, tokens, width / heads]`.
    pub(crate) fn project_heads(&self, tokens: Tensor<B, 3>) -> Heads<B> {
        let [_, _, width] = tokens.dims();
        let qkv = self.qkv.forward(tokens);
        let part = |index: usize| {
            split_heads(qkv.clone().narrow(2, index * width, width), self.heads)
        };
        Heads { query: part(0), key: part(1), value: part(2) }
    }

    pub(crate) fn options(&self) -> AttentionModuleOptions {
        let is_causal = self.visibility == Visibility::Causal;
        AttentionModuleOptions { is_causal, ..Default::default() }
    }
}

/// Query, key and value, split into heads.
pub(crate) struct Heads<B: Backend> {
    pub(crate) query: Tensor<B, 4>,
    pub(crate) key: Tensor<B, 4>,
    pub(crate) value: Tensor<B, 4>,
}

pub(crate) fn activate<B: Backend>(activation: Activation, x: Tensor<B, 3>) -> Tensor<B, 3> {
    match activation {
        Activation::QuickGelu => x.clone() * sigmoid(x.mul_scalar(QUICK_GELU_SLOPE)),
        Activation::Gelu => gelu(x),
    }
}

/// `[batch, tokens, width]` to `[batch, heads, tokens, width / heads]`.
pub(crate) fn split_heads<B: Backend>(tokens: Tensor<B, 3>, heads: usize) -> Tensor<B, 4> {
    let [batch, count, width] = tokens.dims();
    tokens.reshape([batch, count, heads, width / heads]).swap_dims(1, 2)
}

/// `[batch, heads, tokens, channels]` to `[batch, tokens, heads * channels]`.
pub(crate) fn merge_heads<B: Backend>(heads: Tensor<B, 4>) -> Tensor<B, 3> {
    let [batch, count, tokens, channels] = heads.dims();
    heads.swap_dims(1, 2).reshape([batch, tokens, count * channels])
}
