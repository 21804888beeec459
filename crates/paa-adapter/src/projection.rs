//! Patches of a tap into the joint embedding, as vectors of length one, and how such maps start.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::{Rng, RngExt};

/// A linear map without bias whose outputs are made unit.
#[derive(Module, Debug)]
pub struct UnitProjection<B: Backend> {
    /// `[embed, width]`
    pub weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> UnitProjection<B> {
    /// Xavier uniform, as training starts.
    pub fn init(width: usize, embed: usize, rng: &mut impl Rng, device: &B::Device) -> Self {
        let weight = xavier_uniform([embed, width], width, embed, rng);
        Self::with_weight(Tensor::from_data(weight, device))
    }

    /// The projection of a given matrix, `[embed, width]`.
    pub fn with_weight(weight: Tensor<B, 2>) -> Self {
        Self { weight: Param::from_tensor(weight) }
    }

    /// # Shapes
    ///
    /// - patches: `[batch, patches, width]`
    /// - output: `[batch, patches, embed]`, each of length one
    pub fn forward(&self, patches: Tensor<B, 3>) -> Tensor<B, 3> {
        unit(patches.matmul(self.weight.val().transpose().unsqueeze()))
    }
}

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

/// Xavier (Glorot) uniform values for a weight of these fans.
pub fn xavier_uniform<const D: usize>(
    shape: [usize; D],
    fan_in: usize,
    fan_out: usize,
    rng: &mut impl Rng,
) -> TensorData {
    let bound = (6.0 / (fan_in + fan_out) as f32).sqrt();
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| rng.random_range(-bound..=bound)).collect();
    TensorData::new(values, shape)
}
