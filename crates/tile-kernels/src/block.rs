//! A residual attention block as one operation: the stream goes in and comes out as rows of f32, what
//! lies between stays in tiles.

use std::f32::consts::LOG2_E;
use std::fmt;

use crate::activation::{Activated, Activation};
use crate::attention::{MOST_BLOCKS, Visibility, attend};
use crate::format::{Bf16, F32, Format, SplitF32};
use crate::heads::{HeadSizes, HeadTiles, ToHeads};
use crate::isa::Isa;
use crate::linear::{AddTo, Linear};
use crate::norm::Norm;
use crate::pool::{Grown, Pool};
use crate::rows::Tokens;
use crate::tiles::{RegisterTile, SIDE};

/// How exactly products are taken; sums, norms and the stream are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// f32.
    F32,
    /// Factors rounded to bf16.
    Bf16,
}

/// Weights of a linear layer: `weight(input, output)`, and a bias.
pub struct LinearWeights<'a> {
    /// A weight by input and output.
    pub weight: &'a (dyn Fn(usize, usize) -> f32 + Sync),
    /// As many as outputs.
    pub bias: &'a [f32],
}

/// Scale and shift of a layer normalisation.
pub struct NormWeights<'a> {
    /// Scale.
    pub gamma: &'a [f32],
    /// Shift.
    pub beta: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// Everything a block is made of.
pub struct BlockWeights<'a> {
    /// Before attention.
    pub norm_attention: NormWeights<'a>,
    /// Queries, keys and values side by side: width inputs, three times as many outputs.
    pub qkv: LinearWeights<'a>,
    /// Behind attention.
    pub attention_out: LinearWeights<'a>,
    /// Before the feed-forward.
    pub norm_mlp: NormWeights<'a>,
    /// Into the hidden layer.
    pub mlp_in: LinearWeights<'a>,
    /// Out of it.
    pub mlp_out: LinearWeights<'a>,
    /// Attention heads, which divide the width.
    pub heads: usize,
    /// What bends the hidden layer.
    pub activation: Activation,
}

/// A block whose weights are packed for this machine.
pub struct PackedBlock {
    isa: Isa,
    width: usize,
    layers: Layers,
}

enum Layers {
    F32(Packed<F32>),
    Split(Packed<SplitF32>),
    Bf16(Packed<Bf16>),
}

/// Layers in one format.
pub(crate) struct Packed<F> {
    pub(crate) norm_attention: Norm,
    pub(crate) qkv: Linear<F>,
    pub(crate) attention_out: Linear<F>,
    pub(crate) norm_mlp: Norm,
    pub(crate) mlp_in: Linear<F>,
    pub(crate) mlp_out: Linear<F>,
    pub(crate) heads: HeadLayout,
    pub(crate) hidden: usize,
    pub(crate) activation: Activation,
}

/// A linear layer as tensors hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseLayer {
    /// `[inputs, outputs]`
    pub weight: Vec<f32>,
    /// As many as outputs.
    pub bias: Vec<f32>,
}

/// The layers of a block as tensors hold them.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseLayers {
    /// Queries, keys and values side by side.
    pub qkv: DenseLayer,
    /// Behind attention.
    pub attention_out: DenseLayer,
    /// Into the hidden layer.
    pub mlp_in: DenseLayer,
    /// Out of it.
    pub mlp_out: DenseLayer,
}

impl PackedBlock {
    /// Packs weights for an instruction set that this machine has.
    ///
    /// # Panics
    ///
    /// If sizes do not fit one another.
    pub fn new(isa: Isa, precision: Precision, weights: &BlockWeights<'_>) -> Self {
        let layers = match (precision, isa) {
            (Precision::Bf16, _) => Layers::Bf16(Packed::new(weights)),
            (Precision::F32, Isa::Amx) => Layers::Split(Packed::new(weights)),
            (Precision::F32, _) => Layers::F32(Packed::new(weights)),
        };
        Self { isa, width: weights.norm_attention.gamma.len(), layers }
    }

    /// The gradient of the block's input, from that of its output.
    ///
    /// # Shapes
    ///
    /// - input: `[batch, tokens, width]`
    /// - gradient: `[batch, tokens, width]`, the output's, which becomes the input's
    ///
    /// # Panics
    ///
    /// If one of them has another size.
    pub fn input_gradient(
        &self,
        input: &[f32],
        gradient: &mut [f32],
        tokens: Tokens,
        visibility: Visibility,
    ) {
        assert_eq!(input.len(), tokens.batch * tokens.count * self.width, "size of the input");
        assert_eq!(input.len(), gradient.len(), "size of the gradient");
        let isa = self.isa;
        if input.is_empty() {
            return;
        }
        match &self.layers {
            Layers::F32(packed) => packed.input_gradient(isa, input, gradient, tokens, visibility),
            Layers::Split(packed) => {
                packed.input_gradient(isa, input, gradient, tokens, visibility);
            }
            Layers::Bf16(packed) => packed.input_gradient(isa, input, gradient, tokens, visibility),
        }
    }

    /// Its layers unpacked: rounded to bf16 if they were packed so, else what they were packed from.
    pub fn dense_layers(&self) -> DenseLayers {
        match &self.layers {
            Layers::F32(packed) => packed.dense_layers(),
            Layers::Split(packed) => packed.dense_layers(),
            Layers::Bf16(packed) => packed.dense_layers(),
        }
    }

    /// Whether heads of this many channels can be packed.
    pub fn takes_channels(channels: usize) -> bool {
        channels.div_ceil(SIDE) <= MOST_BLOCKS
    }

    /// The block's stream.
    ///
    /// # Shapes
    ///
    /// - stream: `[batch, tokens, width]`, changed in place
    ///
    /// # Panics
    ///
    /// If the stream has another size.
    pub fn forward(&self, stream: &mut [f32], tokens: Tokens, visibility: Visibility) {
        assert_eq!(stream.len(), tokens.batch * tokens.count * self.width, "size of the stream");
        if stream.is_empty() {
            return;
        }
        match &self.layers {
            Layers::F32(packed) => packed.forward(self.isa, stream, tokens, visibility),
            Layers::Split(packed) => packed.forward(self.isa, stream, tokens, visibility),
            Layers::Bf16(packed) => packed.forward(self.isa, stream, tokens, visibility),
        }
    }
}

impl fmt::Debug for PackedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedBlock").field("isa", &self.isa).field("width", &self.width).finish()
    }
}

impl<F: Format> Packed<F> {
    fn new(weights: &BlockWeights<'_>) -> Self {
        let width = weights.norm_attention.gamma.len();
        let hidden = weights.mlp_in.bias.len();
        let heads = HeadLayout::new(width, weights.heads);
        let norm = |norm: &NormWeights<'_>| Norm::new(norm.gamma, norm.beta, norm.epsilon);
        Self {
            norm_attention: norm(&weights.norm_attention),
            qkv: pack_qkv(&weights.qkv, heads),
            attention_out: pack_attention_out(&weights.attention_out, heads),
            norm_mlp: norm(&weights.norm_mlp),
            mlp_in: pack(&weights.mlp_in, width, hidden),
            mlp_out: pack(&weights.mlp_out, hidden, width),
            heads,
            hidden,
            activation: weights.activation,
        }
    }

    fn dense_layers(&self) -> DenseLayers {
        let (width, heads) = (self.norm_attention.width(), self.heads);
        let hidden = self.hidden;
        DenseLayers {
            qkv: self
                .qkv
                .dense(width, 3 * width, |input, output| (input, heads.padded_qkv(output))),
            attention_out: self
                .attention_out
                .dense(width, width, |input, output| (heads.padded_channel(input), output)),
            mlp_in: self.mlp_in.dense(width, hidden, |input, output| (input, output)),
            mlp_out: self.mlp_out.dense(hidden, width, |input, output| (input, output)),
        }
    }

    fn forward(&self, isa: Isa, stream: &mut [f32], tokens: Tokens, visibility: Visibility) {
        let mut lent = IDLE.lend();
        let space = &mut *lent;
        let strips = 2 * tokens.groups() * F::TILES;
        let (width, sizes) = (self.norm_attention.width(), self.heads.sizes);

        let normed = space.normed.first(strips * self.norm_attention.blocks());
        self.norm_attention.to_tiles::<F>(isa, stream, tokens, normed);
        let count = sizes.tiles::<F>(tokens);
        let mut heads = HeadTiles {
            queries: space.queries.first(count),
            keys: space.keys.first(count),
            values: space.values.first(count),
        };
        let scale = self.heads.score_scale();
        let to_heads = ToHeads::<F>::new(heads.reborrowed(), scale, sizes, tokens);
        self.qkv.apply(isa, normed, tokens, &to_heads);
        let mixed = space.mixed.first(strips * sizes.all_blocks());
        attend::<F>(isa, &heads, sizes, tokens, visibility, mixed, None);
        self.attention_out.apply(isa, mixed, tokens, &AddTo::new(stream, width, tokens));

        self.norm_mlp.to_tiles::<F>(isa, stream, tokens, normed);
        let hidden = space.hidden.first(strips * self.mlp_in.panels());
        let activated = Activated::<F>::new(hidden, self.mlp_in.panels(), self.activation);
        self.mlp_in.apply(isa, normed, tokens, &activated);
        self.mlp_out.apply(isa, hidden, tokens, &AddTo::new(stream, width, tokens));
    }
}

/// Where the channels of padded heads come from.
#[derive(Clone, Copy)]
pub(crate) struct HeadLayout {
    /// Channels of a head without padding.
    channels: usize,
    pub(crate) sizes: HeadSizes,
}

impl HeadLayout {
    fn new(width: usize, heads: usize) -> Self {
        assert!(heads > 0 && width.is_multiple_of(heads), "{heads} heads divide {width}");
        let channels = width / heads;
        assert!(PackedBlock::takes_channels(channels), "heads of {channels} channels");
        Self { channels, sizes: HeadSizes { heads, channels: channels.next_multiple_of(SIDE) } }
    }

    /// Channels of all heads with padding.
    fn padded(self) -> usize {
        self.sizes.heads * self.sizes.channels
    }

    /// The channel without padding that stands at a padded place.
    fn channel(self, padded: usize) -> Option<usize> {
        let (head, channel) = (padded / self.sizes.channels, padded % self.sizes.channels);
        (channel < self.channels).then_some(head * self.channels + channel)
    }

    /// The place of a channel among padded heads.
    fn padded_channel(self, channel: usize) -> usize {
        channel / self.channels * self.sizes.channels + channel % self.channels
    }

    /// The query, key or value without padding that stands at a padded place.
    fn qkv(self, padded: usize) -> Option<usize> {
        let channel = self.channel(padded % self.padded())?;
        Some(padded / self.padded() * self.channels * self.sizes.heads + channel)
    }

    /// The place of a query, key or value among padded ones.
    fn padded_qkv(self, output: usize) -> usize {
        let width = self.channels * self.sizes.heads;
        output / width * self.padded() + self.padded_channel(output % width)
    }

    /// By which queries are multiplied: the softmax's scale, and what makes e's power one of two.
    pub(crate) fn score_scale(self) -> f32 {
        LOG2_E / (self.channels as f32).sqrt()
    }
}

fn pack_qkv<F: Format>(weights: &LinearWeights<'_>, heads: HeadLayout) -> Linear<F> {
    let width = weights.bias.len() / 3;
    let weight = |input: usize, output: usize| match heads.qkv(output) {
        Some(output) if input < width => (weights.weight)(input, output),
        _ => 0.0,
    };
    let bias = |output| heads.qkv(output).map_or(0.0, |output| weights.bias[output]);
    Linear::pack(width.next_multiple_of(SIDE), 3 * heads.padded(), weight, bias)
}

fn pack_attention_out<F: Format>(weights: &LinearWeights<'_>, heads: HeadLayout) -> Linear<F> {
    let outputs = weights.bias.len();
    let weight = |input: usize, output: usize| match heads.channel(input) {
        Some(input) if output < outputs => (weights.weight)(input, output),
        _ => 0.0,
    };
    let bias = |output: usize| weights.bias.get(output).copied().unwrap_or(0.0);
    Linear::pack(heads.padded(), outputs.next_multiple_of(SIDE), weight, bias)
}

fn pack<F: Format>(weights: &LinearWeights<'_>, inputs: usize, outputs: usize) -> Linear<F> {
    let weight = |input: usize, output: usize| {
        if input < inputs && output < outputs { (weights.weight)(input, output) } else { 0.0 }
    };
    let bias = |output: usize| weights.bias.get(output).copied().unwrap_or(0.0);
    let padded = usize::next_multiple_of;
    Linear::pack(padded(inputs, SIDE), padded(outputs, SIDE), weight, bias)
}

/// What lies between the layers of a block.
#[derive(Default)]
pub(crate) struct BlockSpace {
    pub(crate) normed: Grown<RegisterTile>,
    queries: Grown<RegisterTile>,
    keys: Grown<RegisterTile>,
    values: Grown<RegisterTile>,
    mixed: Grown<RegisterTile>,
    hidden: Grown<RegisterTile>,
}

/// Workspaces that no block uses at the moment.
static IDLE: Pool<BlockSpace> = Pool::new();
