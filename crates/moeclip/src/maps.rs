//! Anomaly maps from patch features: one way for training, one for detecting.
//!
//! Both depend on the text only through `abnormal - normal`, so one channel of logits is all
//! there is: a softmax over two classes is a sigmoid of their difference and one of its negative.

use anomaly::Domain;
use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use grid_resample::{AxisMatrix, GridResampler};

use crate::TextFeatures;

/// CLIP's temperature, as the method fixes it.
pub(crate) const LOGIT_SCALE: f64 = 100.0;

/// Probabilities of both states, for every tap and scale at the image's size.
#[derive(Debug, Clone)]
pub struct TrainingMaps<B: Backend> {
    /// `[batch, maps, image_size, image_size]`
    pub normal: Tensor<B, 4>,
    /// `[batch, maps, image_size, image_size]`
    pub abnormal: Tensor<B, 4>,
}

/// Brings maps from the patch grid to the image's size.
#[derive(Module, Debug)]
pub struct MapResampler<B: Backend> {
    upsample: GridResampler<B>,
    industrial: GridResampler<B>,
    medical: GridResampler<B>,
    grid: usize,
}

impl<B: Backend> MapResampler<B> {
    /// Resampling from `grid` patches to `image_size` pixels a side: bilinear with aligned corners,
    /// for detecting behind the domain's blur on the grid; both multiply into one matrix.
    pub fn new(grid: usize, image_size: usize, device: &B::Device) -> Self {
        let blurred = |domain: Domain| {
            let (window, sigma) = (domain.blur_window(), domain.blur_sigma());
            let axis = AxisMatrix::blurred_bilinear(grid, image_size, window, sigma);
            GridResampler::new(&axis, device)
        };
        let upsample = AxisMatrix::bilinear_aligned(grid, image_size);
        Self {
            upsample: GridResampler::new(&upsample, device),
            industrial: blurred(Domain::Industrial),
            medical: blurred(Domain::Medical),
            grid,
        }
    }

    /// Probabilities of being normal and anomalous: the sigmoid of the logit difference and of its
    /// negative, so that neither loses its digits where the other is nearly one.
    ///
    /// # Shapes
    ///
    /// - patches: each `[batch, patches, embed]`
    /// - text: one row per image, or one for all
    pub fn training_maps(
        &self,
        patches: &[Tensor<B, 3>],
        text: &TextFeatures<B>,
    ) -> TrainingMaps<B> {
        let logits = patches.iter().map(|patches| self.grid_map(patches, text)).collect();
        let difference = self.upsample.maps(Tensor::cat(logits, 1));
        TrainingMaps { normal: sigmoid(difference.clone().neg()), abnormal: sigmoid(difference) }
    }

    /// The anomaly map: `(abnormal + 1 - normal) / 2` of every tap and scale, blurred and summed.
    /// Blur and upsampling are linear, so the maps are summed first and resampled once.
    ///
    /// # Shapes
    ///
    /// - patches: each `[batch, patches, embed]`
    /// - text: one row per image, or one for all
    /// - output: `[batch, image_size, image_size]`
    pub fn anomaly_map(
        &self,
        patches: &[Tensor<B, 3>],
        text: &TextFeatures<B>,
        domain: Domain,
    ) -> Tensor<B, 3> {
        let sum = self.grid_sum(patches, text);
        let resampler = match domain {
            Domain::Industrial => &self.industrial,
            Domain::Medical => &self.medical,
        };
        resampler.maps(sum).squeeze_dim(1)
    }

    /// The anomaly map before it is blurred and resampled, `[batch, 1, grid, grid]`.
    ///
    /// # Shapes
    ///
    /// - patches: each `[batch, patches, embed]`
    /// - text: one row per image, or one for all
    pub fn grid_sum(&self, patches: &[Tensor<B, 3>], text: &TextFeatures<B>) -> Tensor<B, 4> {
        let maps = patches.iter().map(|patches| self.grid_map(patches, text)).collect();
        Tensor::cat(maps, 1).add_scalar(1.0).div_scalar(2.0).sum_dim(1)
    }

    /// Logit difference of each patch, `[batch, 1, grid, grid]`.
    fn grid_map(&self, patches: &Tensor<B, 3>, text: &TextFeatures<B>) -> Tensor<B, 4> {
        let [batch, _, _] = patches.dims();
        let direction = text.difference().unsqueeze_dim::<3>(2);
        let difference = patches.clone().matmul(direction).mul_scalar(LOGIT_SCALE);
        difference.reshape([batch, 1, self.grid, self.grid])
    }
}
