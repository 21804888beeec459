//! What models need of a pretrained tower: its sizes, its embedding, its layers one by one, and what
//! stands behind them. An image tower is a [`VisionBackbone`], a text tower a [`TextBackbone`].

use std::ops::Range;

use burn::nn::LayerNorm;
use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::{PromptError, TextSpec, VisionSpec};

/// An image tower whose tokens a model may read and change between its layers.
///
/// A sequence of tokens begins with [`prefix_tokens`](Self::prefix_tokens) that stand for no patch;
/// behind them come the patches, row by row. A model may put tokens of its own behind the patches.
pub trait VisionBackbone<B: Backend> {
    /// The sizes of the tower.
    fn spec(&self) -> &VisionSpec;

    /// How many tokens stand before the patches: CLIP's class token, or none (SigLIP), or a class
    /// token and four registers (DINOv2).
    fn prefix_tokens(&self) -> usize;

    /// Images to the tokens that enter the first layer.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, height, width]`, normalised; height and width may be any size that
    ///   holds a patch, and what does not fill one at the right and lower border is left out
    /// - output: `[batch, prefix + patches, width]`
    fn embed(&self, images: Tensor<B, 4>) -> Tensor<B, 3>;

    /// One transformer block, counted from 0.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    fn layer(&self, index: usize, tokens: Tensor<B, 3>) -> Tensor<B, 3>;

    /// The normalisation behind the last layer, which MoECLIP applies to every tap.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    fn post_norm(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3>;

    /// Some layers, one after the other.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output: `[batch, tokens, width]`
    fn layers(&self, range: Range<usize>, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        range.fold(tokens, |tokens, index| self.layer(index, tokens))
    }

    /// The layers up to the last tap. Behind each tap, `at_tap` is given the tap's place in the list
    /// and the tokens there, and answers with the tokens that enter the next layer.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`, as [`embed`](Self::embed) gives them
    /// - taps: numbers of layers, counted from 1, ascending
    /// - output: `[batch, tokens, width]`, what `at_tap` answered behind the last tap
    fn through_taps(
        &self,
        tokens: Tensor<B, 3>,
        taps: &[usize],
        at_tap: &mut dyn FnMut(usize, Tensor<B, 3>) -> Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        let mut tokens = tokens;
        let mut first = 0;
        for (place, &tap) in taps.iter().enumerate() {
            tokens = at_tap(place, self.layers(first..tap, tokens));
            first = tap;
        }
        tokens
    }

    /// The tokens behind each tap, left as they are.
    ///
    /// # Shapes
    ///
    /// - tokens, taps: as [`through_taps`](Self::through_taps) takes them
    /// - output: one `[batch, tokens, width]` for each tap
    fn tap_tokens(&self, tokens: Tensor<B, 3>, taps: &[usize]) -> Vec<Tensor<B, 3>> {
        let mut seen = Vec::with_capacity(taps.len());
        self.through_taps(tokens, taps, &mut |_, tokens| {
            seen.push(tokens.clone());
            tokens
        });
        seen
    }

    /// The tokens that stand for patches.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, prefix + patches, width]`
    /// - output: `[batch, patches, width]`
    fn patches(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let [_, count, _] = tokens.dims();
        let prefix = self.prefix_tokens();
        tokens.narrow(1, prefix, count - prefix)
    }
}

/// An image tower that was trained beside a text tower: both end in one embedding.
pub trait ImageTextBackbone<B: Backend>: VisionBackbone<B> {
    /// The image and its patches in the joint embedding; not made unit.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, prefix + patches, width]`, behind the last layer
    fn joint_embedding(&self, tokens: Tensor<B, 3>) -> JointEmbedding<B>;

    /// The image alone in the joint embedding; not made unit.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, prefix + any, width]`, behind the last layer
    /// - output: `[batch, embed]`
    fn image_embedding(&self, tokens: Tensor<B, 3>) -> Tensor<B, 2>;
}

/// An image and its patches in the embedding that images share with texts.
#[derive(Debug, Clone)]
pub struct JointEmbedding<B: Backend> {
    /// `[batch, embed]`
    pub image: Tensor<B, 2>,
    /// `[batch, patches, embed]`
    pub patches: Tensor<B, 3>,
}

/// A text tower whose tokens a model may learn, and change between its layers.
pub trait TextBackbone<B: Backend> {
    /// The sizes of the tower.
    fn spec(&self) -> &TextSpec;

    /// The rows of the token table for some prompts, without their positions.
    ///
    /// # Shapes
    ///
    /// - prompts: one row of `context` token ids each
    /// - output: `[prompts, context, width]`
    ///
    /// # Errors
    ///
    /// [`PromptError`] when a row is not `context` ids of this tower's table.
    fn look_up(&self, prompts: &[Vec<i64>]) -> Result<Tensor<B, 3>, PromptError>;

    /// What is added to a prompt's tokens for their places, `[context, width]`.
    fn positions(&self) -> Tensor<B, 2>;

    /// One transformer block, counted from 0. No token sees those behind it.
    ///
    /// # Shapes
    ///
    /// - tokens: `[prompts, tokens, width]`
    /// - output: `[prompts, tokens, width]`
    fn layer(&self, index: usize, tokens: Tensor<B, 3>) -> Tensor<B, 3>;

    /// The normalisation behind the last layer.
    fn final_norm(&self) -> LayerNorm<B>;

    /// CLIP's own text projection, `[width, embed]`.
    fn projection(&self) -> Tensor<B, 2>;

    /// Prompts to the tokens that enter the first layer.
    ///
    /// # Shapes
    ///
    /// - prompts: one row of `context` token ids each
    /// - output: `[prompts, context, width]`
    ///
    /// # Errors
    ///
    /// [`PromptError`] when a row is not `context` ids of this tower's table.
    fn embed(&self, prompts: &[Vec<i64>]) -> Result<Tensor<B, 3>, PromptError> {
        Ok(self.add_positions(self.look_up(prompts)?))
    }

    /// Adds the positions of the first places. Tokens may be fewer than `context`: what stands behind
    /// a prompt's end cannot change its features.
    ///
    /// # Shapes
    ///
    /// - tokens: `[prompts, tokens, width]`
    /// - output: `[prompts, tokens, width]`
    fn add_positions(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let [_, count, _] = tokens.dims();
        let positions = self.positions();
        let [context, _] = positions.dims();
        let positions = if count < context { positions.narrow(0, 0, count) } else { positions };
        tokens + positions.unsqueeze()
    }

    /// All layers, one after the other.
    ///
    /// # Shapes
    ///
    /// - tokens: `[prompts, tokens, width]`, as [`embed`](Self::embed) gives them
    /// - output: `[prompts, tokens, width]`
    fn layers(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        (0..self.spec().layers).fold(tokens, |tokens, index| self.layer(index, tokens))
    }

    /// The features of prompts: their end-of-text tokens, normalised, before any projection.
    ///
    /// # Shapes
    ///
    /// - tokens: `[prompts, tokens, width]`, behind the last layer
    /// - ends: the place of each prompt's end-of-text token
    /// - output: `[prompts, width]`
    fn finish(&self, tokens: Tensor<B, 3>, ends: &[usize]) -> Tensor<B, 2> {
        let [count, length, width] = tokens.dims();
        let rows: Vec<i64> =
            ends.iter().enumerate().map(|(row, end)| (row * length + end) as i64).collect();
        let rows = Tensor::from_data(TensorData::new(rows, [count]), &tokens.device());
        let features = tokens.reshape([count * length, width]).select(0, rows);
        self.final_norm().forward(features)
    }

    /// CLIP's own joint embedding of features from [`finish`](Self::finish); not made unit.
    ///
    /// # Shapes
    ///
    /// - features: `[prompts, width]`, of any floating type
    /// - output: `[prompts, embed]`
    fn project(&self, features: Tensor<B, 2>) -> Tensor<B, 2> {
        let projection = self.projection();
        features.cast(projection.dtype()).matmul(projection)
    }

    /// The features of prompts, from their ids.
    ///
    /// # Shapes
    ///
    /// - prompts: one row of `context` token ids each
    /// - output: `[prompts, width]`
    ///
    /// # Errors
    ///
    /// [`PromptError`] when a row is not `context` ids of this tower's table.
    fn encode(&self, prompts: &[Vec<i64>]) -> Result<Tensor<B, 2>, PromptError> {
        let tokens = self.layers(self.embed(prompts)?);
        Ok(self.finish(tokens, &end_of_text(prompts)))
    }
}

/// The place of each prompt's end-of-text token: the largest id, the first of them if several share
/// it.
pub fn end_of_text(prompts: &[Vec<i64>]) -> Vec<usize> {
    let end = |row: &Vec<i64>| {
        let largest = row.iter().max();
        largest.and_then(|largest| row.iter().position(|id| id == largest)).unwrap_or(0)
    };
    prompts.iter().map(end).collect()
}
