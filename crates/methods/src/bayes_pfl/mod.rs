//! Bayes-PFL, "Bayesian prompt flow learning" (CVPR 2025, arXiv 2503.10080): a frozen CLIP whose prompts
//! are shifted by samples of learned distributions, one of the image and one of each state.
//!
//! A small bank of learned vectors ([`PromptBank`]) is shifted by samples of Gaussians that were pushed
//! through planar flows ([`ImageFlow`], [`StateFlow`]). The text of every sample looks at the patches of a tap
//! once ([`CrossModalAttention`]) before it is compared with them; maps and probabilities are the mean of all
//! samples and prompts ([`PairMaps`]). Training has two stages ([`BayesPflStage`]): all but the image branch,
//! then the image branch alone.
//!
//! "Release" is the authors' code at commit 8f155a07e734. Where it and the paper differ, or two readings are
//! possible, [`BayesPflConfig`] has both.

mod attention;
mod config;
mod detector;
mod flow;
mod losses;
mod maps;
mod model;
mod parity;
mod start;
mod text;
mod training;

pub use attention::{Attended, CrossModalAttention, PatchFusion, PointwiseConvolution};
pub use config::{BayesPflConfig, BayesPflStage, LogDeterminant};
pub use detector::BayesPflDetector;
pub use flow::{FlowSamples, GaussianEncoder, ImageFlow, Perceptron, StateFlow};
pub use losses::{BayesPflLosses, Targets, balanced_focal, batch_dice, divergence, orthogonal};
pub use maps::{PairMaps, PairMapsOutput, image_probability, mixed, stretched_scores, top_mean};
pub use model::{
    Alignment, FlowNoise, ImageFeatures, PromptFlow, PromptFlowOutput, PromptFlowSamples,
    TapAlignment, checkpoint_name,
};
pub use start::StartingWeights;
pub use text::{ClassSentence, PromptBank, SentenceBook, sentence};
pub use training::{BayesPflFrozen, learning_rate, rate_factor};

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct BayesPfl;
