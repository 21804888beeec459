//! The text tower: token and position embeddings, causal blocks, features at the end-of-text token.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use thiserror::Error;

use crate::attention::Visibility;
use crate::block::{BlockSpec, ResidualBlock};
use crate::loader::{Loader, frozen};
use crate::tokenizer::{LongTextError, VOCABULARY};
use crate::{ClipSpec, FrozenLayers, Precision, TextBackbone, TextSpec, WeightError, WeightSource};

/// Prompts that a text tower cannot read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PromptError {
    /// Rows of ids of another length, or beyond the token table.
    #[error(
        "a prompt is not {context} token ids under {vocab}; encode it with this tower's own tokenizer \
         and at least one prompt"
    )]
    Ids {
        /// Ids of a row.
        context: usize,
        /// Entries of the token table.
        vocab: usize,
    },
    /// A prompt of which only a part would be read.
    #[error(transparent)]
    Long(#[from] LongTextError),
    /// A tower that was trained with another tokenizer.
    #[error(
        "the token table has {vocab} entries, and CLIP's vocabulary {VOCABULARY}: the text tower was \
         trained with another tokenizer; give a CLIP with CLIP's own"
    )]
    OtherVocabulary {
        /// Entries of the token table.
        vocab: usize,
    },
}

/// CLIP's text transformer.
#[derive(Module, Debug)]
pub struct TextTower<B: Backend> {
    /// `[vocab, width]`
    pub(crate) token_embedding: Param<Tensor<B, 2>>,
    /// `[context, width]`
    pub(crate) positions: Param<Tensor<B, 2>>,
    pub(crate) blocks: Vec<ResidualBlock<B>>,
    pub(crate) final_norm: LayerNorm<B>,
    /// `[width, embed]`, CLIP's own text projection.
    pub(crate) projection: Param<Tensor<B, 2>>,
    #[module(skip)]
    spec: TextSpec,
}

impl<B: Backend> TextTower<B> {
    /// Loads the tower, its weights held in `precision`.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when the source lacks a tensor or holds one of another shape.
    pub fn load(
        clip: &ClipSpec,
        source: &dyn WeightSource,
        precision: Precision,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let loader = Loader::new(source, precision, device)?;
        let spec = clip.text.clone();
        let TextSpec { context, vocab, width, layers, heads, mlp } = spec;
        let activation = clip.activation;
        let block = BlockSpec { width, mlp, heads, activation, visibility: Visibility::Causal };
        let blocks = (0..layers)
            .map(|i| ResidualBlock::load(&loader, &format!("transformer.resblocks.{i}"), block))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            token_embedding: frozen(loader.tensor("token_embedding.weight", [vocab, width])?),
            positions: frozen(loader.tensor("positional_embedding", [context, width])?),
            blocks,
            final_norm: loader.layer_norm("ln_final", width)?,
            projection: frozen(loader.tensor("text_projection", [width, clip.embed])?),
            spec,
        })
    }

    /// The token table, `[vocab, width]`: for whoever trains it and keeps some of its rows as they are.
    pub fn token_embedding(&self) -> &Param<Tensor<B, 2>> {
        &self.token_embedding
    }

    /// Refuses rows that are not `context` ids of the table.
    fn check(&self, prompts: &[Vec<i64>]) -> Result<(), PromptError> {
        let TextSpec { context, vocab, .. } = self.spec;
        let fits = |row: &[i64]| {
            row.len() == context && row.iter().all(|&id| (0..vocab as i64).contains(&id))
        };
        if prompts.is_empty() || !prompts.iter().all(|row| fits(row)) {
            return Err(PromptError::Ids { context, vocab });
        }
        Ok(())
    }
}

impl<B: Backend> TextBackbone<B> for TextTower<B> {
    fn spec(&self) -> &TextSpec {
        &self.spec
    }

    fn look_up(&self, prompts: &[Vec<i64>]) -> Result<Tensor<B, 3>, PromptError> {
        self.check(prompts)?;
        let TextSpec { context, width, .. } = self.spec;
        let table = self.token_embedding.val();
        let ids = TensorData::new(prompts.concat(), [prompts.len() * context]);
        let ids = Tensor::<B, 1, Int>::from_data(ids, &table.device());
        Ok(table.select(0, ids).reshape([prompts.len(), context, width]))
    }

    fn positions(&self) -> Tensor<B, 2> {
        self.positions.val()
    }

    fn layer(&self, index: usize, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        self.blocks[index].forward(tokens)
    }

    fn final_norm(&self) -> LayerNorm<B> {
        self.final_norm.clone()
    }

    fn projection(&self) -> Tensor<B, 2> {
        self.projection.val()
    }
}

impl<B: Backend> FrozenLayers<B> for TextTower<B> {
    type Layer = ResidualBlock<B>;

    fn frozen_layer(&self, index: usize) -> &ResidualBlock<B> {
        &self.blocks[index]
    }

    fn last_norm(&self) -> &LayerNorm<B> {
        &self.final_norm
    }
}
