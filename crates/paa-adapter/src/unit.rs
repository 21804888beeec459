//! Vectors of length one.

use burn::tensor::{Tensor, backend::Backend};

/// Squared norms under this count as this: a zero vector stays zero and has a finite gradient.
const SMALLEST_NORM_SQUARED: f64 = 1e-24;

/// Divides each vector of the last axis by its norm.
///
/// # Shapes
///
/// - vectors: `[..., width]`
/// - output: `[..., width]`
pub fn unit<B: Backend, const D: usize>(vectors: Tensor<B, D>) -> Tensor<B, D> {
    let norm = vectors.clone().square().sum_dim(D - 1).clamp_min(SMALLEST_NORM_SQUARED).sqrt();
    vectors / norm
}
