//! AdaCLIP (Cao et al., ECCV 2024, arXiv 2407.15795): learned prompts among the tokens of both towers of a
//! frozen CLIP, static ones and ones that are computed from the image; patch heads on several layers; an image
//! score that mixes the class token with clustered abnormal patches.
//!
//! Paper and release differ; both readings are settings, and the release's is the default, because the published
//! weights were trained with it. `docs/methods/adaclip.md` has the table.

mod config;
mod detector;
mod fusion;
mod kmeans;
mod losses;
mod maps;
mod model;
mod parity;
mod prompts;
mod sentences;
mod training;
mod weights;

pub use config::{
    AdaClipSettings, DiceUnit, PositionKernel, PromptKind, PromptedTowers, SemanticFusion,
};
pub use detector::AdaClipDetector;
pub use fusion::{ClusterSeeds, Clustered, FusionError, PatchClusters};
pub use kmeans::{Points, k_means};
pub use losses::AdaClipLosses;
pub use maps::AdaClipMaps;
pub use model::{AdaClipFeatures, AdaClipModel, ClipTowers, FrozenTowers, PlainTowers};
pub use sentences::PromptedSentences;
pub use training::FrozenAdaClip;
pub use weights::{AdaClipWeights, LinearHeads, StaticPrompts};

/// The method, as registries know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaClip;
