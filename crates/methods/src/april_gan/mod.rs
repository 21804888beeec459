//! APRIL-GAN, also called VAND (arXiv 2305.17382): at a few depths of a frozen CLIP one learned linear layer
//! maps patches into the joint embedding, where sentences say normal or abnormal. With normal references,
//! patches are also compared with what was remembered of these.

mod config;
mod detector;
mod heads;
mod layers;
mod loss;
mod maps;
mod parity;
mod prompts;
mod training;

use anomaly::{Detector, Domain, ScoreRule};
use burn::tensor::backend::Backend;
use clip_vit::ClipSpec;

pub use config::AprilGanSettings;
pub use detector::AprilGanDetector;
pub use heads::TapHeads;
pub use layers::LayerTokens;
pub use loss::AprilGanLosses;
pub use maps::{AprilGanMaps, scores_within_class};
pub use prompts::{TEMPLATES, april_gan_prompts};
pub use training::AprilGanFrozen;

use crate::training::TrainingVisitor;
use crate::{AuthorsTensor, ClipMethod, DetectorParts, MethodError};

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct AprilGan;

impl ClipMethod for AprilGan {
    const NAME: &'static str = "APRIL-GAN";
    const ABOUT: &'static str =
        "a learned linear layer at four depths of CLIP, and a memory of normal references";
    const IS_TRAINED: bool = true;
    const TAKES_REFERENCES: bool = true;

    type Settings = AprilGanSettings;

    fn check(settings: &AprilGanSettings, clip: &ClipSpec) -> Result<(), MethodError> {
        settings.check(&clip.vision)
    }

    fn image_size(settings: &AprilGanSettings) -> usize {
        settings.image_size
    }

    fn score_rule(_: &AprilGanSettings, _: Domain, references: usize) -> ScoreRule {
        if references == 0 { ScoreRule::Image } else { ScoreRule::MeanOfMapMaxAndImage }
    }

    fn authors_tensor(name: &str) -> AuthorsTensor {
        match name.strip_prefix("trainable_linearlayer.") {
            Some(head) if head.starts_with("fc.") => AuthorsTensor::Weight(head.to_owned()),
            _ => AuthorsTensor::Foreign,
        }
    }

    fn for_training<V: TrainingVisitor>(visitor: V) -> Option<V::Output> {
        Some(visitor.visit::<Self>())
    }

    fn detector<B: Backend>(
        settings: &AprilGanSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Box<dyn Detector<B>>, MethodError> {
        Ok(Box::new(AprilGanDetector::load(settings, parts)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_releases_heads_are_known_by_name() {
        let weight = |name: &str| AuthorsTensor::Weight(name.to_owned());
        let known = AprilGan::authors_tensor;
        assert_eq!(known("trainable_linearlayer.fc.3.bias"), weight("fc.3.bias"));
        assert_eq!(known("trainable_linearlayer.other"), AuthorsTensor::Foreign);
        assert_eq!(known("fc.0.weight"), AuthorsTensor::Foreign);
    }
}
