//! Random starts drawn on the host, the same for the same generator on every backend.

use burn::tensor::TensorData;
use rand::{Rng, RngExt};

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
