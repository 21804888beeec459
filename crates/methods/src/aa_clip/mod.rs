//! AA-CLIP (CVPR 2025, arXiv 2503.06661): residual adapters first make the text tower tell normal from
//! abnormal, then make the image tower meet it.
//!
//! CLIP stays frozen. In the first stage [`TextAdapters`] learn before features of the frozen image tower
//! ([`ValueTower`]); in the second the text is fixed, and [`ImageAdapters`] learn. MoECLIP grew out of this
//! method: sentences, maps, blur, scores and augmentation are the same.
//!
//! Where the paper and the authors' release differ, both readings are settings, and the default is the
//! release's, which the published numbers were made with.

mod adapters;
mod config;
mod detector;
mod losses;
mod maps;
mod parity;
mod training;
mod values;

use anomaly::{Detector, Domain, ScoreRule};
use burn::tensor::backend::Backend;
use clip_vit::ClipSpec;

pub use adapters::{
    AaClipAdapters, AaClipFeatures, AdaptedTokens, ClassSentences, ImageAdapters, TextAdapters,
};
pub use config::{
    AaClipSettings, ProjectionActivation, TapCombination, TextClassLoss, TextLossTaps, ValueAxis,
};
pub use detector::AaClipDetector;
pub use losses::{AaClipBatch, AaClipLosses};
pub use maps::{AaClipMaps, transductive_scores};
pub use training::AaClipFrozen;
pub use values::{ValueTokens, ValueTower};

use crate::training::TrainingVisitor;
use crate::{AuthorsTensor, ClipMethod, DetectorParts, MethodError};

/// AA-CLIP by its name.
#[derive(Debug, Clone, Copy)]
pub struct AaClip;

impl ClipMethod for AaClip {
    const NAME: &'static str = "AA-CLIP";
    const ABOUT: &'static str =
        "residual adapters in the first layers of CLIP's towers, the text's learned first";
    const IS_TRAINED: bool = true;

    type Settings = AaClipSettings;

    fn check(settings: &AaClipSettings, clip: &ClipSpec) -> Result<(), MethodError> {
        settings.check(clip)
    }

    fn image_size(settings: &AaClipSettings) -> usize {
        settings.image_size
    }

    fn score_rule(_: &AaClipSettings, domain: Domain, _: usize) -> ScoreRule {
        ScoreRule::of(domain)
    }

    /// The authors' program writes one file for each stage, with the optimiser's state beside the weights.
    fn authors_tensor(name: &str) -> AuthorsTensor {
        const UNUSED: [&str; 3] = ["text_optimizer.", "image_optimizer.", "epoch"];
        if name.starts_with("text_adapter.") || name.starts_with("image_adapter.") {
            AuthorsTensor::Weight(name.to_owned())
        } else if UNUSED.iter().any(|unused| name.starts_with(unused)) {
            AuthorsTensor::Unused
        } else {
            AuthorsTensor::Foreign
        }
    }

    fn for_training<V: TrainingVisitor>(visitor: V) -> Option<V::Output> {
        Some(visitor.visit::<Self>())
    }

    fn detector<B: Backend>(
        settings: &AaClipSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Box<dyn Detector<B>>, MethodError> {
        Ok(Box::new(AaClipDetector::load(settings, parts)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_tensors_are_known_by_name() {
        let of = AaClip::authors_tensor;
        for weight in [
            "text_adapter.0.fc.0.weight",
            "text_adapter.3.fc.0.weight",
            "image_adapter.layer_adapters.5.fc.0.weight",
            "image_adapter.seg_proj.3.fc.weight",
            "image_adapter.det_proj.fc.weight",
        ] {
            assert_eq!(of(weight), AuthorsTensor::Weight(weight.to_owned()));
        }
        assert_eq!(of("image_optimizer.state.0.exp_avg"), AuthorsTensor::Unused);
        assert_eq!(of("layer_adapters.0.fc.0.weight"), AuthorsTensor::Foreign);
    }
}
