//! The contract itself: what a detector is asked and what it answers.

use burn::tensor::{DType, Tensor, backend::Backend};
use thiserror::Error;

use crate::{Detection, ScoreRule};

/// The images that a detector takes: square, of one size, each channel less its mean and divided by its
/// deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageInput {
    /// Pixels a side.
    pub size: usize,
    /// Mean of each channel, as a share of white.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, as a share of white.
    pub std: [f32; 3],
}

impl ImageInput {
    /// Images whose channels stay between 0 and 1.
    pub fn unnormalised(size: usize) -> Self {
        Self { size, mean: [0.0; 3], std: [1.0; 3] }
    }
}

/// Anything that turns images and a class's name into detections.
pub trait Detector<B: Backend>: Send {
    /// The images that it takes.
    fn input(&self) -> ImageInput;

    /// How the score of an image is made of its map and its image score.
    fn score_rule(&self) -> ScoreRule;

    /// Detections of images of one class.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, size, size]`, normalised as [`input`](Self::input) says
    ///
    /// # Errors
    ///
    /// [`DetectError`] when the class is unknown, the images have another size, or the device fails.
    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError>;
}

/// A detection that could not be made.
#[derive(Debug, Error)]
pub enum DetectError {
    /// A class whose prompts were not encoded.
    #[error("class {class:?} has no prompts here; known are {known}")]
    Class {
        /// The class asked for.
        class: String,
        /// The classes in the book.
        known: String,
    },
    /// Images of another size.
    #[error("images are {width}x{height}, this detector takes {size}x{size}; resize them first")]
    Size {
        /// Columns of the images.
        width: usize,
        /// Rows of the images.
        height: usize,
        /// What the detector takes.
        size: usize,
    },
    /// The device did not give its numbers back.
    #[error("the device gave no result: {reason}")]
    Device {
        /// What it says.
        reason: String,
    },
    /// Not a number.
    #[error("the map holds NaN or infinite values; check weights and precision")]
    NonFinite,
}

/// The values of a tensor as f32 on the host.
///
/// # Errors
///
/// [`DetectError::Device`] when the device gives nothing back, [`DetectError::NonFinite`] when a value is
/// not finite.
pub fn to_host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>, DetectError> {
    let device = |reason: String| DetectError::Device { reason };
    let data = tensor.cast(DType::F32).try_into_data().map_err(|e| device(e.to_string()))?;
    let values = data.into_vec::<f32>().map_err(|e| device(format!("{e:?}")))?;
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(DetectError::NonFinite)
}
