//! AdaCLIP as a detector.

use std::collections::BTreeMap;

use anomaly::{DetectError, Detection, Detector, ImageInput, ScoreRule};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::tokenizer::Tokenizer;
use clip_vit::{ClipSpec, Normalisation};

use crate::adaclip::{
    AdaClip, AdaClipMaps, AdaClipModel, AdaClipSettings, AdaClipWeights, ClusterSeeds, FusionError,
    PlainTowers, PromptedSentences,
};
use crate::answers::{check_size, detections, image_input, of_class};
use crate::training::TrainingVisitor;
use crate::{AuthorsTensor, ClipMethod, DetectorParts, MethodError};

/// What stands before every name in the authors' checkpoints.
const CHECKPOINT_PREFIX: &str = "clip_model.";

/// AdaCLIP with the sentences of its classes at hand. A class's text depends on the image, so only the first
/// layer of the text tower is computed beforehand.
#[derive(Debug)]
pub struct AdaClipDetector<B: Backend> {
    towers: PlainTowers<B>,
    weights: AdaClipWeights<B>,
    settings: AdaClipSettings,
    maps: AdaClipMaps<B>,
    sentences: BTreeMap<String, PromptedSentences<B>>,
    normalisation: Normalisation,
}

impl<B: Backend> AdaClipDetector<B> {
    /// A detector of these parts.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings, weights and CLIP do not fit, or a class has too long a name.
    pub fn load(
        settings: &AdaClipSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Self, MethodError> {
        let DetectorParts { clip, device, normalisation, .. } = *parts;
        settings.check(clip)?;
        let weights = AdaClipWeights::load(settings, clip, parts.learned()?, device)?;
        let towers = PlainTowers::load(settings, clip, parts.weights, parts.precision, device)?;
        let tokenizer = Tokenizer::new(clip.text.context);
        let mut sentences = BTreeMap::new();
        for class in parts.classes {
            let read = PromptedSentences::of_class(class, &towers.text, &tokenizer, settings)?;
            sentences.insert(class.clone(), read);
        }
        let maps = AdaClipMaps::new(settings, clip, device);
        Ok(Self { towers, weights, settings: settings.clone(), maps, sentences, normalisation })
    }
}

impl<B: Backend> Detector<B> for AdaClipDetector<B> {
    fn input(&self) -> ImageInput {
        image_input(self.settings.image_size, self.normalisation)
    }

    /// The map has no part in the score.
    fn score_rule(&self) -> ScoreRule {
        ScoreRule::Image
    }

    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError> {
        check_size(&images, self.settings.image_size)?;
        let Self { towers, weights, settings, maps, .. } = &*self;
        let model = AdaClipModel { towers, weights, settings };
        let sentences = of_class(&self.sentences, class)?;
        let features = model.forward(images, sentences, &ClusterSeeds::Spread).map_err(refused)?;
        let maps = maps.blurred(maps.sharp(&features.logits)).squeeze_dim::<3>(1);
        let scores = features.image_probability.narrow(1, 1, 1).squeeze_dim::<1>(1);
        detections(maps, scores, ScoreRule::Image)
    }
}

fn refused(error: FusionError) -> DetectError {
    match error {
        FusionError::Device(error) => error,
        FusionError::Seeds { .. } => DetectError::Device { reason: error.to_string() },
    }
}

impl ClipMethod for AdaClip {
    const NAME: &'static str = "AdaCLIP";
    const ABOUT: &'static str =
        "learned prompts in both towers, static and computed from the image (ECCV 2024)";
    const IS_TRAINED: bool = true;

    type Settings = AdaClipSettings;

    fn check(settings: &AdaClipSettings, clip: &ClipSpec) -> Result<(), MethodError> {
        settings.check(clip)
    }

    fn image_size(settings: &AdaClipSettings) -> usize {
        settings.image_size
    }

    fn authors_tensor(name: &str) -> AuthorsTensor {
        let parts = [
            "text_prompter.static_prompts.",
            "visual_prompter.static_prompts.",
            "patch_token_layer.head.",
            "cls_token_layer.head.",
            "dynamic_visual_prompt_generator.head.",
            "dynamic_text_prompt_generator.head.",
        ];
        match name.strip_prefix(CHECKPOINT_PREFIX) {
            Some(ours) if parts.iter().any(|part| ours.starts_with(part)) => {
                AuthorsTensor::Weight(ours.to_owned())
            }
            _ => AuthorsTensor::Foreign,
        }
    }

    fn for_training<V: TrainingVisitor>(visitor: V) -> Option<V::Output> {
        Some(visitor.visit::<Self>())
    }

    fn detector<B: Backend>(
        settings: &AdaClipSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Box<dyn Detector<B>>, MethodError> {
        Ok(Box::new(AdaClipDetector::load(settings, parts)?))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{TensorData, Tolerance};

    use super::*;
    use crate::example_tests::{Example, IMAGE_SIZE};

    #[test]
    fn names_of_the_authors_checkpoint_are_told_from_others() {
        let weight = |name: &str| AuthorsTensor::Weight(name.to_owned());
        for name in [
            "text_prompter.static_prompts.0",
            "visual_prompter.static_prompts.3",
            "patch_token_layer.head.3.weight",
            "cls_token_layer.head.0.bias",
            "dynamic_visual_prompt_generator.head.4.bias",
            "dynamic_text_prompt_generator.head.4.weight",
        ] {
            assert_eq!(AdaClip::authors_tensor(&format!("clip_model.{name}")), weight(name));
            assert_eq!(AdaClip::authors_tensor(name), AuthorsTensor::Foreign);
        }
        let other = AdaClip::authors_tensor("clip_model.visual.proj");
        assert_eq!(other, AuthorsTensor::Foreign);
    }

    #[test]
    fn the_answer_is_what_the_stages_make() {
        let example = Example::new();
        let settings = AdaClipSettings {
            image_size: IMAGE_SIZE,
            taps: vec![1, 2],
            prompt_length: 2,
            clusters: 3,
            ..AdaClipSettings::default()
        };
        let mut detector = AdaClipDetector::load(&settings, &example.parts()).unwrap();
        let images = example.images(2);
        let found = detector.detect(images.clone(), "metal_nut").unwrap();

        let AdaClipDetector { towers, weights, maps, sentences, .. } = &detector;
        let model = AdaClipModel { towers, weights, settings: &settings };
        let features =
            model.forward(images, &sentences["metal_nut"], &ClusterSeeds::Spread).unwrap();
        let expected = maps.blurred(maps.sharp(&features.logits)).into_data();
        let values: Vec<f32> = found.iter().flat_map(|one| one.map.values.clone()).collect();
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        let values = TensorData::new(values, [2, 1, IMAGE_SIZE, IMAGE_SIZE]);
        values.assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-6));
        assert!(found.iter().all(|one| one.score == one.image_score && one.score.is_finite()));

        let unknown = detector.detect(example.images(1), "cable").unwrap_err();
        assert!(unknown.to_string().contains("metal_nut"));
        let small = detector.detect(Tensor::zeros([1, 3, 16, 16], &example.device), "metal_nut");
        assert!(small.unwrap_err().to_string().contains("24x24"));
    }

    #[test]
    fn an_image_is_seen_by_itself() {
        let example = Example::new();
        let settings = AdaClipSettings {
            image_size: IMAGE_SIZE,
            taps: vec![2],
            prompt_length: 2,
            clusters: 2,
            ..AdaClipSettings::default()
        };
        let mut detector = AdaClip::detector(&settings, &example.parts()).unwrap();
        let images = example.images(2);
        let both = detector.detect(images.clone(), "metal_nut").unwrap();
        let second = detector.detect(images.narrow(0, 1, 1), "metal_nut").unwrap();
        let mut pairs = both[1].map.values.iter().zip(&second[0].map.values);
        assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-4));
        assert!((both[1].score - second[0].score).abs() < 1e-4);
    }
}
