//! What MoECLIP takes from a CLIP: its image tower, and of its text tower only the prompts' features.

use burn::tensor::backend::Backend;
use clip_vit::{
    ClipSpec, Precision, PromptError, TextTower, VisionTower, WeightError, WeightSource,
};
use thiserror::Error;

use crate::{PromptBook, PromptEncoder, PromptSet};

/// The frozen part of the model. The text tower is let go once every class is encoded.
#[derive(Debug, Clone)]
pub struct FrozenClip<B: Backend> {
    /// The image tower.
    pub tower: VisionTower<B>,
    /// Prompt features of the classes at hand.
    pub book: PromptBook<B>,
}

/// A CLIP that cannot serve.
#[derive(Debug, Error)]
pub enum FrozenClipError {
    /// A weight is missing or unusable.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The prompts do not fit the text tower.
    #[error(transparent)]
    Prompts(#[from] PromptError),
}

impl<B: Backend> FrozenClip<B> {
    /// Encodes the classes' prompts, then loads the image tower; both towers are never in memory
    /// together.
    ///
    /// # Errors
    ///
    /// [`FrozenClipError`] when a weight is unusable or the text tower has another token table.
    pub fn load<'c>(
        clip: &ClipSpec,
        source: &dyn WeightSource,
        prompts: &PromptSet,
        classes: impl IntoIterator<Item = &'c str>,
        precision: Precision,
        device: &B::Device,
    ) -> Result<Self, FrozenClipError> {
        let text = TextTower::load(clip, source, precision, device)?;
        let book = PromptEncoder::new(text, prompts.clone()).into_book(classes)?;
        let tower = VisionTower::load(clip, source, precision, device)?;
        Ok(Self { tower, book })
    }
}
