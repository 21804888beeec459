//! From images and a class's name to maps and scores.

use std::collections::BTreeMap;

use anomaly::{DetectError, Detection, Detector, Domain, ImageInput, ScoreRule};
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{Normalisation, TextTower, VisionTower};

use super::maps::{memory_banks, remembered_distances};
use super::{AprilGan, AprilGanMaps, AprilGanSettings, LayerTokens, TapHeads, april_gan_prompts};
use crate::answers::{check_size, detections, image_input};
use crate::memory::MemoryBank;
use crate::state_maps::StateMaps;
use crate::states::{ClassDirections, SentenceMean};
use crate::{ClipMethod, DetectorParts, MethodError, settings};

/// APRIL-GAN with its classes and their references at hand.
///
/// The map is the mean over all levels, where the release adds them up: the order of pixels is the same, and
/// values lie between 0 and 1 as the text's probability does. Without references the score of an image is
/// that probability. With them it is the mean of it and the map's maximum. The release first places that
/// maximum between the lowest and the highest of all test images of the class
/// ([`scores_within_class`](super::scores_within_class)), which no single image allows; a calibration on
/// normal images gives such bounds beforehand.
#[derive(Debug)]
pub struct AprilGanDetector<B: Backend> {
    tower: VisionTower<B>,
    heads: TapHeads<B>,
    maps: StateMaps<B>,
    text: ClassDirections<B>,
    /// Of each class with references, one bank for each memory tap.
    memory: BTreeMap<String, Vec<MemoryBank<B>>>,
    settings: AprilGanSettings,
    normalisation: Normalisation,
}

impl<B: Backend> AprilGanDetector<B> {
    /// Encodes the sentences of every class, then loads tower and heads, and looks at the references.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when settings, weights and CLIP do not fit.
    pub fn load(
        settings: &AprilGanSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Self, MethodError> {
        settings.check(&parts.clip.vision)?;
        let DetectorParts { weights, classes, precision, device, .. } = *parts;
        let clip = settings.clip(parts.clip);
        let text = TextTower::load(&clip, weights, precision, device)?;
        let (prompts, mean) = (april_gan_prompts(), SentenceMean::Unit);
        let text = ClassDirections::encode(text, &prompts, mean, classes)?;
        let grid = settings::grid(settings.image_size, &clip.vision)?;
        let mut detector = Self {
            tower: VisionTower::load(&clip, weights, precision, device)?,
            heads: TapHeads::load(settings, &clip, parts.learned()?, device)?,
            maps: StateMaps::new(grid, settings.image_size, settings.scale, device),
            text,
            memory: BTreeMap::new(),
            settings: settings.clone(),
            normalisation: parts.normalisation,
        };
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
        let memory_taps = &self.settings.memory_taps;
        let seen = LayerTokens::of(&self.tower, references, memory_taps.iter().copied());
        self.memory.insert(class.to_owned(), memory_banks(&seen, memory_taps));
    }
}

impl<B: Backend> Detector<B> for AprilGanDetector<B> {
    fn input(&self) -> ImageInput {
        image_input(self.settings.image_size, self.normalisation)
    }

    /// A class without references is scored as the others are, by its zero-shot map.
    fn score_rule(&self) -> ScoreRule {
        AprilGan::score_rule(&self.settings, Domain::default(), self.memory.len())
    }

    fn detect(&mut self, images: Tensor<B, 4>, class: &str) -> Result<Vec<Detection>, DetectError> {
        let AprilGanSettings { taps, memory_taps, image_size, .. } = &self.settings;
        check_size(&images, *image_size)?;
        let text = self.text.get(class)?;
        let banks = self.memory.get(class).map_or(&[][..], Vec::as_slice);
        let remembered = memory_taps.iter().filter(|_| !banks.is_empty());
        let seen = LayerTokens::of(&self.tower, images, taps.iter().chain(remembered).copied());
        let patches = self.heads.forward(seen.patches(taps));
        let distances = remembered_distances(&seen, memory_taps, banks, &self.maps);
        let maps = AprilGanMaps::of(&self.maps, &patches, text, &distances);
        let levels = patches.len() + distances.len();
        let scores = self.maps.image_probability(seen.image, text);
        detections(maps.whole.div_scalar(levels as f64), scores, self.score_rule())
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;
    use crate::example_tests::{Example, IMAGE_SIZE};

    fn detector(example: &Example) -> AprilGanDetector<Flex> {
        let settings = AprilGanSettings {
            image_size: IMAGE_SIZE,
            taps: vec![1, 2],
            memory_taps: vec![2],
            ..AprilGanSettings::default()
        };
        AprilGanDetector::load(&settings, &example.parts()).unwrap()
    }

    #[test]
    fn without_references_the_map_is_the_mean_of_the_taps_and_the_score_the_texts() {
        let example = Example::new();
        let (mut detector, images) = (detector(&example), example.images(2));
        let found = detector.detect(images.clone(), "metal_nut").unwrap();
        let seen = LayerTokens::of(&detector.tower, images, [1, 2]);
        let patches = detector.heads.forward(seen.patches(&[1, 2]));
        let text = detector.text.get("metal_nut").unwrap();
        let maps = AprilGanMaps::of(&detector.maps, &patches, text, &[]);
        let mean: Vec<f32> = (maps.zero_shot / 2.0).into_data().iter::<f32>().collect();
        let ours: Vec<f32> = found.iter().flat_map(|one| one.map.values.clone()).collect();
        assert_eq!(ours, mean);
        assert_eq!(detector.score_rule(), ScoreRule::Image);
        assert!(found.iter().all(|one| one.score == one.image_score && one.score > 0.0));
    }

    #[test]
    fn an_image_that_is_remembered_adds_nothing_to_the_map() {
        let example = Example::new();
        let (mut detector, images) = (detector(&example), example.images(1));
        let before = detector.detect(images.clone(), "metal_nut").unwrap().remove(0);
        detector.remember("metal_nut", images.clone());
        let after = detector.detect(images, "metal_nut").unwrap().remove(0);
        let pairs = before.map.values.iter().zip(&after.map.values);
        pairs.for_each(|(before, after)| assert!((2.0 * before - 3.0 * after).abs() < 1e-4));
        assert_eq!(after.score, (after.map.maximum() + after.image_score) / 2.0);
        let other = detector.detect(example.images(1), "metal_nut").unwrap().remove(0);
        assert!(other.map.values.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn a_class_without_sentences_is_refused() {
        let example = Example::new();
        let error = detector(&example).detect(example.images(1), "screw").unwrap_err().to_string();
        assert!(error.contains("screw") && error.contains("metal_nut"), "{error}");
    }
}
