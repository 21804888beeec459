//! The image head as a value: the paper's, or a plain one in an ablation.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{DepthwiseHead, LinearHead};

/// Which head makes one vector of a whole image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageHeadKind {
    /// The paper's: a depthwise-separable convolution along the patches.
    #[default]
    Depthwise,
    /// One linear projection of each patch.
    Linear,
}

impl ImageHeadKind {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Depthwise => "depthwise",
            Self::Linear => "linear",
        }
    }
}

/// One vector for a whole image.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum ImageHead<B: Backend> {
    /// A depthwise-separable convolution along the patches.
    Depthwise(DepthwiseHead<B>),
    /// One linear projection of each patch.
    Linear(LinearHead<B>),
}

impl<B: Backend> ImageHead<B> {
    /// What training starts from.
    pub fn init(
        kind: ImageHeadKind,
        width: usize,
        embed: usize,
        rng: &mut impl Rng,
        device: &B::Device,
    ) -> Self {
        match kind {
            ImageHeadKind::Depthwise => {
                Self::Depthwise(DepthwiseHead::init(width, embed, rng, device))
            }
            ImageHeadKind::Linear => Self::Linear(LinearHead::init(width, embed, rng, device)),
        }
    }

    /// # Shapes
    ///
    /// - patches: `[batch, patches, width]`
    /// - output: `[batch, embed]`, the mean of unit vectors
    pub fn forward(&self, patches: Tensor<B, 3>) -> Tensor<B, 2> {
        match self {
            Self::Depthwise(head) => head.forward(patches),
            Self::Linear(head) => head.forward(patches),
        }
    }
}
