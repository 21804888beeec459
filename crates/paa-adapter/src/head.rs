//! The image head, which makes one vector of a whole image: the paper's depthwise-separable
//! convolution along the patches, or in an ablation a linear one that does not look along them.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Tensor, backend::Backend};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{UnitProjection, unit, xavier_uniform};

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

/// Length of the depthwise kernel, in patches.
const KERNEL: usize = 3;

/// Layer normalisation, depthwise convolution, GELU, pointwise map, unit, mean.
#[derive(Module, Debug)]
pub struct DepthwiseHead<B: Backend> {
    /// Normalisation of the tokens that come in.
    pub norm: LayerNorm<B>,
    /// `[width, 1, kernel]`
    pub depthwise: Param<Tensor<B, 3>>,
    /// `[embed, width]`
    pub pointwise: Param<Tensor<B, 2>>,
}

/// The tensors of a head.
#[derive(Debug, Clone)]
pub struct DepthwiseHeadWeights<B: Backend> {
    /// `[width]`
    pub norm_weight: Tensor<B, 1>,
    /// `[width]`
    pub norm_bias: Tensor<B, 1>,
    /// `[width, 1, kernel]`
    pub depthwise: Tensor<B, 3>,
    /// `[embed, width]`
    pub pointwise: Tensor<B, 2>,
}

impl<B: Backend> DepthwiseHead<B> {
    /// Convolutions Xavier uniform, normalisation at rest, as training starts.
    pub fn init(width: usize, embed: usize, rng: &mut impl Rng, device: &B::Device) -> Self {
        // PyTorch counts a depthwise kernel's fans per group: in 1 * k, out width * k.
        let depthwise = xavier_uniform([width, 1, KERNEL], KERNEL, width * KERNEL, rng);
        let pointwise = xavier_uniform([embed, width], width, embed, rng);
        Self::with_weights(DepthwiseHeadWeights {
            norm_weight: Tensor::ones([width], device),
            norm_bias: Tensor::zeros([width], device),
            depthwise: Tensor::from_data(depthwise, device),
            pointwise: Tensor::from_data(pointwise, device),
        })
    }

    /// The head of given tensors.
    pub fn with_weights(weights: DepthwiseHeadWeights<B>) -> Self {
        let DepthwiseHeadWeights { norm_weight, norm_bias, depthwise, pointwise } = weights;
        Self {
            norm: layer_norm(norm_weight, norm_bias),
            depthwise: Param::from_tensor(depthwise),
            pointwise: Param::from_tensor(pointwise),
        }
    }

    /// # Shapes
    ///
    /// - patches: `[batch, patches, width]`
    /// - output: `[batch, embed]`, the mean of unit vectors
    pub fn forward(&self, patches: Tensor<B, 3>) -> Tensor<B, 2> {
        let hidden = gelu(self.convolve(self.norm.forward(patches)));
        let features = unit(hidden.matmul(self.pointwise.val().transpose().unsqueeze()));
        features.mean_dim(1).squeeze_dim(1)
    }

    /// Depthwise convolution along the patches as a sum of shifted sequences, zeros beyond the ends.
    fn convolve(&self, patches: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, count, width] = patches.dims();
        let kernel = self.depthwise.val();
        let [_, _, taps] = kernel.dims();
        let margin = Tensor::zeros([batch, taps / 2, width], &patches.device());
        let padded = Tensor::cat(vec![margin.clone(), patches, margin], 1);
        let shifted = |tap: usize| {
            let weight = kernel.clone().narrow(2, tap, 1).reshape([1, 1, width]);
            padded.clone().narrow(1, tap, count) * weight
        };
        (1..taps).fold(shifted(0), |sum, tap| sum + shifted(tap))
    }
}

/// Layer normalisation of given weight and bias, `[width]` each.
fn layer_norm<B: Backend>(weight: Tensor<B, 1>, bias: Tensor<B, 1>) -> LayerNorm<B> {
    let [width] = weight.dims();
    let mut norm = LayerNormConfig::new(width).with_epsilon(1e-5).init(&weight.device());
    norm.gamma = Param::from_tensor(weight);
    norm.beta = Some(Param::from_tensor(bias));
    norm
}

/// GELU by `erf`: the slope of Burn's own is that of its tanh approximation on some backends.
fn gelu<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 3> {
    let share = x.clone().mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5);
    x * share
}

/// Layer normalisation, one linear projection of each patch, unit, mean.
#[derive(Module, Debug)]
pub struct LinearHead<B: Backend> {
    /// Normalisation of the tokens that come in.
    pub norm: LayerNorm<B>,
    /// Every patch into the joint embedding.
    pub projection: UnitProjection<B>,
}

/// The tensors of a head.
#[derive(Debug, Clone)]
pub struct LinearHeadWeights<B: Backend> {
    /// `[width]`
    pub norm_weight: Tensor<B, 1>,
    /// `[width]`
    pub norm_bias: Tensor<B, 1>,
    /// `[embed, width]`
    pub projection: Tensor<B, 2>,
}

impl<B: Backend> LinearHead<B> {
    /// The projection Xavier uniform, normalisation at rest, as training starts.
    pub fn init(width: usize, embed: usize, rng: &mut impl Rng, device: &B::Device) -> Self {
        let (weight, bias) = (Tensor::ones([width], device), Tensor::zeros([width], device));
        let projection = UnitProjection::init(width, embed, rng, device);
        Self { norm: layer_norm(weight, bias), projection }
    }

    /// The head of given tensors.
    pub fn with_weights(weights: LinearHeadWeights<B>) -> Self {
        let LinearHeadWeights { norm_weight, norm_bias, projection } = weights;
        let norm = layer_norm(norm_weight, norm_bias);
        Self { norm, projection: UnitProjection::with_weight(projection) }
    }

    /// # Shapes
    ///
    /// - patches: `[batch, patches, width]`
    /// - output: `[batch, embed]`, the mean of unit vectors
    pub fn forward(&self, patches: Tensor<B, 3>) -> Tensor<B, 2> {
        self.projection.forward(self.norm.forward(patches)).mean_dim(1).squeeze_dim(1)
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Flex, NdArray};
    use burn::tensor::module::conv1d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Distribution, Int, Tolerance};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::DepthwiseHead;

    fn check<B: Backend>() {
        let device = Default::default();
        let head = DepthwiseHead::<B>::init(8, 5, &mut ChaCha8Rng::seed_from_u64(3), &device);
        let patches = Tensor::<B, 3>::random([2, 9, 8], Distribution::Default, &device);
        let options = ConvOptions::new([1], [1], [1], 8);
        let expected = conv1d(patches.clone().swap_dims(1, 2), head.depthwise.val(), None, options);
        let expected = expected.swap_dims(1, 2).into_data();
        let shifted = head.convolve(patches.clone()).into_data();
        shifted.assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-5));
        let lengths = head.forward(patches).square().sum_dim(1).into_data();
        assert!(lengths.to_vec::<f32>().unwrap().iter().all(|l| (0.0..=1.0001).contains(l)));
    }

    #[test]
    fn shifted_sums_equal_a_grouped_convolution() {
        check::<Flex>();
        check::<NdArray>();
    }

    fn check_order<B: Backend>() {
        let device = Default::default();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let head = LinearHead::<B>::init(8, 5, &mut rng, &device);
        let depthwise = DepthwiseHead::<B>::init(8, 5, &mut rng, &device);
        let patches = Tensor::<B, 3>::random([2, 9, 8], Distribution::Default, &device);
        let order = Tensor::<B, 1, Int>::from_ints([3, 1, 4, 0, 5, 8, 2, 6, 7], &device);
        let shuffled = patches.clone().select(1, order);
        let near = Tolerance::absolute(1e-5);
        let pooled = head.forward(shuffled.clone()).into_data();
        pooled.assert_approx_eq::<f32>(&head.forward(patches.clone()).into_data(), near);
        let moved = depthwise.forward(shuffled) - depthwise.forward(patches);
        let moved: f32 = moved.abs().max().into_data().iter::<f32>().sum();
        assert!(moved > 1e-3, "only the depthwise head knows who stands beside whom: {moved}");
    }

    #[test]
    fn the_order_of_patches_does_not_matter() {
        check_order::<Flex>();
        check_order::<NdArray>();
    }
}
