//! Focal loss on anomaly probabilities (Lin et al. 2017), with smoothed labels.

use burn::tensor::{Tensor, backend::Backend};

/// How strongly easy pixels are discounted.
const GAMMA: i32 = 2;

/// Labels lie in `[SMOOTH, 1 - SMOOTH]`, and no logarithm sees less than this.
const SMOOTH: f64 = 1e-5;

/// Mean focal loss of two-class maps.
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
    let target = mask.clone().clamp(SMOOTH, 1.0 - SMOOTH);
    let other = mask.neg().add_scalar(1.0).clamp(SMOOTH, 1.0 - SMOOTH);
    let labelled = other * normal + target * abnormal + SMOOTH;
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
        let opposite = mask.clone().neg().add_scalar(1.0);
        let right: f32 = focal(opposite.clone(), mask.clone(), mask.clone()).into_scalar();
        let wrong: f32 = focal(mask.clone(), opposite, mask).into_scalar();
        assert!(right.abs() < 1e-6, "{right}");
        assert!((wrong - 10.82).abs() < 0.1, "-ln(2e-5) = 10.82, found {wrong}");
    }
}
