//! One vector for a whole image without looking along the patches: the ablation of the depthwise
//! head.

use burn::module::Module;
use burn::nn::LayerNorm;
use burn::tensor::{Tensor, backend::Backend};
use rand::Rng;

use crate::UnitProjection;
use crate::depthwise::layer_norm;

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
    use burn::tensor::{Distribution, Int, Tolerance};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::DepthwiseHead;

    fn check<B: Backend>() {
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
        check::<Flex>();
        check::<NdArray>();
    }
}
