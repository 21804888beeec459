//! From logits on the patch grid to maps at the image's size.
//!
//! A softmax over two states behind a linear resize is a sigmoid of their resized difference, so one channel is
//! resized, not two.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::ClipSpec;
use grid_resample::{AxisMatrix, Border, GridResampler};
use moeclip::TrainingMaps;

use crate::adaclip::AdaClipSettings;
use crate::adaclip::fusion::mean_of_taps;

/// Standard deviations that the blur reaches to either side.
const BLUR_REACH: f64 = 4.0;

/// Brings maps to the image's size, and blurs them there.
#[derive(Module, Debug)]
pub struct AdaClipMaps<B: Backend> {
    upsample: GridResampler<B>,
    blur: GridResampler<B>,
    grid: usize,
}

impl<B: Backend> AdaClipMaps<B> {
    /// Resampling as the settings have it: bilinear with aligned corners, and a Gaussian in pixels of the
    /// image whose border repeats the outermost ones.
    pub fn new(settings: &AdaClipSettings, clip: &ClipSpec, device: &B::Device) -> Self {
        let (grid, size, sigma) = (settings.grid(clip), settings.image_size, settings.blur_sigma);
        let reach = (BLUR_REACH * sigma).round() as usize;
        let blur = AxisMatrix::gaussian_blur(size, 2 * reach + 1, sigma, Border::Symmetric);
        let upsample = AxisMatrix::bilinear_aligned(grid, size);
        Self {
            upsample: GridResampler::new(&upsample, device),
            blur: GridResampler::new(&blur, device),
            grid,
        }
    }

    /// Probabilities of both states for each tap, as training takes them.
    ///
    /// # Shapes
    ///
    /// - logits: each tap's `[batch, patches, 2]`
    /// - output: each `[batch, taps, image_size, image_size]`
    pub fn of_taps(&self, logits: &[Tensor<B, 3>]) -> TrainingMaps<B> {
        let differences = logits.iter().map(|tap| self.difference(tap.clone())).collect();
        let difference = self.upsample.maps(Tensor::cat(differences, 1));
        TrainingMaps { normal: sigmoid(difference.clone().neg()), abnormal: sigmoid(difference) }
    }

    /// The anomaly map before its blur, from the mean of the taps' logits. The blur stands behind the softmax,
    /// so that resize and blur are not one matrix.
    ///
    /// # Shapes
    ///
    /// - logits: each tap's `[batch, patches, 2]`
    /// - output: `[batch, 1, image_size, image_size]`
    pub fn sharp(&self, logits: &[Tensor<B, 3>]) -> Tensor<B, 4> {
        sigmoid(self.upsample.maps(self.difference(mean_of_taps(logits))))
    }

    /// Blurs maps.
    ///
    /// # Shapes
    ///
    /// - maps: `[batch, maps, image_size, image_size]`
    /// - output: `[batch, maps, image_size, image_size]`
    pub fn blurred(&self, maps: Tensor<B, 4>) -> Tensor<B, 4> {
        self.blur.maps(maps)
    }

    /// The map on the patch grid, for a look: the anomaly map is not made from it.
    ///
    /// # Shapes
    ///
    /// - logits: each tap's `[batch, patches, 2]`
    /// - output: `[batch, 1, grid, grid]`
    pub fn on_grid(&self, logits: &[Tensor<B, 3>]) -> Tensor<B, 4> {
        sigmoid(self.difference(mean_of_taps(logits)))
    }

    /// By how much the abnormal logit is higher, `[batch, patches, 2]` to `[batch, 1, grid, grid]`.
    fn difference(&self, logits: Tensor<B, 3>) -> Tensor<B, 4> {
        let [batch, _, _] = logits.dims();
        let difference = logits.clone().narrow(2, 1, 1) - logits.narrow(2, 0, 1);
        difference.reshape([batch, 1, self.grid, self.grid])
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use clip_vit::ClipSpecBuilder;

    use super::*;

    #[test]
    fn the_blur_neither_adds_nor_takes() {
        let clip = ClipSpecBuilder::new().vision(7, 3, 8, 1).build().unwrap();
        let settings = AdaClipSettings { image_size: 21, ..AdaClipSettings::default() };
        let device = Default::default();
        let maps = AdaClipMaps::<Flex>::new(&settings, &clip, &device);
        let mut logits = vec![0.0; 18];
        logits[9] = 3.0;
        let logits = Tensor::<Flex, 1>::from_floats(logits.as_slice(), &device).reshape([1, 9, 2]);
        let sharp = maps.sharp(&[logits]);
        let blurred = maps.blurred(sharp.clone());
        let sum = |maps: Tensor<Flex, 4>| maps.sum().into_scalar();
        assert!((sum(sharp.clone()) / sum(blurred.clone()) - 1.0).abs() < 1e-5);
        let peak = |maps: Tensor<Flex, 4>| maps.max().into_scalar();
        assert!(peak(blurred) < peak(sharp));
    }
}
