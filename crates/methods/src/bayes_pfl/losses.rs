//! What both training stages minimise, with the release's own forms of focal and dice loss.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, backend::Backend};
use moeclip_losses::image_cross_entropy;

use super::flow::FlowSamples;
use super::maps::{PairMaps, image_differences};
use super::model::{PromptFlowOutput, PromptFlowSamples};
use super::{BayesPflConfig, BayesPflStage, LogDeterminant};

/// Keeps logarithms of probabilities, and means of no pixels, finite.
const FOCAL_EPSILON: f64 = 1e-8;

/// Keeps the overlap of two empty maps at one.
const DICE_SMOOTH: f64 = 1e-5;

/// What a step of training learns from besides the images themselves.
#[derive(Debug, Clone)]
pub struct Targets<B: Backend> {
    /// `[batch, 1, image_size, image_size]`, 1 where anomalous.
    pub masks: Tensor<B, 4>,
    /// `[batch]`, 1 where the image is anomalous.
    pub labels: Tensor<B, 1>,
    /// The one prompt of the bank whose maps and image logits the step looks at.
    pub prompt: usize,
}

/// The terms of a loss, each `[1]`.
#[derive(Debug, Clone)]
pub struct BayesPflLosses<B: Backend> {
    /// Cross-entropy of the images.
    pub classification: Tensor<B, 1>,
    /// Focal loss of the maps, summed over taps.
    pub focal: Tensor<B, 1>,
    /// Dice loss of the maps, summed over taps.
    pub dice: Tensor<B, 1>,
    /// How far the image's distribution is from a standard normal one.
    pub kl_context: Tensor<B, 1>,
    /// The same for the normal state's.
    pub kl_normal: Tensor<B, 1>,
    /// The same for the abnormal state's.
    pub kl_abnormal: Tensor<B, 1>,
    /// How alike the prompts of the bank are.
    pub orthogonal: Tensor<B, 1>,
    /// What is minimised.
    pub total: Tensor<B, 1>,
}

impl<B: Backend> BayesPflLosses<B> {
    /// The losses of a batch whose forward pass drew one sample of each distribution.
    pub fn of(
        output: &PromptFlowOutput<B>,
        targets: &Targets<B>,
        maps: &PairMaps<B>,
        config: &BayesPflConfig,
        stage: BayesPflStage,
    ) -> Self {
        let Targets { masks, labels, prompt } = targets;
        let images = image_differences(output.alignment.image_logits.clone());
        let images = images.narrow(1, *prompt, 1).squeeze_dim(1);
        let classification = image_cross_entropy(images, labels.clone());
        let zero = || Tensor::zeros([1], &classification.device());
        let taps = output.alignment.taps.iter();
        let taps = taps.map(|tap| maps.pair_difference(tap.logits.clone(), *prompt));
        let (focal, dice) = taps.fold((zero(), zero()), |(focal, dice), difference| {
            let abnormal = sigmoid(difference.clone());
            (focal + balanced_focal(difference, masks), dice + batch_dice(abnormal, masks))
        });
        let PromptFlowSamples { context, normal, abnormal } = &output.samples;
        let share = match config.log_det {
            LogDeterminant::OverBatch => (labels.dims()[0] as f64).recip(),
            LogDeterminant::Whole => 1.0,
        };
        let (kl_context, kl_normal, kl_abnormal) =
            (divergence(context, 1.0), divergence(normal, share), divergence(abnormal, share));
        let orthogonal = orthogonal(&output.text);
        let total = match stage {
            BayesPflStage::One => {
                let divergences = kl_context.clone() + kl_normal.clone() + kl_abnormal.clone();
                let segmentation = focal.clone() + dice.clone();
                let kl = divergences.mul_scalar(config.kl_weight);
                classification.clone() + segmentation + kl + orthogonal.clone()
            }
            BayesPflStage::Two => classification.clone(),
        };
        Self { classification, focal, dice, kl_context, kl_normal, kl_abnormal, orthogonal, total }
    }

    /// All of them but the total, by the reference's names.
    pub fn terms(&self) -> [(&'static str, &Tensor<B, 1>); 7] {
        [
            ("classification", &self.classification),
            ("focal", &self.focal),
            ("dice", &self.dice),
            ("kl_context", &self.kl_context),
            ("kl_normal", &self.kl_normal),
            ("kl_abnormal", &self.kl_abnormal),
            ("orthogonal", &self.orthogonal),
        ]
    }
}

/// The divergence of a distribution from the standard normal one, by one sample, without constants:
/// `log q(z_0) - log N(z_K) - log |det|`, averaged over the batch. `share` weighs the last term.
///
/// # Shapes
///
/// - output: `[1]`
pub fn divergence<B: Backend>(samples: &FlowSamples<B>, share: f64) -> Tensor<B, 1> {
    let one = |samples: &Tensor<B, 3>| samples.clone().narrow(1, 0, 1).squeeze_dim::<2>(1);
    let FlowSamples { mean, variance, first, last, log_det } = samples;
    let distance = (one(first) - mean.clone()).square() / variance.clone();
    let base = (variance.clone().log() + distance).sum_dim(1).mul_scalar(-0.5);
    let prior = one(last).square().sum_dim(1).mul_scalar(0.5);
    (base + prior - log_det.clone().narrow(1, 0, 1).mul_scalar(share)).mean()
}

/// The mean squared cosine between two different prompts of a state's bank, summed over the states; a
/// prompt beside itself counts as zero in the mean.
///
/// # Shapes
///
/// - text: `[batch, 2 * bank, embed]`, unit
/// - output: `[1]`
pub fn orthogonal<B: Backend>(text: &Tensor<B, 3>) -> Tensor<B, 1> {
    let bank = text.dims()[1] / 2;
    let others = Tensor::<B, 2>::eye(bank, &text.device()).neg().add_scalar(1.0).unsqueeze();
    let state = |first| {
        let text = text.clone().narrow(1, first, bank);
        let cosines = text.clone().matmul(text.swap_dims(1, 2));
        (cosines.square() * others.clone()).mean()
    };
    state(0) + state(bank)
}

/// Focal loss (Lin et al. 2017, gamma 2) of which anomalous and normal pixels are averaged apart, then
/// added, however few there are of either.
///
/// # Shapes
///
/// - difference: `[batch, 1, height, width]`, the abnormal logit minus the normal one
/// - masks: `[batch, 1, height, width]`, 1 where anomalous
/// - output: `[1]`
pub fn balanced_focal<B: Backend>(difference: Tensor<B, 4>, masks: &Tensor<B, 4>) -> Tensor<B, 1> {
    let sign = masks.clone().greater_elem(0.0).float().mul_scalar(2.0).sub_scalar(1.0);
    let labelled = sigmoid(difference.clone() * sign.clone());
    let other = sigmoid((difference * sign).neg());
    let loss = other.square() * labelled.add_scalar(FOCAL_EPSILON).log().neg();
    let mean = |weights: Tensor<B, 4>| {
        (loss.clone() * weights.clone()).sum() / weights.sum().add_scalar(FOCAL_EPSILON)
    };
    mean(masks.clone()) + mean(masks.clone().neg().add_scalar(1.0))
}

/// Soft dice loss of the abnormal state with one overlap for the whole batch.
///
/// # Shapes
///
/// - abnormal, masks: `[batch, 1, height, width]`
/// - output: `[1]`
pub fn batch_dice<B: Backend>(abnormal: Tensor<B, 4>, masks: &Tensor<B, 4>) -> Tensor<B, 1> {
    let overlap = (abnormal.clone() * masks.clone()).sum().mul_scalar(2.0).add_scalar(DICE_SMOOTH);
    let total = (abnormal.sum() + masks.clone().sum()).add_scalar(DICE_SMOOTH);
    (overlap / total).neg().add_scalar(1.0)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn one_anomalous_pixel_counts_as_much_as_all_normal_ones() {
        let device = Default::default();
        let masks = Tensor::<Flex, 4>::from_floats([[[[1.0, 0.0, 0.0, 0.0]]]], &device);
        let unsure = Tensor::zeros([1, 1, 1, 4], &device);
        let loss: f32 = balanced_focal(unsure, &masks).into_scalar();
        assert!((loss - 2.0 * 0.25 * 2.0f32.ln()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn full_overlap_costs_nothing() {
        let masks = Tensor::<Flex, 4>::ones([2, 1, 3, 3], &Default::default());
        let loss: f32 = batch_dice(masks.clone(), &masks).into_scalar();
        assert!(loss.abs() < 1e-6, "{loss}");
    }

    #[test]
    fn equal_prompts_cost_all_but_their_own_place() {
        let text = Tensor::<Flex, 3>::from_floats(
            [[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]],
            &Default::default(),
        );
        let loss: f32 = orthogonal(&text).into_scalar();
        assert_eq!(loss, 0.5, "the normal pair is equal, the abnormal one apart");
    }
}
