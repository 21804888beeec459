//! The text tower: token and position embeddings, causal blocks, features at the end-of-text token.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use thiserror::Error;

use crate::attention::Visibility;
use crate::block::{BlockSpec, ResidualBlock};
use crate::loader::{Loader, frozen};
use crate::{ClipSpec, Precision, TextSpec, WeightError, WeightSource};

/// Token ids that this tower cannot read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "a prompt is not {context} token ids under {vocab}; encode it with this tower's own tokenizer \
     and at least one prompt"
)]
pub struct PromptError {
    context: usize,
    vocab: usize,
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
        let loader = Loader { source, precision, device };
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

    /// The sizes of the tower.
    pub fn spec(&self) -> &TextSpec {
        &self.spec
    }

    /// The token table, `[vocab, width]`: for whoever trains it and keeps some of its rows as they are.
    pub fn token_embedding(&self) -> &Param<Tensor<B, 2>> {
        &self.token_embedding
    }

    /// End-of-text features of prompts, before any projection. The end-of-text token is the one
    /// with the largest id, the first of them if several share it.
    ///
    /// # Shapes
    ///
    /// - prompts: one row of `context` token ids each
    /// - output: `[prompts, width]`
    ///
    /// # Errors
    ///
    /// [`PromptError`] when a row is not `context` ids of this tower's table.
    pub fn encode(&self, prompts: &[Vec<i64>]) -> Result<Tensor<B, 2>, PromptError> {
        let ends = self.check(prompts)?;
        let mut tokens = self.embed(prompts);
        for block in &self.blocks {
            tokens = block.forward(tokens);
        }
        let [count, context, width] = tokens.dims();
        let rows: Vec<i64> =
            ends.iter().enumerate().map(|(row, end)| (row * context + end) as i64).collect();
        let rows = Tensor::from_data(TensorData::new(rows, [count]), &tokens.device());
        let features = tokens.reshape([count * context, width]).select(0, rows);
        Ok(self.final_norm.forward(features))
    }

    /// CLIP's own joint embedding of features from [`encode`](Self::encode); not made unit.
    ///
    /// # Shapes
    ///
    /// - features: `[prompts, width]`, of any floating type
    /// - output: `[prompts, embed]`
    pub fn project(&self, features: Tensor<B, 2>) -> Tensor<B, 2> {
        let projection = self.projection.val();
        features.cast(projection.dtype()).matmul(projection)
    }

    fn embed(&self, prompts: &[Vec<i64>]) -> Tensor<B, 3> {
        let TextSpec { context, width, .. } = self.spec;
        let table = self.token_embedding.val();
        let ids = TensorData::new(prompts.concat(), [prompts.len() * context]);
        let ids = Tensor::<B, 1, Int>::from_data(ids, &table.device());
        let tokens = table.select(0, ids).reshape([prompts.len(), context, width]);
        tokens + self.positions.val().unsqueeze()
    }

    /// Position of each row's end-of-text token.
    fn check(&self, prompts: &[Vec<i64>]) -> Result<Vec<usize>, PromptError> {
        let TextSpec { context, vocab, .. } = self.spec;
        let fits = |row: &[i64]| {
            row.len() == context && row.iter().all(|&id| (0..vocab as i64).contains(&id))
        };
        if prompts.is_empty() || !prompts.iter().all(|row| fits(row)) {
            return Err(PromptError { context, vocab });
        }
        Ok(prompts.iter().map(|row| first_largest(row)).collect())
    }
}

fn first_largest(row: &[i64]) -> usize {
    let mut best = 0;
    for (position, id) in row.iter().enumerate() {
        if *id > row[best] {
            best = position;
        }
    }
    best
}
