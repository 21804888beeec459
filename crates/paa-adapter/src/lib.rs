//! Patch average aggregation and the heads that turn adapted tokens into joint features (MoECLIP,
//! arXiv 2603.03101).
//!
//! [`PatchAverage`] averages patches over windows of several scales, [`UnitProjection`] maps a tap's
//! patches into the joint embedding, and [`DepthwiseHead`] makes one vector of a whole image.

mod average;
mod depthwise;
mod init;
mod projection;
mod unit;

pub use average::{PatchAverage, ScaleError, check_scales};
pub use depthwise::{DepthwiseHead, DepthwiseHeadWeights};
pub use init::xavier_uniform;
pub use projection::UnitProjection;
pub use unit::unit;
