//! Maps and losses: the softmax is taken on the patch grid, and probabilities are resized.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use grid_resample::{AxisMatrix, GridResampler};
use moeclip::{TextFeatures, TrainingMaps};
use moeclip_losses::{dice, focal, image_cross_entropy};

use super::{AnomalyClipSettings, TwoPathFeatures};

/// From features to probabilities on the grid, and from there to maps of the image's size.
#[derive(Module, Debug)]
pub struct ProbabilityMaps<B: Backend> {
    upsample: GridResampler<B>,
    /// The upsampling and the blur behind it as one matrix.
    blurred: GridResampler<B>,
    grid: usize,
    temperature: f64,
}

impl<B: Backend> ProbabilityMaps<B> {
    /// From `grid` patches a side to the settings' image size: bilinear, corners not aligned. The blur works
    /// at the image's size; its border mirrors the image and repeats its outermost pixels.
    pub fn new(settings: &AnomalyClipSettings, grid: usize, device: &B::Device) -> Self {
        let &AnomalyClipSettings { image_size, temperature, blur_sigma, .. } = settings;
        let upsample = AxisMatrix::bilinear(grid, image_size);
        Self {
            upsample: GridResampler::new(&upsample, device),
            blurred: GridResampler::new(&upsample.then_blur(blur_sigma), device),
            grid,
            temperature,
        }
    }

    /// Probabilities of both states of every patch. A softmax over two states is the sigmoid of their
    /// difference, and of its negative, so that neither loses its digits where the other is nearly one.
    ///
    /// # Shapes
    ///
    /// - patches: `[batch, patches, embed]` of each tap, unit
    /// - text: one row for all
    /// - output: `[batch, taps, grid, grid]` of each state
    pub fn grid_probabilities(
        &self,
        patches: &[Tensor<B, 3>],
        text: &TextFeatures<B>,
    ) -> TrainingMaps<B> {
        let direction = text.difference().div_scalar(self.temperature).unsqueeze_dim::<3>(2);
        let difference = |patches: &Tensor<B, 3>| {
            let [batch, _, _] = patches.dims();
            let difference = patches.clone().matmul(direction.clone());
            difference.reshape([batch, 1, self.grid, self.grid])
        };
        let difference = Tensor::cat(patches.iter().map(difference).collect(), 1);
        TrainingMaps { normal: sigmoid(difference.clone().neg()), abnormal: sigmoid(difference) }
    }

    /// Probabilities at the image's size, `[batch, taps, image_size, image_size]` of each state.
    pub fn upsample(&self, grid: &TrainingMaps<B>) -> TrainingMaps<B> {
        TrainingMaps {
            normal: self.upsample.maps(grid.normal.clone()),
            abnormal: self.upsample.maps(grid.abnormal.clone()),
        }
    }

    /// The sum of the taps' abnormal probabilities, between 0 and the number of taps. All that follows
    /// the softmax is linear, so the taps are summed first and resized and blurred once.
    ///
    /// # Shapes
    ///
    /// - grid: `[batch, taps, grid, grid]`
    /// - output: `[batch, image_size, image_size]`
    pub fn anomaly_map(&self, grid: &TrainingMaps<B>) -> Tensor<B, 3> {
        self.blurred.maps(grid.abnormal.clone().sum_dim(1)).squeeze_dim(1)
    }

    /// By how much the abnormal state's logit exceeds the normal one's, for whole images: `[batch]`. Its
    /// sigmoid is the image score.
    ///
    /// # Shapes
    ///
    /// - image: `[batch, embed]`, unit
    /// - text: one row for all
    pub fn image_difference(&self, image: Tensor<B, 2>, text: &TextFeatures<B>) -> Tensor<B, 1> {
        let difference = (image * text.difference()).sum_dim(1).squeeze_dim::<1>(1);
        difference.div_scalar(self.temperature)
    }

    /// The losses of a batch.
    ///
    /// # Shapes
    ///
    /// - masks: `[batch, 1, image_size, image_size]`, 1 where anomalous
    /// - labels: `[batch]`, 1 where the image is anomalous
    pub fn losses(
        &self,
        features: &TwoPathFeatures<B>,
        text: &TextFeatures<B>,
        masks: Tensor<B, 4>,
        labels: Tensor<B, 1>,
    ) -> AnomalyClipLosses<B> {
        let difference = self.image_difference(features.image.clone(), text);
        let grid = self.grid_probabilities(&features.patches, text);
        let TrainingMaps { normal, abnormal } = self.upsample(&grid);
        let normal_masks = masks.clone().neg().add_scalar(1.0);
        AnomalyClipLosses {
            image: image_cross_entropy(difference, labels),
            focal: focal(normal.clone(), abnormal.clone(), masks.clone()),
            dice: dice(abnormal, masks) + dice(normal, normal_masks),
        }
    }
}

/// The terms of the loss, `[1]` each.
#[derive(Debug, Clone)]
pub struct AnomalyClipLosses<B: Backend> {
    /// Cross-entropy of whole images.
    pub image: Tensor<B, 1>,
    /// Focal loss, summed over taps.
    pub focal: Tensor<B, 1>,
    /// Dice losses of both states, summed over taps.
    pub dice: Tensor<B, 1>,
}

impl<B: Backend> AnomalyClipLosses<B> {
    /// What is learned from: the image's loss, and those of the maps times their weight.
    pub fn total(&self, map_weight: f64) -> Tensor<B, 1> {
        self.image.clone() + (self.focal.clone() + self.dice.clone()).mul_scalar(map_weight)
    }
}
