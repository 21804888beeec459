//! AnomalyCLIP (ICLR 2024, arXiv 2310.18961): learned text in front of one word for every thing, and patches
//! from a path of attention among values.
//!
//! CLIP stays frozen. Learned are two contexts, one for each state, and a few tokens inside the text tower
//! ([`AgnosticPrompts`]). The image tower gets a second path through its deep layers ([`TwoPathTower`]), from
//! which patches are read. Since no class is named, one pair of directions serves all classes.
//!
//! Where the paper and the authors' release differ, both readings are settings, and the default is the one
//! that the published numbers were made with.

mod config;
mod detector;
mod image;
mod maps;
mod parity;
mod prompts;
mod training;

use anomaly::Detector;
use burn::tensor::backend::Backend;
use clip_vit::ClipSpec;

pub use config::{AnomalyClipSettings, ClassTokenNorm};
pub use detector::AnomalyClipDetector;
pub use image::{TwoPathFeatures, TwoPathTokens, TwoPathTower};
pub use maps::{AnomalyClipLosses, ProbabilityMaps};
pub use prompts::{AgnosticPrompts, EncodedStates, checkpoint_name, state_sentences};
pub use training::AnomalyClipFrozen;

use crate::training::TrainingVisitor;
use crate::{AuthorsTensor, ClipMethod, DetectorParts, MethodError};

/// AnomalyCLIP by its name.
#[derive(Debug, Clone, Copy)]
pub struct AnomalyClip;

impl ClipMethod for AnomalyClip {
    const NAME: &'static str = "AnomalyCLIP";
    const ABOUT: &'static str =
        "learned text about any object, patches from attention among values; no class needs a name";
    const IS_TRAINED: bool = true;

    type Settings = AnomalyClipSettings;

    fn check(settings: &AnomalyClipSettings, clip: &ClipSpec) -> Result<(), MethodError> {
        settings.check(clip)
    }

    fn image_size(settings: &AnomalyClipSettings) -> usize {
        settings.image_size
    }

    /// The file also holds projections that the release never uses, and what CLIP and its tokenizer give.
    fn authors_tensor(name: &str) -> AuthorsTensor {
        const UNUSED: [&str; 4] = [
            "compound_prompt_projections.",
            "token_prefix_",
            "token_suffix_",
            "tokenized_prompts_",
        ];
        match name.strip_prefix("prompt_learner.") {
            Some(ours @ ("ctx_pos" | "ctx_neg")) => AuthorsTensor::Weight(ours.to_owned()),
            Some(ours) if ours.starts_with("compound_prompts_text.") => {
                AuthorsTensor::Weight(ours.to_owned())
            }
            Some(other) if UNUSED.iter().any(|unused| other.starts_with(unused)) => {
                AuthorsTensor::Unused
            }
            _ => AuthorsTensor::Foreign,
        }
    }

    fn for_training<V: TrainingVisitor>(visitor: V) -> Option<V::Output> {
        Some(visitor.visit::<Self>())
    }

    fn detector<B: Backend>(
        settings: &AnomalyClipSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Box<dyn Detector<B>>, MethodError> {
        Ok(Box::new(AnomalyClipDetector::load(settings, parts)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_tensors_are_known_by_name() {
        let of = |name: &str| AnomalyClip::authors_tensor(&format!("prompt_learner.{name}"));
        for weight in ["ctx_pos", "ctx_neg", "compound_prompts_text.0", "compound_prompts_text.7"] {
            assert_eq!(of(weight), AuthorsTensor::Weight(weight.to_owned()));
        }
        for unused in [
            "compound_prompt_projections.0.weight",
            "compound_prompt_projections.7.bias",
            "token_prefix_pos",
            "token_suffix_neg",
            "tokenized_prompts_pos",
        ] {
            assert_eq!(of(unused), AuthorsTensor::Unused);
        }
        assert_eq!(of("other"), AuthorsTensor::Foreign);
        assert_eq!(AnomalyClip::authors_tensor("ctx_pos"), AuthorsTensor::Foreign);
    }
}
