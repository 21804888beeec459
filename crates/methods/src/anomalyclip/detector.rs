//! AnomalyCLIP as a detector: one pair of directions for all classes, made once when it is loaded.

use anomaly::{DetectError, Detection, Detector, ImageInput, ScoreRule};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::tokenizer::Tokenizer;
use clip_vit::{Normalisation, TextTower};
use moeclip::TextFeatures;

use super::{AgnosticPrompts, AnomalyClipSettings, ProbabilityMaps, TwoPathTower, state_sentences};
use crate::answers::{check_size, detections, image_input};
use crate::sentences::Sentences;
use crate::{DetectorParts, MethodError, settings as rules};

/// Finds anomalies of any class by learned tokens in front of the word "object".
#[derive(Debug)]
pub struct AnomalyClipDetector<B: Backend> {
    tower: TwoPathTower<B>,
    text: TextFeatures<B>,
    maps: ProbabilityMaps<B>,
    image_size: usize,
    normalisation: Normalisation,
}

impl<B: Backend> AnomalyClipDetector<B> {
    /// Encodes both sentences, then loads the image tower; both towers are never in memory together.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings and CLIP do not fit, or a weight is missing or unusable.
    pub fn load(
        settings: &AnomalyClipSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Self, MethodError> {
        settings.check(parts.clip)?;
        let text = encoded_states(settings, parts)?;
        let &DetectorParts { clip, weights, precision, device, normalisation, .. } = parts;
        let tower = TwoPathTower::load(settings, clip, weights, precision, device)?;
        let grid = rules::grid(settings.image_size, &clip.vision)?;
        let maps = ProbabilityMaps::new(settings, grid, device);
        Ok(Self { tower, text, maps, image_size: settings.image_size, normalisation })
    }
}

fn encoded_states<B: Backend>(
    settings: &AnomalyClipSettings,
    parts: &DetectorParts<'_, B>,
) -> Result<TextFeatures<B>, MethodError> {
    let text = &parts.clip.text;
    let prompts = AgnosticPrompts::load(settings, text, parts.learned()?, parts.device)?;
    let tower = TextTower::load(parts.clip, parts.weights, parts.precision, parts.device)?;
    let texts = state_sentences(settings.context_tokens);
    let sentences = Sentences::read(&tower, &Tokenizer::new(text.context), &texts)?;
    Ok(prompts.forward(&tower, &sentences).directions())
}

impl<B: Backend> Detector<B> for AnomalyClipDetector<B> {
    fn input(&self) -> ImageInput {
        image_input(self.image_size, self.normalisation)
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::Image
    }

    /// The class does not matter; the score is the image's probability of the abnormal state.
    fn detect(&mut self, images: Tensor<B, 4>, _: &str) -> Result<Vec<Detection>, DetectError> {
        check_size(&images, self.image_size)?;
        let features = self.tower.forward(images);
        let grid = self.maps.grid_probabilities(&features.patches, &self.text);
        let scores = sigmoid(self.maps.image_difference(features.image, &self.text));
        detections(self.maps.anomaly_map(&grid), scores, ScoreRule::Image)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use anomaly::Domain;
    use burn::backend::Flex;
    use burn::tensor::{Distribution, TensorData, Tolerance};
    use clip_vit::tokenizer::VOCABULARY;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights};

    use super::*;

    #[test]
    fn the_answer_is_what_the_stages_make() {
        let clip = ClipSpecBuilder::new().vision(7, 3, 16, 3).text(16, 2).embed(8);
        let clip = clip.tokens(20, VOCABULARY).build().unwrap();
        let settings = AnomalyClipSettings {
            image_size: 28,
            taps: vec![2, 3],
            value_layers: 2,
            deep_depth: 2,
            ..AnomalyClipSettings::default()
        };
        let (weights, device) = (RandomWeights::new(5), Default::default());
        let parts = DetectorParts::<Flex> {
            clip: &clip,
            weights: &weights,
            normalisation: Normalisation::CLIP,
            learned: Some(&weights),
            classes: &[],
            domain: Domain::Industrial,
            references: &BTreeMap::new(),
            precision: Precision::F32,
            device: &device,
        };
        let mut detector = AnomalyClipDetector::load(&settings, &parts).unwrap();
        let images = Tensor::random([2, 3, 28, 28], Distribution::Default, &device);
        let found = detector.detect(images.clone(), "whatever").unwrap();

        let features = detector.tower.forward(images);
        let grid = detector.maps.grid_probabilities(&features.patches, &detector.text);
        let maps: Vec<f32> = found.iter().flat_map(|one| one.map.values.clone()).collect();
        assert!(maps.iter().all(|value| (0.0..=2.0).contains(value)));
        let close = Tolerance::absolute(1e-6);
        TensorData::new(maps, [2, 28, 28])
            .assert_approx_eq::<f32>(&detector.maps.anomaly_map(&grid).into_data(), close);
        let scores: Vec<f32> = found.iter().map(|one| one.score).collect();
        let expected = sigmoid(detector.maps.image_difference(features.image, &detector.text));
        TensorData::new(scores, [2]).assert_approx_eq::<f32>(&expected.into_data(), close);
        assert!(found.iter().all(|one| one.score == one.image_score));
    }
}
