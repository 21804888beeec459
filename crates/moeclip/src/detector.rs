//! From images and a class's name to maps and scores on the host.

use std::collections::HashMap;

use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{VisionBackbone, VisionTower};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Features, MapResampler, MoeClip, PromptBook, TextFeatures};

/// What kind of pictures are looked at; it decides blur and score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// Parts and surfaces.
    Industrial,
    /// Scans and endoscopy.
    Medical,
}

impl Domain {
    /// Side of the blur's window, in patches.
    pub fn blur_window(self) -> usize {
        match self {
            Domain::Industrial => 7,
            Domain::Medical => 9,
        }
    }

    /// Standard deviation of the blur, in patches.
    pub fn blur_sigma(self) -> f64 {
        match self {
            Domain::Industrial => 1.0,
            Domain::Medical => 1.5,
        }
    }

    /// The score of an image: industrial, the mean of the map's maximum and the image head;
    /// medical, the map's maximum.
    pub fn score(self, map_maximum: f32, image_score: f32) -> f32 {
        match self {
            Domain::Industrial => (map_maximum + image_score) / 2.0,
            Domain::Medical => map_maximum,
        }
    }
}

/// A square anomaly map on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyMap {
    /// Pixels a side.
    pub size: usize,
    /// Row by row; higher is more anomalous.
    pub values: Vec<f32>,
}

impl AnomalyMap {
    /// The highest value.
    pub fn maximum(&self) -> f32 {
        self.values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

/// What a detector says of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Where it is anomalous.
    pub map: AnomalyMap,
    /// The image head's opinion, in `[0, 1]`.
    pub image_score: f32,
    /// How anomalous the image is as a whole.
    pub score: f32,
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

/// Anything that turns images and a class's name into detections.
pub trait Detector<B: Backend> {
    /// Detections of images of one class.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, size, size]`, normalised
    ///
    /// # Errors
    ///
    /// [`DetectError`] when the class is unknown, the images have another size, or the device fails.
    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError>;
}

/// MoECLIP with its prompts at hand.
#[derive(Debug)]
pub struct MoeClipDetector<B: Backend, V = VisionTower<B>> {
    model: MoeClip<B, V>,
    resampler: MapResampler<B>,
    book: PromptBook<B>,
    domain: Domain,
    text: HashMap<String, TextFeatures<B>>,
}

impl<B: Backend, V: VisionBackbone<B>> MoeClipDetector<B, V> {
    /// A detector for the classes in the book.
    pub fn new(
        model: MoeClip<B, V>,
        book: PromptBook<B>,
        domain: Domain,
        device: &B::Device,
    ) -> Self {
        let config = model.config();
        let grid = config.grid(model.backbone().spec());
        let resampler = MapResampler::new(grid, config.image_size, device);
        Self { model, resampler, book, domain, text: HashMap::new() }
    }

    /// Projected text features of a class, computed once.
    fn text(&mut self, class: &str) -> Result<TextFeatures<B>, DetectError> {
        if let Some(text) = self.text.get(class) {
            return Ok(text.clone());
        }
        let Some(prompts) = self.book.get(class) else {
            let known: Vec<&str> = self.book.classes().collect();
            return Err(DetectError::Class { class: class.into(), known: known.join(", ") });
        };
        let text = self.model.adapters().text.forward(prompts);
        self.text.insert(class.into(), text.clone());
        Ok(text)
    }

    fn check(&self, images: &Tensor<B, 4>) -> Result<(), DetectError> {
        let [_, _, height, width] = images.dims();
        let size = self.model.config().image_size;
        if (height, width) == (size, size) {
            return Ok(());
        }
        Err(DetectError::Size { width, height, size })
    }
}

impl<B: Backend, V: VisionBackbone<B>> Detector<B> for MoeClipDetector<B, V> {
    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError> {
        self.check(&images)?;
        let text = self.text(class)?;
        let features = self.model.forward(images);
        detections(&features, &self.resampler, &text, self.domain)
    }
}

/// What the features of a batch say of each image.
pub(crate) fn detections<B: Backend>(
    features: &Features<B>,
    resampler: &MapResampler<B>,
    text: &TextFeatures<B>,
    domain: Domain,
) -> Result<Vec<Detection>, DetectError> {
    let maps = resampler.anomaly_map(&features.patches, text, domain);
    let scores = image_score(features.image.clone(), text);
    let [_, size, _] = maps.dims();
    let (maps, scores) = (to_host(maps)?, to_host(scores)?);
    let detection = |(values, &image_score): (&[f32], &f32)| {
        let map = AnomalyMap { size, values: values.to_vec() };
        let score = domain.score(map.maximum(), image_score);
        Detection { map, image_score, score }
    };
    Ok(maps.chunks_exact(size * size).zip(&scores).map(detection).collect())
}

/// `(cosine to the abnormal text + 1) / 2`, `[batch]`, in `[0, 1]`.
///
/// # Shapes
///
/// - image: `[batch, embed]`
/// - text: one row per image, or one for all
pub fn image_score<B: Backend>(image: Tensor<B, 2>, text: &TextFeatures<B>) -> Tensor<B, 1> {
    let cosine = (image * text.abnormal.clone()).sum_dim(1).squeeze_dim::<1>(1);
    cosine.add_scalar(1.0).div_scalar(2.0)
}

pub(crate) fn to_host<B: Backend, const D: usize>(
    tensor: Tensor<B, D>,
) -> Result<Vec<f32>, DetectError> {
    let device = |reason: String| DetectError::Device { reason };
    let data = tensor.cast(DType::F32).try_into_data().map_err(|e| device(e.to_string()))?;
    let values = data.into_vec::<f32>().map_err(|e| device(format!("{e:?}")))?;
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(DetectError::NonFinite)
}
