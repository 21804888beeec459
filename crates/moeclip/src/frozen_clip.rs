//! What MoECLIP takes from a CLIP: its image tower, and of its text tower only the prompts' features.

use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{
    ClipSpec, Precision, PromptError, TextTower, VisionTower, WeightError, WeightSource,
};
use thiserror::Error;

use crate::{ClassPrompts, PromptBook, PromptCache, PromptEncoder, PromptSet};

/// The frozen part of the model. The text tower is let go once every class is encoded.
#[derive(Debug, Clone)]
pub struct FrozenClip<B: Backend, V = VisionTower<B>> {
    /// The image tower.
    pub tower: V,
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
        let loading = Loading { clip, source, precision, device };
        loading.frozen(prompts, classes, loading.encoder())
    }

    /// As [`FrozenClip::load`], but for prompts that `cache` knows: where it knows all of them, the
    /// text tower is not loaded. The features are the same to the bit.
    ///
    /// # Errors
    ///
    /// As [`FrozenClip::load`]; what is wrong with the cache is for
    /// [`PromptCache::take_trouble`].
    pub fn load_cached<'c>(
        clip: &ClipSpec,
        source: &dyn WeightSource,
        prompts: &PromptSet,
        classes: impl IntoIterator<Item = &'c str>,
        precision: Precision,
        device: &B::Device,
        cache: &mut PromptCache,
    ) -> Result<Self, FrozenClipError> {
        let loading = Loading { clip, source, precision, device };
        let mut encode = loading.encoder();
        loading.frozen(prompts, classes, move |prompts| {
            let entry = cache.entry(clip, precision, prompts);
            if let Some(features) = cache.get(&entry) {
                return Ok(Tensor::from_data(features, (device, DType::F32)));
            }
            let features = encode(prompts)?;
            cache.put(&entry, &features.to_data());
            Ok(features)
        })
    }
}

/// Where the towers come from, and where they go.
struct Loading<'a, B: Backend> {
    clip: &'a ClipSpec,
    source: &'a dyn WeightSource,
    precision: Precision,
    device: &'a B::Device,
}

impl<'a, B: Backend> Loading<'a, B> {
    fn frozen<'c>(
        &self,
        prompts: &PromptSet,
        classes: impl IntoIterator<Item = &'c str>,
        mut features: impl FnMut(&[String]) -> Result<Tensor<B, 2>, FrozenClipError>,
    ) -> Result<FrozenClip<B>, FrozenClipError> {
        let mut book = PromptBook::empty();
        for class in classes {
            let normal = features(&prompts.normal_prompts(class))?;
            let abnormal = features(&prompts.abnormal_prompts(class))?;
            book.insert(class, ClassPrompts { normal, abnormal });
        }
        // The text tower goes before the image tower comes.
        drop(features);
        let Self { clip, source, precision, device } = *self;
        let tower = VisionTower::load(clip, source, precision, device)?;
        Ok(FrozenClip { tower, book })
    }

    /// Encodes with a text tower that is loaded when the first prompts come.
    fn encoder(
        &self,
    ) -> impl FnMut(&[String]) -> Result<Tensor<B, 2>, FrozenClipError> + use<'a, B> {
        let Self { clip, source, precision, device } = *self;
        let mut encoder: Option<PromptEncoder<B>> = None;
        move |prompts| {
            let encoder = match &mut encoder {
                Some(encoder) => encoder,
                None => encoder
                    .insert(PromptEncoder::new(TextTower::load(clip, source, precision, device)?)),
            };
            Ok(encoder.encode(prompts)?)
        }
    }
}
