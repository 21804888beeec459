//! Cross-entropy of the image against the two state texts.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Tensor, backend::Backend};

/// Cross-entropy over two logits, written on their difference: `-log sigmoid(±d)`.
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
    fn it_is_the_cross_entropy_of_two_logits() {
        let device = Default::default();
        let difference = Tensor::<Flex, 1>::from_floats([0.3, -1.2], &device);
        let label = Tensor::<Flex, 1>::from_floats([1.0, 0.0], &device);
        let loss: f32 = image_cross_entropy(difference, label).into_scalar();
        let expected = ((1.0 + (-0.3f32).exp()).ln() + (1.0 + (-1.2f32).exp()).ln()) / 2.0;
        assert!((loss - expected).abs() < 1e-6);
    }
}
