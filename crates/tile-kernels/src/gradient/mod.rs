//! The gradient of a block's input, by the same kernels. Weights never learn, so only the input's is
//! wanted: the block is computed once more from its input and walked backwards.

mod attention;
mod mlp;

use std::marker::PhantomData;

use crate::attention::{Softmax, Visibility, attend};
use crate::block::Packed;
use crate::format::Format;
use crate::heads::{HeadTiles, ToHeads};
use crate::isa::Isa;
use crate::linear::{AddTo, WriteTo};
use crate::norm::rows_to_tiles;
use crate::pool::{Grown, Pool};
use crate::rows::Tokens;
use crate::tiles::RegisterTile;

use attention::{AttentionGradient, MixedGradient};

/// What lies between the steps of a gradient.
#[derive(Default)]
struct GradientSpace {
    normed: Grown<RegisterTile>,
    heads: [Grown<RegisterTile>; 3],
    turned_heads: [Grown<RegisterTile>; 3],
    mixed: Grown<RegisterTile>,
    softmax: Grown<Softmax>,
    /// The stream between attention and feed-forward.
    middle: Grown<f32>,
    /// The gradient of rows that a norm made.
    normed_gradient: Grown<f32>,
    /// A gradient as a left operand.
    gradient: Grown<RegisterTile>,
    hidden_gradient: Grown<RegisterTile>,
    mixed_gradient: [Grown<RegisterTile>; 2],
    along: Grown<[[f32; 16]; 2]>,
    heads_gradient: Grown<RegisterTile>,
}

/// Workspaces that no gradient uses at the moment.
static IDLE: Pool<GradientSpace> = Pool::new();

fn heads_of<'a>(space: &'a mut [Grown<RegisterTile>; 3], count: usize) -> HeadTiles<'a> {
    let [queries, keys, values] = space;
    HeadTiles {
        queries: queries.first(count),
        keys: keys.first(count),
        values: values.first(count),
    }
}

impl<F: Format> Packed<F> {
    /// The output's gradient becomes the input's.
    pub(crate) fn input_gradient(
        &self,
        isa: Isa,
        input: &[f32],
        gradient: &mut [f32],
        tokens: Tokens,
        visibility: Visibility,
    ) {
        let mut lent = IDLE.lend();
        let space = &mut *lent;
        let (width, sizes) = (self.norm_attention.width(), self.heads.sizes);
        let strips = 2 * tokens.groups() * F::TILES;
        let (blocks, count) = (self.norm_attention.blocks(), sizes.tiles::<F>(tokens));

        // Forwards, up to the feed-forward.
        let normed = space.normed.first(strips * blocks);
        self.norm_attention.to_tiles::<F>(isa, input, tokens, normed);
        let mut heads = heads_of(&mut space.heads, count);
        let mut turned = heads_of(&mut space.turned_heads, count);
        let scale = self.heads.score_scale();
        let to_heads = ToHeads::<F>::new(heads.reborrowed(), scale, sizes, tokens);
        let to_heads = to_heads.with_turned(turned.reborrowed());
        self.qkv.apply(isa, normed, tokens, &to_heads);
        let mixed = space.mixed.first(strips * sizes.all_blocks());
        let softmax = space.softmax.first(sizes.heads * tokens.groups());
        attend::<F>(isa, &heads, sizes, tokens, visibility, mixed, Some(&mut *softmax));
        let middle = space.middle.first(input.len());
        middle.copy_from_slice(input);
        self.attention_out.apply(isa, mixed, tokens, &AddTo::new(middle, width, tokens));

        // Backwards through the feed-forward.
        self.norm_mlp.to_tiles::<F>(isa, middle, tokens, normed);
        let output_gradient = space.gradient.first(strips * blocks);
        rows_to_tiles::<F>(isa, gradient, width, tokens, output_gradient);
        let hidden_gradient = space.hidden_gradient.first(strips * self.mlp_in.panels());
        self.hidden_gradient(isa, normed, output_gradient, tokens, hidden_gradient);
        let normed_gradient = space.normed_gradient.first(input.len());
        let rows = WriteTo::new(normed_gradient, width, tokens);
        self.mlp_in.apply_turned(isa, hidden_gradient, tokens, &rows);
        self.norm_mlp.add_input_gradient(isa, middle, normed_gradient, gradient);

        // Backwards through attention.
        rows_to_tiles::<F>(isa, gradient, width, tokens, output_gradient);
        let [across, along_queries] = &mut space.mixed_gradient;
        let (across, along_queries) = (across.first(count), along_queries.first(count));
        let along = space.along.first(sizes.all_blocks() * tokens.groups());
        let to_mixed = MixedGradient::<F>::new(mixed, across, along_queries, along, sizes, tokens);
        self.attention_out.apply_turned(isa, output_gradient, tokens, &to_mixed);
        let heads_gradient = space.heads_gradient.first(3 * strips * sizes.all_blocks());
        AttentionGradient::<F> {
            heads: &heads,
            turned: &turned,
            mixed_gradient: across,
            turned_mixed_gradient: along_queries,
            softmax,
            along,
            scale,
            sizes,
            tokens,
            visibility,
            format: PhantomData,
        }
        .to_tiles(isa, heads_gradient);
        let rows = WriteTo::new(normed_gradient, width, tokens);
        self.qkv.apply_turned(isa, heads_gradient, tokens, &rows);
        self.norm_attention.add_input_gradient(isa, input, normed_gradient, gradient);
    }
}
