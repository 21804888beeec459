//! CLIP as it is, without anything trained: the row of a table that says what adapters add.
//!
//! Patches of the last layer and the class token go through CLIP's own projection and are compared
//! with its own directions of the two states. Maps are resampled as MoECLIP's are, so that only the
//! features differ.

use std::collections::BTreeMap;

use anomaly::{
    AnomalyMap, DetectError, Detection, Detector, Domain, ImageInput, ScoreRule, to_host,
};
use burn::tensor::activation::sigmoid;
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{
    ClipSpec, ImageTextBackbone, JointEmbedding, Normalisation, Precision, TextTower, VisionTower,
    WeightSource,
};
use paa_adapter::unit;

use crate::detector::image_input;
use crate::maps::LOGIT_SCALE;
use crate::{ConfigError, FrozenClipError, MapResampler, PromptEncoder, PromptSet, TextFeatures};

/// A CLIP's image tower, and its own directions of every class at hand.
#[derive(Debug, Clone)]
pub struct PlainClip<B: Backend, V = VisionTower<B>> {
    tower: V,
    text: BTreeMap<String, TextFeatures<B>>,
}

impl<B: Backend> PlainClip<B> {
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
        let tower = TextTower::load(clip, source, precision, device)?;
        let mut encoder = PromptEncoder::new(tower);
        let mut text = BTreeMap::new();
        for class in classes {
            let normal = encoder.direction(&prompts.normal_prompts(class))?;
            let abnormal = encoder.direction(&prompts.abnormal_prompts(class))?;
            text.insert(class.to_owned(), TextFeatures { normal, abnormal });
        }
        drop(encoder);
        let tower = VisionTower::load(clip, source, precision, device)?;
        Ok(Self { tower, text })
    }
}

impl<B: Backend, V: ImageTextBackbone<B>> PlainClip<B, V> {
    /// An image tower of one's own, and the unit directions of every class at hand in its embedding.
    pub fn new(tower: V, text: BTreeMap<String, TextFeatures<B>>) -> Self {
        Self { tower, text }
    }
}

/// CLIP alone as a detector: the map from patches of the last layer, the score from the class token.
#[derive(Debug)]
pub struct ClipDetector<B: Backend, V = VisionTower<B>> {
    clip: PlainClip<B, V>,
    resampler: MapResampler<B>,
    image_size: usize,
    domain: Domain,
    normalisation: Normalisation,
}

impl<B: Backend, V: ImageTextBackbone<B>> ClipDetector<B, V> {
    /// A detector of images of `image_size` pixels a side; the domain decides the blur.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ImageSize`] when the images hold no patch.
    pub fn new(
        clip: PlainClip<B, V>,
        domain: Domain,
        image_size: usize,
        device: &B::Device,
    ) -> Result<Self, ConfigError> {
        let patch = clip.tower.spec().patch;
        let grid = image_size / patch;
        if grid == 0 {
            return Err(ConfigError::ImageSize { image_size, patch });
        }
        let resampler = MapResampler::new(grid, image_size, device);
        let normalisation = Normalisation::CLIP;
        Ok(Self { clip, resampler, image_size, domain, normalisation })
    }

    /// The same detector of a tower whose images are normalised otherwise than CLIP's.
    pub fn with_normalisation(self, normalisation: Normalisation) -> Self {
        Self { normalisation, ..self }
    }

    /// Unit embeddings of images and their patches, in f32.
    fn embed(&self, images: Tensor<B, 4>) -> JointEmbedding<B> {
        let tower = &self.clip.tower;
        let tokens = tower.layers(0..tower.spec().layers, tower.embed(images));
        let JointEmbedding { image, patches } = tower.joint_embedding(tokens);
        JointEmbedding {
            image: unit(image.cast(DType::F32)),
            patches: unit(patches.cast(DType::F32)),
        }
    }
}

impl<B: Backend, V: ImageTextBackbone<B> + Send> Detector<B> for ClipDetector<B, V> {
    fn input(&self) -> ImageInput {
        image_input(self.image_size, self.normalisation)
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::Image
    }

    /// The image score is CLIP's probability of the abnormal state, and it is the whole score.
    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError> {
        let size = self.image_size;
        let [_, _, height, width] = images.dims();
        if (height, width) != (size, size) {
            return Err(DetectError::Size { width, height, size });
        }
        let Some(text) = self.clip.text.get(class) else {
            let known: Vec<&str> = self.clip.text.keys().map(String::as_str).collect();
            return Err(DetectError::Class { class: class.into(), known: known.join(", ") });
        };
        let JointEmbedding { image, patches } = self.embed(images);
        let maps = self.resampler.anomaly_map(&[patches], text, self.domain);
        let difference = (image * text.difference()).sum_dim(1).squeeze_dim::<1>(1);
        let scores = sigmoid(difference.mul_scalar(LOGIT_SCALE));
        let (maps, scores) = (to_host(maps)?, to_host(scores)?);
        let detection = |(values, &score): (&[f32], &f32)| {
            let map = AnomalyMap { size, values: values.to_vec() };
            Detection::new(map, score, ScoreRule::Image)
        };
        Ok(maps.chunks_exact(size * size).zip(&scores).map(detection).collect())
    }
}
