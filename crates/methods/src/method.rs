//! What a method says of itself, and how it becomes a detector: the one trait that eval, predict and the
//! benchmark know every method here by.

use std::collections::BTreeMap;

use anomaly::{Detector, Domain, ScoreRule};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{ClipSpec, Normalisation, Precision, PromptError, WeightError, WeightSource};
use moeclip_data::DataError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::training::TrainingVisitor;
use crate::{AuthorsTensor, Reference};

/// A method that detects anomalies with a CLIP.
pub trait ClipMethod: Reference {
    /// As tables call it.
    const NAME: &'static str;
    /// What it is, for help.
    const ABOUT: &'static str;
    /// Whether it has weights of its own, which are trained on an auxiliary set.
    const IS_TRAINED: bool;
    /// Whether it can be shown normal images of each class beforehand.
    const TAKES_REFERENCES: bool = false;

    /// Its settings; by default those that the published numbers were made with.
    type Settings: Clone + Default + PartialEq + Serialize + DeserializeOwned;

    /// Refuses settings that no CLIP of these sizes can have.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] names the first.
    fn check(settings: &Self::Settings, clip: &ClipSpec) -> Result<(), MethodError>;

    /// Side of the images that it looks at, in pixels.
    fn image_size(settings: &Self::Settings) -> usize;

    /// How it scores images of a domain when it is shown so many references of each class; what its detector
    /// answers by.
    fn score_rule(_settings: &Self::Settings, _domain: Domain, _references: usize) -> ScoreRule {
        ScoreRule::Image
    }

    /// What a tensor of the authors' published checkpoint is, by its name there. A method that has no weights of
    /// its own has no such checkpoint.
    fn authors_tensor(_name: &str) -> AuthorsTensor {
        AuthorsTensor::Foreign
    }

    /// Hands the method to whoever trains methods; one without weights of its own hands over nothing.
    fn for_training<V: TrainingVisitor>(_visitor: V) -> Option<V::Output> {
        None
    }

    /// The detector on a device.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings, weights and CLIP do not fit, or weights are missing.
    fn detector<B: Backend>(
        settings: &Self::Settings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Box<dyn Detector<B>>, MethodError>;
}

/// What a detector is made of besides its settings.
pub struct DetectorParts<'a, B: Backend> {
    /// Sizes of the CLIP.
    pub clip: &'a ClipSpec,
    /// Its weights.
    pub weights: &'a dyn WeightSource,
    /// How its images are normalised.
    pub normalisation: Normalisation,
    /// The method's own weights by the names of its checkpoint, where it has any.
    pub learned: Option<&'a dyn WeightSource>,
    /// The classes of the images that will be shown, as they stand in sentences.
    pub classes: &'a [String],
    /// What kind of pictures will be shown.
    pub domain: Domain,
    /// Normal images of each class, `[references, 3, size, size]`, normalised; empty for zero-shot.
    pub references: &'a BTreeMap<String, Tensor<B, 4>>,
    /// Precision of the frozen part.
    pub precision: Precision,
    /// Where it is computed.
    pub device: &'a B::Device,
}

impl<B: Backend> DetectorParts<'_, B> {
    /// The method's own weights.
    ///
    /// # Errors
    ///
    /// [`MethodError::NoWeights`] when there are none.
    pub fn learned(&self) -> Result<&dyn WeightSource, MethodError> {
        self.learned.ok_or(MethodError::NoWeights)
    }
}

/// A method that cannot be made into a detector, or cannot be trained.
#[derive(Debug, Error)]
pub enum MethodError {
    /// A setting that cannot be used.
    #[error("{key}: {reason}")]
    Settings {
        /// The setting.
        key: &'static str,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A trained method without its weights.
    #[error("its trained weights are missing; give --adapter FILE")]
    NoWeights,
    /// A weight is missing or unusable.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A sentence does not fit the text tower.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// A picture that cannot be prepared.
    #[error(transparent)]
    Data(#[from] DataError),
}
