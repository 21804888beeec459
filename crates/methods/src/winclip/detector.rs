//! From images and a class's name to maps and scores.

use std::collections::BTreeMap;

use anomaly::{DetectError, Detection, Detector, Domain, ImageInput, ScoreRule};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{Normalisation, TextTower, VisionTower};

use super::{WinClip, WinClipModel, WinClipSettings, WindowMemory, winclip_prompts};
use crate::answers::{check_size, detections, image_input};
use crate::states::ClassDirections;
use crate::{ClipMethod, DetectorParts, MethodError};

/// WinCLIP with its classes at hand; WinCLIP+ for those that have references.
#[derive(Debug)]
pub struct WinClipDetector<B: Backend> {
    model: WinClipModel<B>,
    text: ClassDirections<B>,
    memory: BTreeMap<String, WindowMemory<B>>,
    normalisation: Normalisation,
}

impl<B: Backend> WinClipDetector<B> {
    /// Encodes the sentences of every class, then loads the image tower and looks at the references.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings, weights and CLIP do not fit.
    pub fn load(
        settings: &WinClipSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Self, MethodError> {
        settings.check(&parts.clip.vision)?;
        let prompts = winclip_prompts(settings.templates);
        let DetectorParts { clip, weights, classes, precision, device, .. } = *parts;
        let text = TextTower::load(clip, weights, precision, device)?;
        let text = ClassDirections::encode(text, &prompts, settings.sentence_mean, classes)?;
        let tower = VisionTower::load(clip, weights, precision, device)?;
        let model = WinClipModel::new(tower, settings.clone(), device)?;
        let (memory, normalisation) = (BTreeMap::new(), parts.normalisation);
        let mut detector = Self { model, text, memory, normalisation };
        for (class, references) in parts.references {
            detector.remember(class, references.clone());
        }
        Ok(detector)
    }

    /// Remembers normal images of a class in place of those before.
    ///
    /// # Shapes
    ///
    /// - references: `[references, 3, image_size, image_size]`, normalised
    pub fn remember(&mut self, class: &str, references: Tensor<B, 4>) {
        let memory = WindowMemory::new(&self.model.encode(references));
        self.memory.insert(class.to_owned(), memory);
    }
}

impl<B: Backend> Detector<B> for WinClipDetector<B> {
    fn input(&self) -> ImageInput {
        image_input(self.model.settings().image_size, self.normalisation)
    }

    fn score_rule(&self) -> ScoreRule {
        WinClip::score_rule(self.model.settings(), Domain::default(), self.memory.len())
    }

    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError> {
        check_size(&images, self.model.settings().image_size)?;
        let text = self.text.get(class)?;
        let features = self.model.encode(images);
        let zero = self.model.zero_shot(&features, text);
        let memory = self.memory.get(class);
        let association = memory.map(|memory| self.model.associate(&features, memory));
        let fused = self.model.fuse(&zero, association.as_ref());
        detections(fused.whole, fused.score, self.score_rule())
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;
    use crate::example_tests::{Example, IMAGE_SIZE};

    fn detector(example: &Example, settings: WinClipSettings) -> WinClipDetector<Flex> {
        let settings = WinClipSettings { image_size: IMAGE_SIZE, ..settings };
        WinClipDetector::load(&settings, &example.parts()).unwrap()
    }

    #[test]
    fn a_detection_is_what_the_model_says() {
        let mut example = Example::new();
        example.references.insert("metal_nut".to_owned(), example.images(2));
        let mut detector = detector(&example, WinClipSettings::default());
        let images = example.images(2);
        let found = detector.detect(images.clone(), "metal_nut").unwrap();
        let features = detector.model.encode(images);
        let zero = detector.model.zero_shot(&features, detector.text.get("metal_nut").unwrap());
        let association = detector.model.associate(&features, &detector.memory["metal_nut"]);
        let fused = detector.model.fuse(&zero, Some(&association));
        let map: Vec<f32> = fused.whole.into_data().iter::<f32>().collect();
        assert_eq!(found.iter().flat_map(|one| one.map.values.clone()).collect::<Vec<_>>(), map);
        let scores: Vec<f32> = fused.score.into_data().iter::<f32>().collect();
        assert_eq!(found.iter().map(|one| one.score).collect::<Vec<_>>(), scores);
        assert!(map.iter().chain(&scores).all(|value| value.is_finite()));
    }

    #[test]
    fn an_image_that_is_remembered_halves_map_and_score() {
        let example = Example::new();
        let mut detector = detector(&example, WinClipSettings::default());
        let images = example.images(1);
        let zero = detector.detect(images.clone(), "metal_nut").unwrap().remove(0);
        detector.remember("metal_nut", images.clone());
        let few = detector.detect(images, "metal_nut").unwrap().remove(0);
        let pairs = zero.map.values.iter().zip(&few.map.values);
        pairs.for_each(|(zero, few)| assert!((zero / 2.0 - few).abs() < 1e-4, "{zero} {few}"));
        assert!((zero.score / 2.0 - few.score).abs() < 1e-4);
    }

    #[test]
    fn the_unofficial_score_is_the_maps_maximum() {
        let example = Example::new();
        let mut detector = detector(&example, WinClipSettings::unofficial());
        let found = detector.detect(example.images(1), "metal_nut").unwrap().remove(0);
        assert_eq!((found.score, detector.score_rule()), (found.map.maximum(), ScoreRule::MapMax));
    }
}
