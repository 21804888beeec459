//! Maps of both states from unit patch features, where logits are resized first and the softmax is taken
//! per pixel: APRIL-GAN's way, which others took up.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use grid_resample::{AxisMatrix, GridResampler};
use moeclip::{TextFeatures, TrainingMaps};

/// Compares patches with directions and brings maps from the patch grid to the image's size.
#[derive(Module, Debug)]
pub struct StateMaps<B: Backend> {
    upsample: GridResampler<B>,
    grid: usize,
    scale: f64,
}

impl<B: Backend> StateMaps<B> {
    /// From `grid` patches to `image_size` pixels a side, bilinear with aligned corners; cosines are
    /// multiplied by `scale`.
    pub fn new(grid: usize, image_size: usize, scale: f64, device: &B::Device) -> Self {
        let upsample = AxisMatrix::bilinear_aligned(grid, image_size);
        Self { upsample: GridResampler::new(&upsample, device), grid, scale }
    }

    /// The scaled cosine of each patch to a direction.
    ///
    /// # Shapes
    ///
    /// - patches: `[batch, patches, embed]`, unit
    /// - direction: `[1, embed]`, or one row per image
    /// - output: `[batch, 1, grid, grid]`
    pub fn grid_logits(&self, patches: &Tensor<B, 3>, direction: Tensor<B, 2>) -> Tensor<B, 4> {
        let logits = patches.clone().matmul(direction.unsqueeze_dim::<3>(2));
        self.on_grid(logits.mul_scalar(self.scale).squeeze_dim(2))
    }

    /// One value per patch as a map.
    ///
    /// # Shapes
    ///
    /// - values: `[batch, patches]`
    /// - output: `[batch, 1, grid, grid]`
    pub fn on_grid(&self, values: Tensor<B, 2>) -> Tensor<B, 4> {
        let [batch, _] = values.dims();
        values.reshape([batch, 1, self.grid, self.grid])
    }

    /// Probabilities of both states per pixel, one map for each tap. A softmax over two channels behind
    /// a linear resize is the sigmoid of their resized difference; the normal state is the sigmoid of
    /// its negative, so that neither loses its digits where the other is nearly one.
    ///
    /// # Shapes
    ///
    /// - patches: each `[batch, patches, embed]`, unit
    /// - text: one row for all, or one per image
    pub fn probabilities(
        &self,
        patches: &[Tensor<B, 3>],
        text: &TextFeatures<B>,
    ) -> TrainingMaps<B> {
        let logits = |patches| self.grid_logits(patches, text.difference());
        let difference = self.upsample(Tensor::cat(patches.iter().map(logits).collect(), 1));
        TrainingMaps { normal: sigmoid(difference.clone().neg()), abnormal: sigmoid(difference) }
    }

    /// Maps at the image's size.
    ///
    /// # Shapes
    ///
    /// - maps: `[batch, maps, grid, grid]`
    /// - output: `[batch, maps, image_size, image_size]`
    pub fn upsample(&self, maps: Tensor<B, 4>) -> Tensor<B, 4> {
        self.upsample.maps(maps)
    }

    /// The probability of the abnormal state of whole images.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, embed]`, unit
    /// - text: one row for all, or one per image
    /// - output: `[batch]`
    pub fn image_probability(&self, images: Tensor<B, 2>, text: &TextFeatures<B>) -> Tensor<B, 1> {
        let difference = (images * text.difference()).sum_dim(1).squeeze_dim::<1>(1);
        sigmoid(difference.mul_scalar(self.scale))
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::activation::softmax;
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    #[test]
    fn one_channel_says_what_a_softmax_over_two_says() {
        let device = Default::default();
        let random = |shape: [usize; 3]| {
            Tensor::<Flex, 3>::random(shape, Distribution::Normal(0.0, 0.2), &device)
        };
        let maps = StateMaps::new(3, 7, 10.0, &device);
        let patches = random([2, 9, 4]);
        let [normal, abnormal] = [0, 1].map(|_| random([1, 1, 4]).squeeze_dim::<2>(0));
        let text = TextFeatures { normal: normal.clone(), abnormal: abnormal.clone() };
        let both = [normal, abnormal].map(|direction| maps.grid_logits(&patches, direction));
        let both = softmax(maps.upsample(Tensor::cat(both.to_vec(), 1)), 1);
        let ours = maps.probabilities(&[patches], &text);
        let ours = Tensor::cat(vec![ours.normal, ours.abnormal], 1);
        ours.into_data().assert_approx_eq::<f32>(&both.into_data(), Tolerance::absolute(1e-5));
    }
}
