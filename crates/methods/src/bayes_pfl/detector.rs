//! Bayes-PFL as a detector of single images.
//!
//! The release stretches probabilities and map scores by the extremes of all test images of a class. A single
//! image has no such extremes: here both are mixed as they are, each already in `[0, 1]`.

use anomaly::{AnomalyMap, DetectError, Detection, Detector, ImageInput, ScoreRule, to_host};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{ClipSpec, Normalisation, TextTower, VisionTower};

use super::maps::{PairMaps, PairMapsOutput, mixed, top_mean};
use super::model::{FlowNoise, ImageFeatures, PromptFlow};
use super::start::noise;
use super::text::{SentenceBook, sentence};
use super::{BayesPfl, BayesPflConfig};
use crate::answers::{check_size, image_input};
use crate::training::TrainingVisitor;
use crate::{AuthorsTensor, ClipMethod, DetectorParts, MethodError};

/// Classes whose defects cover few pixels, and so many of the map's highest then make its score.
const FEW_PIXELS: [&str; 7] =
    ["capsules", "macaroni1", "macaroni2", "pipe_fryum", "screw", "cashew", "chewinggum"];
const FEW: usize = 20;

/// The detector: both towers, the learned part, and the sentence of every class.
#[derive(Debug)]
pub struct BayesPflDetector<B: Backend> {
    vision: VisionTower<B>,
    text: TextTower<B>,
    learned: PromptFlow<B>,
    maps: PairMaps<B>,
    sentences: SentenceBook<B>,
    config: BayesPflConfig,
    normalisation: Normalisation,
}

impl ClipMethod for BayesPfl {
    const NAME: &'static str = "Bayes-PFL";
    const ABOUT: &'static str = "prompts shifted by samples of learned distributions";
    const IS_TRAINED: bool = true;

    type Settings = BayesPflConfig;

    fn check(settings: &BayesPflConfig, clip: &ClipSpec) -> Result<(), MethodError> {
        settings.check(clip)
    }

    fn image_size(settings: &BayesPflConfig) -> usize {
        settings.image_size
    }

    fn authors_tensor(name: &str) -> AuthorsTensor {
        authors_tensor(name)
    }

    fn for_training<V: TrainingVisitor>(visitor: V) -> Option<V::Output> {
        Some(visitor.visit::<Self>())
    }

    fn detector<B: Backend>(
        settings: &BayesPflConfig,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Box<dyn Detector<B>>, MethodError> {
        Ok(Box::new(BayesPflDetector::load(settings, parts)?))
    }
}

impl<B: Backend> BayesPflDetector<B> {
    /// Loads both towers, with the activation of the settings, and the learned part.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings, weights and CLIP do not fit, or weights are missing.
    pub fn load(
        config: &BayesPflConfig,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Self, MethodError> {
        let DetectorParts { weights, normalisation, classes, precision, device, .. } = *parts;
        config.check(parts.clip)?;
        let clip = config.clip(parts.clip);
        let learned = PromptFlow::load(config, &clip, parts.learned()?, device)?;
        let text = TextTower::load(&clip, weights, precision, device)?;
        Ok(Self {
            vision: VisionTower::load(&clip, weights, precision, device)?,
            sentences: SentenceBook::encode(classes, config, &text)?,
            text,
            learned,
            maps: PairMaps::new(config, &clip, device),
            config: config.clone(),
            normalisation,
        })
    }

    /// The numbers that an image's samples are made of. An image has its own, which its pixels decide: its
    /// detection depends neither on other images nor on their order. Those of the states are the same for
    /// every image.
    fn noise(&self, images: &Tensor<B, 4>) -> Result<FlowNoise<B>, DetectError> {
        let BayesPflConfig { samples, seed, .. } = self.config;
        let (device, embed) = (images.device(), self.learned.embed());
        let mut context = Vec::new();
        for image in images.clone().split(1, 0) {
            let pixels: Vec<u8> = to_host(image)?.iter().flat_map(|v| v.to_le_bytes()).collect();
            context.push(noise(seed, &pixels, [1, samples, embed], &device));
        }
        let state = |name: &str| noise(seed, name.as_bytes(), [samples, embed], &device);
        let context = Tensor::cat(context, 0);
        Ok(FlowNoise { context, normal: state("normal"), abnormal: state("abnormal") })
    }
}

impl<B: Backend> Detector<B> for BayesPflDetector<B> {
    fn input(&self) -> ImageInput {
        image_input(self.config.image_size, self.normalisation)
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::Image
    }

    /// The image score is the mix of both branches, and it is the whole score.
    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError> {
        let BayesPflConfig { image_size: size, mix, stage, .. } = self.config;
        check_size(&images, size)?;
        let sentences = vec![self.sentences.get(class)?; images.dims()[0]];
        let noise = self.noise(&images)?;
        let features = ImageFeatures::of(&self.vision, &self.config.taps, images);
        let output = self.learned.forward(&self.text, &features, &sentences, noise, stage);
        let PairMapsOutput { map, blurred, probability, .. } = self.maps.forward(&output.alignment);
        let (maps, blurred) = (to_host(map)?, to_host(blurred)?);
        let top = top_pixels(&self.config, class);
        let images = maps.chunks_exact(size * size).zip(blurred.chunks_exact(size * size));
        let detection = |((map, blurred), probability): ((&[f32], &[f32]), &f32)| {
            let score = mixed(mix, *probability, top_mean(map, top));
            let map = AnomalyMap { size, values: blurred.to_vec() };
            Detection::new(map, score, ScoreRule::Image)
        };
        Ok(images.zip(&to_host(probability)?).map(detection).collect())
    }
}

/// The authors' checkpoint keeps modules that flows share once more under each flow, and a reconstruction
/// that their loss leaves out.
fn authors_tensor(name: &str) -> AuthorsTensor {
    const WEIGHTS: [&str; 9] = [
        "prompt_",
        "temperature_",
        "context_encoder.",
        "state_encoder.",
        "PFL_",
        "fuse.",
        "RCA.",
        "class_mapping.",
        "image_mapping.",
    ];
    let name = name.strip_prefix("MyModel.").unwrap_or(name);
    let is_copy = |part| name.starts_with("PFL_") && name.contains(part);
    if name.starts_with("context_decoder.")
        || name.starts_with("state_decoder.")
        || [".encoder.", ".decoder.", ".p_mu."].into_iter().any(is_copy)
    {
        AuthorsTensor::Unused
    } else if WEIGHTS.iter().any(|part| name.starts_with(part)) {
        AuthorsTensor::Weight(name.to_owned())
    } else {
        AuthorsTensor::Foreign
    }
}

/// How many of the map's highest pixels make the score of an image of a class, whether it goes by its folder's
/// name or by the one in its sentence.
fn top_pixels(config: &BayesPflConfig, class: &str) -> usize {
    let has_few = FEW_PIXELS.iter().any(|few| sentence(few) == sentence(class));
    if has_few { FEW.min(config.top_pixels) } else { config.top_pixels }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use anomaly::Domain;
    use burn::backend::Flex;
    use burn::tensor::Distribution;
    use clip_vit::tokenizer::VOCABULARY;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights, WeightSource};
    use moeclip::Provenance;

    use super::*;
    use crate::bayes_pfl::model::checkpoint_name;
    use crate::bayes_pfl::{BayesPflStage, StartingWeights};
    use crate::learned::learned_values;
    use crate::{MethodFile, write_method};

    fn clip() -> ClipSpec {
        let spec = ClipSpecBuilder::new().vision(4, 2, 8, 2).vision_heads(2).text(8, 1);
        spec.tokens(16, VOCABULARY).embed(8).build().unwrap()
    }

    fn config() -> BayesPflConfig {
        let (image_size, taps, samples) = (16, vec![1, 2], 3);
        BayesPflConfig { image_size, taps, samples, top_pixels: 30, ..Default::default() }
    }

    fn detector(learned: &dyn WeightSource) -> BayesPflDetector<Flex> {
        let parts = DetectorParts::<Flex> {
            clip: &clip(),
            weights: &RandomWeights::new(1),
            normalisation: Normalisation::CLIP,
            learned: Some(learned),
            classes: &["nut".to_owned()],
            domain: Domain::Industrial,
            references: &BTreeMap::new(),
            precision: Precision::F32,
            device: &Default::default(),
        };
        BayesPflDetector::load(&config(), &parts).unwrap()
    }

    fn images() -> Tensor<Flex, 4> {
        Tensor::random([2, 3, 16, 16], Distribution::Default, &Default::default())
    }

    #[test]
    fn an_images_detection_depends_on_no_other_image() {
        let mut detector = detector(&RandomWeights::new(2));
        let images = images();
        let both = detector.detect(images.clone(), "nut").unwrap();
        let second = detector.detect(images.narrow(0, 1, 1), "nut").unwrap();
        let difference = |(a, b): (&f32, &f32)| (a - b).abs();
        let apart = both[1].map.values.iter().zip(&second[0].map.values).map(difference);
        assert!(apart.fold(0.0, f32::max) < 1e-5);
        assert!((both[1].score - second[0].score).abs() < 1e-5);
        assert!((0.0..=1.0).contains(&both[0].score) && both[0].map != both[1].map);
    }

    #[test]
    fn a_detection_is_the_models_map_and_the_mix_of_both_branches() {
        let mut detector = detector(&RandomWeights::new(2));
        let images = images().narrow(0, 0, 1);
        let found = &detector.detect(images.clone(), "nut").unwrap()[0];
        let noise = detector.noise(&images).unwrap();
        let features = ImageFeatures::of(&detector.vision, &[1, 2], images);
        let sentences = [detector.sentences.get("nut").unwrap()];
        let (text, stage) = (&detector.text, BayesPflStage::Two);
        let output = detector.learned.forward(text, &features, &sentences, noise, stage);
        let PairMapsOutput { map, blurred, probability, .. } =
            detector.maps.forward(&output.alignment);
        assert_eq!(found.map.values, to_host(blurred).unwrap());
        let top = top_mean(&to_host(map).unwrap(), 30);
        let score = (to_host(probability).unwrap()[0] + top) / 2.0;
        assert!((found.score - score).abs() < 1e-6);
    }

    #[test]
    fn weights_that_were_written_are_read_again() {
        let device = Default::default();
        let start = StartingWeights::new(4);
        let learned = PromptFlow::<Flex>::start(&config(), &clip(), &start, &device);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let values = learned_values(&learned, checkpoint_name);
        write_method::<BayesPfl>(&path, &values, &config(), &Provenance::default()).unwrap();
        let file = MethodFile::<BayesPfl>::open(&path).unwrap();
        let read = PromptFlow::<Flex>::load(file.settings(), &clip(), &file, &device).unwrap();
        assert_eq!(learned_values(&read, checkpoint_name), values);
    }

    #[test]
    fn images_of_the_authors_classes_with_small_defects_are_scored_by_few_pixels() {
        let config = BayesPflConfig::default();
        let tops = ["screw", "pipe_fryum", "pipe fryum", "nut"].map(|one| top_pixels(&config, one));
        assert_eq!(tops, [20, 20, 20, 2000]);
    }

    #[test]
    fn tensors_of_the_authors_checkpoint_are_told_apart() {
        let name = "PFL_context.amor_u.weight";
        let weight = AuthorsTensor::Weight(name.to_owned());
        assert_eq!(authors_tensor(&format!("MyModel.{name}")), weight);
        for unused in ["PFL_normal.p_mu.0.bias", "PFL_context.encoder.weight_mean.module.0.bias"] {
            assert_eq!(authors_tensor(unused), AuthorsTensor::Unused);
        }
        assert_eq!(authors_tensor("image_adapter.0.weight"), AuthorsTensor::Foreign);
    }
}
