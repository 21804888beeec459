//! Focal loss on anomaly probabilities (Lin et al. 2017), with smoothed labels.

use burn::tensor::{Tensor, backend::Backend};

/// How strongly easy pixels are discounted.
const GAMMA: i32 = 2;

/// Labels lie in `[SMOOTH, 1 - SMOOTH]`, and no logarithm sees less than this.
const SMOOTH: f64 = 1e-5;

/// Mean focal loss of a two-class map, of which only the anomalous class is given.
///
/// # Shapes
///
/// - probability: `[batch, maps, height, width]`, of the anomalous class
/// - mask: `[batch, 1, height, width]`, 1 where anomalous
/// - output: `[1]`, summed over maps, averaged over all else
pub fn focal<B: Backend>(probability: Tensor<B, 4>, mask: Tensor<B, 4>) -> Tensor<B, 1> {
    let [_, maps, _, _] = probability.dims();
    let target = mask.clone().clamp(SMOOTH, 1.0 - SMOOTH);
    let other = mask.neg().add_scalar(1.0).clamp(SMOOTH, 1.0 - SMOOTH);
    // other (1 - p) + target p, the probability of the labelled class
    let labelled = other.clone() + (target - other) * probability + SMOOTH;
    let discount = labelled.clone().neg().add_scalar(1.0).powi_scalar(GAMMA);
    (discount * labelled.log()).mean().neg().mul_scalar(maps as f64)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn a_sure_and_right_map_costs_nothing_a_sure_and_wrong_one_much() {
        let device = Default::default();
        let mask = Tensor::<Flex, 4>::from_floats([[[[0.0, 1.0]]]], &device);
        let right: f32 = focal(mask.clone(), mask.clone()).into_scalar();
        let wrong: f32 = focal(mask.clone().neg().add_scalar(1.0), mask).into_scalar();
        assert!(right.abs() < 1e-6, "{right}");
        assert!((wrong - 10.82).abs() < 0.1, "-ln(2e-5) = 10.82, found {wrong}");
    }
}
