//! Where the up matrices `B` start: at zero, as the paper has it, or small and orthonormal.
//!
//! The mixture is scaled to its token's length, so its direction alone counts, and a zero matrix has
//! none: the first gradient of a zero `B` is about a million times what it is a step later. A start
//! that has a direction does without that jump.

use burn::tensor::TensorData;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::MoeLoraConfig;
use crate::fofs::orthonormal_rows;

/// How the up matrices `B` start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpStart {
    /// The paper's: zero.
    #[default]
    Zero,
    /// Orthonormal columns for each expert, times [`MoeLoraConfig::up_scale`].
    Orthogonal,
}

/// The stacked up matrices `B`, `[width, experts * rank]`, as [`MoeLoraConfig::up`] has them start.
pub fn up_matrices(config: &MoeLoraConfig, rng: &mut impl Rng) -> TensorData {
    let MoeLoraConfig { width, experts, rank, up, up_scale, .. } = *config;
    let stacked = experts * rank;
    let mut matrix = vec![0.0f32; width * stacked];
    if up == UpStart::Orthogonal {
        let columns = (0..experts).flat_map(|_| orthonormal_rows(rank, width, rng));
        for (column, values) in columns.enumerate() {
            for (row, value) in values.into_iter().enumerate() {
                matrix[row * stacked + column] = (value * up_scale) as f32;
            }
        }
    }
    TensorData::new(matrix, [width, stacked])
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn columns_of_an_expert_are_orthogonal_and_as_long_as_asked() {
        let config = MoeLoraConfig {
            rank: 3,
            up: UpStart::Orthogonal,
            up_scale: 0.01,
            ..MoeLoraConfig::new(32)
        };
        let up = up_matrices(&config, &mut ChaCha8Rng::seed_from_u64(1)).to_vec::<f32>().unwrap();
        let stacked = config.experts * config.rank;
        let product = |a: usize, b: usize| -> f32 {
            (0..32).map(|row| up[row * stacked + a] * up[row * stacked + b]).sum()
        };
        for expert in 0..config.experts {
            for (i, j) in [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)] {
                let expected = if i == j { 1e-4 } else { 0.0 };
                let found = product(expert * 3 + i, expert * 3 + j);
                assert!((found - expected).abs() < 1e-9, "columns {i} and {j}: {found}");
            }
        }
    }

    #[test]
    fn the_papers_start_is_zero() {
        let up = up_matrices(&MoeLoraConfig::new(64), &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(up, TensorData::zeros::<f32, _>([64, 32]));
    }
}
