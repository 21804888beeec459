//! The residual attention block that both towers are stacks of.

use std::borrow::Cow;
use std::f64::consts::FRAC_1_SQRT_2;
use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use tile_kernels::PackedBlock;

use crate::attention::{AttentionKind, Heads, Visibility, attention, split_heads};
use crate::loader::{Loader, frozen};
use crate::{Activation, WeightError, fast};

/// QuickGELU's slope: `x * sigmoid(1.702 x)`.
pub(crate) const QUICK_GELU_SLOPE: f64 = 1.702;

/// Pre-norm attention and feed-forward, each added to the stream.
#[derive(Module, Debug)]
pub struct ResidualBlock<B: Backend> {
    pub(crate) norm_attention: LayerNorm<B>,
    pub(crate) norm_mlp: LayerNorm<B>,
    /// Its layers as tensors, or none where they are packed.
    layers: Option<BlockLayers<B>>,
    /// The whole block, packed for this machine's kernels.
    #[module(skip)]
    packed: Option<Arc<PackedBlock>>,
    pub(crate) heads: usize,
    #[module(skip)]
    pub(crate) activation: Activation,
    #[module(skip)]
    pub(crate) visibility: Visibility,
    #[module(skip)]
    pub(crate) attention: AttentionKind,
}

/// The linear layers of a block.
#[derive(Module, Debug)]
pub(crate) struct BlockLayers<B: Backend> {
    /// Query, key and value side by side.
    pub(crate) qkv: Linear<B>,
    pub(crate) attention_out: Linear<B>,
    pub(crate) mlp_in: Linear<B>,
    pub(crate) mlp_out: Linear<B>,
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
        let BlockSpec { width, heads, activation, visibility, .. } = spec;
        let kernels = loader.kernels.filter(|_| PackedBlock::takes_channels(width / heads));
        let (layers, packed) = match kernels {
            Some(kernels) => (None, Some(kernels.pack(spec, &loader.host_block(prefix, spec)?))),
            None => (Some(BlockLayers::load(loader, prefix, spec)?), None),
        };
        Ok(Self {
            norm_attention: loader.layer_norm(&format!("{prefix}.ln_1"), width)?,
            norm_mlp: loader.layer_norm(&format!("{prefix}.ln_2"), width)?,
            layers,
            packed,
            heads,
            activation,
            visibility,
            attention: AttentionKind::QueryKey,
        })
    }

    /// Takes another kind of attention. Kernels know only that of queries and keys; for another the
    /// layers are unpacked, once.
    pub(crate) fn attend_by(&mut self, kind: AttentionKind) {
        self.attention = kind;
        if kind != AttentionKind::QueryKey && self.packed.is_some() {
            self.layers = Some(self.layers().into_owned());
            self.packed = None;
        }
    }

    /// The whole block as one operation, if it is packed. A tower that was put under autodiff as it is
    /// has left flex, and its blocks are tensors again.
    pub(crate) fn packed(&self) -> Option<&PackedBlock> {
        self.packed.as_deref().filter(|_| fast::is_flex::<B>())
    }

    /// Its layers as tensors: unpacked ones where they are packed, which costs as much as they weigh.
    pub(crate) fn layers(&self) -> Cow<'_, BlockLayers<B>> {
        match (&self.layers, &self.packed) {
            (Some(layers), _) => Cow::Borrowed(layers),
            (None, Some(packed)) => {
                Cow::Owned(BlockLayers::unpack(packed, &self.norm_mlp.gamma.val().device()))
            }
            (None, None) => unreachable!("a block has its layers in one form or the other"),
        }
    }

    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    pub fn forward(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        if let Some(packed) = self.packed() {
            return fast::forward(packed, tokens, self.visibility);
        }
        let layers = self.layers();
        let update = self.update(&layers, tokens.clone(), self.attention);
        let tokens = tokens + update;
        let hidden = project(&layers.mlp_in, self.norm_mlp.forward(tokens.clone()));
        tokens + project(&layers.mlp_out, activate(self.activation, hidden))
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
        self.update(&self.layers(), tokens, kind)
    }

    fn update(
        &self,
        layers: &BlockLayers<B>,
        tokens: Tensor<B, 3>,
        kind: AttentionKind,
    ) -> Tensor<B, 3> {
        let dtype = tokens.dtype();
        let heads = self.heads(layers, self.norm_attention.forward(tokens), kind);
        project(&layers.attention_out, self.mix(&heads, kind).cast(dtype))
    }

    /// Query, key and value of normalised tokens, as a kind of attention takes them.
    pub(crate) fn heads(
        &self,
        layers: &BlockLayers<B>,
        tokens: Tensor<B, 3>,
        kind: AttentionKind,
    ) -> Heads<B> {
        let values = |tokens| Heads::of_values(project(&layers.values(), tokens), self.heads);
        match kind {
            AttentionKind::QueryKey => layers.queries_keys_values(tokens, self.heads),
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
}

impl<B: Backend> BlockLayers<B> {
    fn load(loader: &Loader<'_, B>, prefix: &str, spec: BlockSpec) -> Result<Self, WeightError> {
        let linear = |layer: BlockLayer| {
            let LayerSize { inputs, outputs } = layer.size(spec);
            loader.linear(&layer.weight(prefix), &layer.bias(prefix), inputs, outputs)
        };
        Ok(Self {
            qkv: linear(BlockLayer::Qkv)?,
            attention_out: linear(BlockLayer::AttentionOut)?,
            mlp_in: linear(BlockLayer::MlpIn)?,
            mlp_out: linear(BlockLayer::MlpOut)?,
        })
    }

    fn unpack(packed: &PackedBlock, device: &B::Device) -> Self {
        let linear = |layer| {
            let (weight, bias) = fast::dense(layer, device);
            Linear { weight: frozen(weight), bias: Some(frozen(bias)) }
        };
        let layers = packed.dense_layers();
        Self {
            qkv: linear(layers.qkv),
            attention_out: linear(layers.attention_out),
            mlp_in: linear(layers.mlp_in),
            mlp_out: linear(layers.mlp_out),
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

    fn queries_keys_values(&self, tokens: Tensor<B, 3>, heads: usize) -> Heads<B> {
        let [_, _, width] = tokens.dims();
        let qkv = project(&self.qkv, tokens);
        let part = |index: usize| split_heads(qkv.clone().narrow(2, index * width, width), heads);
        Heads { query: part(0), key: part(1), value: part(2) }
    }
}

/// A linear layer of a block: its sizes, and its names in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BlockLayer {
    Qkv,
    AttentionOut,
    MlpIn,
    MlpOut,
}

/// Inputs and outputs of a linear layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerSize {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl BlockLayer {
    pub(crate) fn size(self, spec: BlockSpec) -> LayerSize {
        let BlockSpec { width, mlp, .. } = spec;
        let (inputs, outputs) = match self {
            Self::Qkv => (width, 3 * width),
            Self::AttentionOut => (width, width),
            Self::MlpIn => (width, mlp),
            Self::MlpOut => (mlp, width),
        };
        LayerSize { inputs, outputs }
    }

    /// The name of its matrix, below a block's prefix.
    pub(crate) fn weight(self, prefix: &str) -> String {
        match self {
            Self::Qkv => format!("{prefix}.attn.in_proj_weight"),
            layer => format!("{prefix}.{}.weight", layer.name()),
        }
    }

    /// The name of its bias, below a block's prefix.
    pub(crate) fn bias(self, prefix: &str) -> String {
        match self {
            Self::Qkv => format!("{prefix}.attn.in_proj_bias"),
            layer => format!("{prefix}.{}.bias", layer.name()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Qkv => "attn.in_proj",
            Self::AttentionOut => "attn.out_proj",
            Self::MlpIn => "mlp.c_fc",
            Self::MlpOut => "mlp.c_proj",
        }
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
