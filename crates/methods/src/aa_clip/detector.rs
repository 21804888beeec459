//! AA-CLIP as a detector: the text of the first stage and the image tower of the second.

use anomaly::{DetectError, Detection, Detector, Domain, ImageInput, ScoreRule};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::tokenizer::Tokenizer;
use clip_vit::{Normalisation, PromptError, TextBackbone, TextTower, VisionTower};
use moeclip::{PromptSet, image_score};

use super::{
    AaClipAdapters, AaClipMaps, AaClipSettings, ClassSentences, ImageAdapters, TextAdapters,
};
use crate::answers::{check_size, detections, image_input};
use crate::sentences::Sentences;
use crate::states::ClassDirections;
use crate::{DetectorParts, MethodError, settings as rules};

/// AA-CLIP with its classes at hand.
///
/// The score of an image is half its map's maximum and half its image score, on medical images the maximum
/// alone. The release first places both between the lowest and the highest of all test images of the class
/// ([`transductive_scores`](super::transductive_scores)), which no single image allows; a calibration on
/// normal images gives such bounds beforehand.
#[derive(Debug)]
pub struct AaClipDetector<B: Backend> {
    tower: VisionTower<B>,
    adapters: ImageAdapters<B>,
    text: ClassDirections<B>,
    maps: AaClipMaps<B>,
    image_size: usize,
    domain: Domain,
    normalisation: Normalisation,
}

impl<B: Backend> AaClipDetector<B> {
    /// Encodes the sentences of every class, then loads the image tower; both towers are never in memory
    /// together.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings and CLIP do not fit, or a weight is missing or unusable.
    pub fn load(
        settings: &AaClipSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Self, MethodError> {
        settings.check(parts.clip)?;
        let DetectorParts { weights, classes, domain, precision, device, .. } = *parts;
        let clip = settings.clip(parts.clip);
        let learned = AaClipAdapters::load(settings, &clip, parts.learned()?, device)?;
        let text = TextTower::load(&clip, weights, precision, device)?;
        let text = class_directions(&learned.text, text, classes)?;
        let grid = rules::grid(settings.image_size, &clip.vision)?;
        Ok(Self {
            tower: VisionTower::load(&clip, weights, precision, device)?,
            adapters: learned.image,
            text,
            maps: AaClipMaps::new(settings, domain, grid, device),
            image_size: settings.image_size,
            domain,
            normalisation: parts.normalisation,
        })
    }
}

fn class_directions<B: Backend>(
    adapters: &TextAdapters<B>,
    tower: TextTower<B>,
    classes: &[String],
) -> Result<ClassDirections<B>, PromptError> {
    let tokenizer = Tokenizer::new(tower.spec().context);
    let directions = |class: &String| {
        let sentences = ClassSentences::of(&tower, &tokenizer, class)?;
        Ok((class.clone(), adapters.directions(&tower, &sentences)))
    };
    let classes = classes.iter().map(directions).collect::<Result<_, PromptError>>()?;
    Ok(ClassDirections::of(classes))
}

impl<B: Backend> ClassSentences<B> {
    /// The sentences about a class, which goes by a descriptive name such as "dark bottle". They are
    /// MoECLIP's, which took them from here.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when one does not fit the tower.
    pub fn of<T: TextBackbone<B>>(
        tower: &T,
        tokenizer: &Tokenizer,
        class: &str,
    ) -> Result<Self, PromptError> {
        let prompts = PromptSet::default();
        Ok(Self {
            normal: Sentences::read(tower, tokenizer, &prompts.normal_prompts(class))?,
            abnormal: Sentences::read(tower, tokenizer, &prompts.abnormal_prompts(class))?,
        })
    }
}

impl<B: Backend> Detector<B> for AaClipDetector<B> {
    fn input(&self) -> ImageInput {
        image_input(self.image_size, self.normalisation)
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::of(self.domain)
    }

    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError> {
        check_size(&images, self.image_size)?;
        let text = self.text.get(class)?;
        let seen = self.adapters.forward(&self.tower, images);
        let maps = self.maps.anomaly_map(self.maps.grid_maps(&seen.patches, text));
        detections(maps, image_score(seen.image, text), self.score_rule())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::backend::Flex;
    use burn::tensor::{Distribution, TensorData, Tolerance};
    use clip_vit::tokenizer::VOCABULARY;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights};

    use super::*;

    #[test]
    fn the_answer_is_what_the_stages_make() {
        let clip = ClipSpecBuilder::new().vision(7, 3, 16, 3).text(16, 2).embed(8);
        let clip = clip.tokens(20, VOCABULARY).build().unwrap();
        let (weights, device) = (RandomWeights::new(5), Default::default());
        let settings = AaClipSettings {
            image_size: 35,
            taps: vec![2, 3],
            text_adapters: 1,
            image_adapters: 2,
            value_layers: 0,
            ..AaClipSettings::default()
        };
        for domain in Domain::ALL {
            let parts = DetectorParts::<Flex> {
                clip: &clip,
                weights: &weights,
                normalisation: Normalisation::CLIP,
                learned: Some(&weights),
                classes: &["dark bottle".to_owned()],
                domain,
                references: &BTreeMap::new(),
                precision: Precision::F32,
                device: &device,
            };
            let mut detector = AaClipDetector::load(&settings, &parts).unwrap();
            let images = Tensor::random([2, 3, 35, 35], Distribution::Default, &device);
            let found = detector.detect(images.clone(), "dark bottle").unwrap();

            let seen = detector.adapters.forward(&detector.tower, images.clone());
            let text = detector.text.get("dark bottle").unwrap();
            let maps = detector.maps.anomaly_map(detector.maps.grid_maps(&seen.patches, text));
            let ours: Vec<f32> = found.iter().flat_map(|one| one.map.values.clone()).collect();
            TensorData::new(ours, [2, 35, 35])
                .assert_approx_eq::<f32>(&maps.into_data(), Tolerance::absolute(1e-5));
            for one in &found {
                let expected = ScoreRule::of(domain).score(one.map.maximum(), one.image_score);
                assert_eq!(one.score, expected);
            }
            let unknown = detector.detect(images, "cable").unwrap_err();
            assert!(matches!(unknown, DetectError::Class { .. }), "{unknown}");
        }
    }
}
