//! The losses of MoECLIP (arXiv 2603.03101): segmentation, image, and what keeps the experts apart.

mod etf;

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Tensor, backend::Backend};

pub use etf::{etf, output_cosines, similarity};

/// Keeps the ratio of [`balance`] finite when no expert has any load.
const BALANCE_EPSILON: f64 = 1e-6;

/// Load balance: the squared coefficient of variation of the experts' summed probability. Zero when
/// every expert carries the same load.
///
/// # Shapes
///
/// - probabilities: `[tokens, experts]`, the router's softmax; at least two experts
/// - output: `[1]`
pub fn balance<B: Backend>(probabilities: Tensor<B, 2>) -> Tensor<B, 1> {
    let [_, experts] = probabilities.dims();
    let load = probabilities.sum_dim(0);
    let mean = load.clone().mean_dim(1);
    // The variance itself, so that its root needs no slope at an even load.
    let variance = (load - mean.clone()).square().sum_dim(1).div_scalar((experts - 1) as f64);
    (variance / (mean + BALANCE_EPSILON).square()).reshape([1])
}

/// Keeps the overlap of two empty maps at one.
const DICE_SMOOTH: f64 = 1.0;

/// Soft dice loss: one minus the overlap of a probability map and its target, averaged over the batch
/// and summed over maps.
///
/// # Shapes
///
/// - probability: `[batch, maps, height, width]`
/// - target: `[batch, 1, height, width]`
/// - output: `[1]`
pub fn dice<B: Backend>(probability: Tensor<B, 4>, target: Tensor<B, 4>) -> Tensor<B, 1> {
    let [batch, maps, height, width] = probability.dims();
    let probability = probability.reshape([batch, maps, height * width]);
    let target = target.reshape([batch, height * width, 1]);
    // A product of matrices: a target shared by all maps, multiplied and summed, would be copied for each.
    let overlap = probability.clone().matmul(target.clone()).mul_scalar(2.0) + DICE_SMOOTH;
    let total = probability.sum_dim(2) + target.sum_dim(1) + DICE_SMOOTH;
    (overlap / total).neg().add_scalar(1.0).mean().mul_scalar(maps as f64)
}

/// How strongly easy pixels are discounted.
const FOCAL_GAMMA: i32 = 2;

/// Labels lie in `[LABEL_SMOOTH, 1 - LABEL_SMOOTH]`, and no logarithm sees less than this.
const LABEL_SMOOTH: f64 = 1e-5;

/// Mean focal loss (Lin et al. 2017) of two-class maps, with smoothed labels.
///
/// Both probabilities are asked for, although they sum to one: where the anomalous one rounds to 1,
/// the normal one still has all its digits, and the gradient there is the largest of all.
///
/// # Shapes
///
/// - normal, abnormal: `[batch, maps, height, width]`, probabilities
/// - mask: `[batch, 1, height, width]`, 1 where anomalous
/// - output: `[1]`, summed over maps, averaged over all else
pub fn focal<B: Backend>(
    normal: Tensor<B, 4>,
    abnormal: Tensor<B, 4>,
    mask: Tensor<B, 4>,
) -> Tensor<B, 1> {
    let [_, maps, _, _] = abnormal.dims();
    let target = mask.clone().clamp(LABEL_SMOOTH, 1.0 - LABEL_SMOOTH);
    let other = mask.neg().add_scalar(1.0).clamp(LABEL_SMOOTH, 1.0 - LABEL_SMOOTH);
    let labelled = other * normal + target * abnormal + LABEL_SMOOTH;
    let discount = labelled.clone().neg().add_scalar(1.0).powi_scalar(FOCAL_GAMMA);
    (discount * labelled.log()).mean().neg().mul_scalar(maps as f64)
}

/// Cross-entropy of the image against the two state texts, written on the difference of their logits:
/// `-log sigmoid(±d)`.
///
/// # Shapes
///
/// - difference: `[batch]`, the anomalous logit minus the normal one
/// - label: `[batch]`, 1 where the image is anomalous, 0 where it is normal
/// - output: `[1]`
pub fn image_cross_entropy<B: Backend>(
    difference: Tensor<B, 1>,
    label: Tensor<B, 1>,
) -> Tensor<B, 1> {
    let sign = label.mul_scalar(2.0).sub_scalar(1.0);
    log_sigmoid(difference * sign).mean().neg()
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn an_even_load_costs_nothing_one_busy_expert_costs_the_number_of_experts() {
        let device = Default::default();
        let even: f32 = balance(Tensor::<Flex, 2>::full([8, 4], 0.25, &device)).into_scalar();
        assert!(even.abs() < 1e-9);
        let busy = Tensor::<Flex, 2>::from_floats([[1.0, 0.0, 0.0, 0.0]], &device);
        let busy: f32 = balance(busy).into_scalar();
        assert!((busy - 4.0).abs() < 1e-4, "std 0.5, mean 0.25: (0.5 / 0.25)^2 = 4, found {busy}");
    }

    #[test]
    fn full_overlap_costs_nothing_and_none_costs_nearly_one_per_map() {
        let device = Default::default();
        let mask = Tensor::<Flex, 4>::ones([1, 1, 10, 10], &device);
        let both = mask.clone().expand([1, 2, 10, 10]);
        let full: f32 = dice(both.clone(), mask.clone()).into_scalar();
        let none: f32 = dice(both.zeros_like(), mask).into_scalar();
        assert!(full.abs() < 1e-6);
        assert!((none - 2.0 * (1.0 - 1.0 / 101.0)).abs() < 1e-5);
    }

    #[test]
    fn a_sure_and_right_map_costs_nothing_a_sure_and_wrong_one_much() {
        let device = Default::default();
        let mask = Tensor::<Flex, 4>::from_floats([[[[0.0, 1.0]]]], &device);
        let opposite = mask.clone().neg().add_scalar(1.0);
        let right: f32 = focal(opposite.clone(), mask.clone(), mask.clone()).into_scalar();
        let wrong: f32 = focal(mask.clone(), opposite, mask).into_scalar();
        assert!(right.abs() < 1e-6, "{right}");
        assert!((wrong - 10.82).abs() < 0.1, "-ln(2e-5) = 10.82, found {wrong}");
    }

    #[test]
    fn it_is_the_cross_entropy_of_two_logits() {
        let device = Default::default();
        let difference = Tensor::<Flex, 1>::from_floats([0.3, -1.2], &device);
        let label = Tensor::<Flex, 1>::from_floats([1.0, 0.0], &device);
        let loss: f32 = image_cross_entropy(difference, label).into_scalar();
        let expected = ((1.0 + (-0.3f32).exp()).ln() + (1.0 + (-1.2f32).exp()).ln()) / 2.0;
        assert!((loss - expected).abs() < 1e-6);
    }
}
