//! Patch average aggregation and the heads that turn adapted tokens into joint features (MoECLIP,
//! arXiv 2603.03101).
//!
//! [`PatchAverage`] averages patches over windows of several scales, [`UnitProjection`] maps a tap's
//! patches into the joint embedding, [`ScaleWeights`] learns what each scale has to say, and
//! [`ImageHead`] makes one vector of a whole image: [`DepthwiseHead`] or [`LinearHead`].

mod average;
mod head;
mod projection;

pub use average::{PatchAverage, ScaleError, ScaleWeighting, ScaleWeights, check_scales};
pub use head::{
    DepthwiseHead, DepthwiseHeadWeights, ImageHead, ImageHeadKind, LinearHead, LinearHeadWeights,
};
pub use projection::{UnitProjection, unit, xavier_uniform};
