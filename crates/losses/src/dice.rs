//! Soft dice loss: one minus the overlap of a probability map and its target.

use burn::tensor::{Tensor, backend::Backend};

/// Keeps the overlap of two empty maps at one.
const SMOOTH: f64 = 1.0;

/// Dice loss, averaged over the batch and summed over maps.
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
    let overlap = probability.clone().matmul(target.clone()).mul_scalar(2.0) + SMOOTH;
    let total = probability.sum_dim(2) + target.sum_dim(1) + SMOOTH;
    (overlap / total).neg().add_scalar(1.0).mean().mul_scalar(maps as f64)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

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
}
