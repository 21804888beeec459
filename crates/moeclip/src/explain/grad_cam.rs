//! Grad-CAM (Selvaraju et al. 2017) of experts in a mixture.
//!
//! What Grad-CAM calls the feature maps of a layer are here the channels of an expert's contribution to
//! the mixture, `C_n = g_n B_n z_n` for every patch, with routing weight `g_n` and codes `z_n = A_n x`.
//! Its weights are the score's gradient averaged over the patches, `a = mean_p dS/dC`, and its map is
//! `ReLU(a' C_n)`. Since all contributions are added up, the gradient is the same for each of them.
//!
//! The contributions are never built: `a' C_n = (B_n' a)' (g_n z_n)`, and `B_n' a` is the mean gradient
//! of the weighted codes `g_n z_n`, for `B` is the same at every patch.

use burn::tensor::activation::relu;
use burn::tensor::{Tensor, backend::Backend};

/// Grad-CAM of every expert, `[experts, patches]`.
///
/// # Shapes
///
/// - weighted: `g * (A x)`, `[patches, experts * rank]`
/// - gradient: that of the score by `weighted`, as large
pub(super) fn grad_cam<B: Backend>(
    weighted: Tensor<B, 2>,
    gradient: Tensor<B, 2>,
    experts: usize,
) -> Tensor<B, 2> {
    let [patches, stacked] = weighted.dims();
    let channels = weighted * gradient.mean_dim(0);
    let maps = channels.reshape([patches, experts, stacked / experts]).sum_dim(2);
    relu(maps.squeeze_dim::<2>(2).transpose())
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn channels_are_weighed_by_their_mean_gradient_and_negative_sums_are_zero() {
        let device = Default::default();
        let weighted = Tensor::<Flex, 2>::from_floats(
            [[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 1.0, 1.0], [-1.0, 0.0, 0.0, -4.0]],
            &device,
        );
        let gradient = Tensor::from_floats(
            [[3.0, 0.0, 0.0, 0.0], [0.0, 1.5, -3.0, 0.0], [0.0, 0.0, 0.0, -6.0]],
            &device,
        );
        // Means are 1, 0.5, -1 and -2.
        let maps = grad_cam(weighted, gradient, 2).into_data().into_vec::<f32>().unwrap();
        assert_eq!(maps, [2.0, 3.0, 0.0, 0.0, 0.0, 8.0]);
    }
}
