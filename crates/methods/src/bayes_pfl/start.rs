//! What is drawn: where training starts, and the noise that samples are made of. One seed gives one set of
//! numbers, on every backend.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};

/// The temperature that logits start with.
const TEMPERATURE: f32 = 0.07;

/// Deviation of linear weights and prompts.
const DEVIATION: f32 = 0.02;

/// The weights that training starts with, by the names of the authors' checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct StartingWeights {
    seed: u64,
}

/// How a tensor starts.
enum Start {
    Constant(f32),
    Normal { mean: f32, deviation: f32 },
    Uniform { bound: f32 },
}

impl StartingWeights {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The values of a weight.
    pub fn values(&self, name: &str, shape: &[usize]) -> TensorData {
        let mut rng = generator(self.seed, name.as_bytes());
        let count = shape.iter().product();
        let values: Vec<f32> = match Start::of(name, shape) {
            Start::Constant(value) => vec![value; count],
            Start::Normal { mean, deviation } => {
                normal(count, &mut rng).into_iter().map(|unit| mean + deviation * unit).collect()
            }
            Start::Uniform { bound } => {
                (0..count).map(|_| rng.random_range(-bound..=bound)).collect()
            }
        };
        TensorData::new(values, shape)
    }
}

impl Start {
    /// The release's; the query's is that of a convolution in PyTorch.
    fn of(name: &str, shape: &[usize]) -> Self {
        let learned_vectors = |mean| Self::Normal { mean, deviation: DEVIATION };
        match name {
            "prompt_state_normal" => learned_vectors(0.5),
            "prompt_state_abnormal" => learned_vectors(-0.5),
            _ if name.starts_with("temperature_") => Self::Constant(TEMPERATURE.recip().ln()),
            _ if name.starts_with("RCA.q_proj_pre.") => {
                Self::Uniform { bound: (shape[0] as f32).sqrt().recip() }
            }
            _ if name.starts_with("PFL_normal.") || name.starts_with("PFL_abnormal.") => {
                Self::Normal { mean: 0.0, deviation: 1.0 }
            }
            _ if name.ends_with(".bias") => Self::Constant(0.0),
            _ => learned_vectors(0.0),
        }
    }
}

/// Standard normal numbers on a device, decided by a seed and what they are for.
pub(super) fn noise<B: Backend, const D: usize>(
    seed: u64,
    purpose: &[u8],
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    let values = normal(shape.iter().product(), &mut generator(seed, purpose));
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A generator of its own for each seed and purpose.
pub(super) fn generator(seed: u64, purpose: &[u8]) -> ChaCha8Rng {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(purpose);
    ChaCha8Rng::from_seed(digest.finalize().into())
}

fn normal(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(name: &str, shape: &[usize]) -> Vec<f32> {
        StartingWeights::new(5).values(name, shape).iter::<f32>().collect()
    }

    #[test]
    fn the_states_start_apart_and_biases_at_nothing() {
        let mean = |values: Vec<f32>| values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean(drawn("prompt_state_normal", &[3, 5, 64])) - 0.5).abs() < 0.01);
        assert!((mean(drawn("prompt_state_abnormal", &[3, 5, 64])) + 0.5).abs() < 0.01);
        assert_eq!(drawn("class_mapping.bias", &[3]), [0.0; 3]);
        assert_eq!(drawn("temperature_pixel", &[1]), [(1.0f32 / 0.07).ln()]);
    }

    #[test]
    fn a_query_starts_within_the_bound_of_its_width() {
        let values = drawn("RCA.q_proj_pre.weight", &[16, 16, 1]);
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        assert!((0.2..=0.25).contains(&largest), "{largest}");
    }

    #[test]
    fn every_tensor_and_every_seed_has_numbers_of_its_own() {
        let of = |seed, purpose: &[u8]| normal(4, &mut generator(seed, purpose));
        assert_eq!(of(1, b"a"), of(1, b"a"));
        assert_ne!(of(1, b"a"), of(1, b"b"));
        assert_ne!(of(1, b"a"), of(2, b"a"));
    }
}
