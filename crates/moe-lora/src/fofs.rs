//! How the matrices of experts start. FOFS for the down matrices: frozen orthogonal feature
//! separation (MoECLIP, arXiv 2603.03101), and what stands in its place in an ablation; and how the
//! up matrices start.
//!
//! Expert `n` reads only its own slice of the channels, through rows that are orthonormal there, so
//! that experts cannot all learn the same thing.

use std::ops::Range;

use burn::tensor::TensorData;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::MoeLoraConfig;

/// How the down matrices `A` start, and whether they learn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fofs {
    /// The paper's: each expert orthonormal on its own slice of the channels, frozen.
    #[default]
    On,
    /// The same start, but `A` learns.
    Trained,
    /// No slices: each expert orthonormal over all channels, frozen.
    Unpartitioned,
    /// Plain LoRA: uniform in `±1 / sqrt(width)` over all channels, learned.
    Off,
}

impl Fofs {
    /// Whether `A` learns.
    pub fn learns(self) -> bool {
        matches!(self, Self::Trained | Self::Off)
    }

    /// Whether each expert starts on a slice of its own.
    pub fn partitions(self) -> bool {
        matches!(self, Self::On | Self::Trained)
    }

    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Trained => "trained",
            Self::Unpartitioned => "unpartitioned",
            Self::Off => "off",
        }
    }
}

/// Equal slices: contiguous, covering all channels, the first ones wider by one where the width does
/// not divide.
pub fn partition(width: usize, experts: usize) -> Vec<Range<usize>> {
    let size = |expert| width / experts + usize::from(expert < width % experts);
    contiguous(&(0..experts).map(size).collect::<Vec<_>>())
}

/// Slices of these sizes, one behind the other.
pub(crate) fn contiguous(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut start = 0;
    let slice = |size: &usize| {
        start += size;
        start - size..start
    };
    sizes.iter().map(slice).collect()
}

/// The stacked down matrices `A`, `[experts * rank, width]`, as [`MoeLoraConfig::fofs`] has them
/// start.
pub fn down_matrices(config: &MoeLoraConfig, rng: &mut impl Rng) -> TensorData {
    let MoeLoraConfig { width, experts, rank, fofs, .. } = *config;
    let mut down = vec![0.0f32; experts * rank * width];
    if fofs == Fofs::Off {
        let bound = (width as f32).sqrt().recip();
        down.iter_mut().for_each(|value| *value = rng.random_range(-bound..=bound));
    } else {
        for (expert, slice) in config.slices().into_iter().enumerate() {
            for (row, values) in orthonormal_rows(rank, slice.len(), rng).into_iter().enumerate() {
                let start = (expert * rank + row) * width + slice.start;
                let target = &mut down[start..start + slice.len()];
                target.iter_mut().zip(values).for_each(|(to, from)| *to = from as f32);
            }
        }
    }
    TensorData::new(down, [experts * rank, width])
}

/// Random orthonormal rows: Gram-Schmidt, done twice so that rounding leaves nothing behind. There
/// can be no more `rows` than `width`.
fn orthonormal_rows(rows: usize, width: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(rows);
    while basis.len() < rows.min(width) {
        let mut row: Vec<f64> = (0..width).map(|_| StandardNormal.sample(rng)).collect();
        for _ in 0..2 {
            for other in &basis {
                let along = dot(&row, other);
                row.iter_mut().zip(other).for_each(|(value, part)| *value -= along * part);
            }
        }
        let norm = dot(&row, &row).sqrt();
        // A draw within the span of the others is all rounding: draw again.
        if norm > 1e-6 {
            row.iter_mut().for_each(|value| *value /= norm);
            basis.push(row);
        }
    }
    basis
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// How the up matrices `B` start.
///
/// The mixture is scaled to its token's length, so its direction alone counts, and a zero matrix has none:
/// the first gradient of a zero `B` is about a million times what it is a step later. A start that has a
/// direction does without that jump.
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

    const WIDTH: usize = 48;

    fn config(fofs: Fofs) -> MoeLoraConfig {
        MoeLoraConfig { experts: 5, top_k: 1, rank: 3, fofs, ..MoeLoraConfig::new(WIDTH) }
    }

    fn rows(config: &MoeLoraConfig) -> Vec<Vec<f64>> {
        let down = down_matrices(config, &mut ChaCha8Rng::seed_from_u64(1)).to_vec::<f32>();
        let row = |row: &[f32]| row.iter().map(|&value| f64::from(value)).collect();
        down.unwrap().chunks(WIDTH).map(row).collect()
    }

    /// Refuses rows of one expert that are not orthonormal, or not zero outside its slice.
    fn check(config: &MoeLoraConfig, slices: &[Range<usize>]) {
        for (expert, slice) in rows(config).chunks(3).zip(slices) {
            for (i, a) in expert.iter().enumerate() {
                for (j, b) in expert.iter().enumerate() {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((dot(a, b) - expected).abs() < 1e-6, "rows {i} and {j}");
                }
                let inside =
                    |(channel, value): (usize, &f64)| slice.contains(&channel) == (*value != 0.0);
                assert!(a.iter().enumerate().all(inside), "outside {slice:?}");
            }
        }
    }

    #[test]
    fn the_first_slices_are_wider() {
        assert_eq!(partition(10, 4), [0..3, 3..6, 6..8, 8..10]);
    }

    #[test]
    fn rows_are_orthonormal_on_their_slice_and_zero_elsewhere() {
        check(&config(Fofs::On), &partition(WIDTH, 5));
    }

    #[test]
    fn trained_matrices_start_as_the_frozen_ones_do() {
        assert_eq!(rows(&config(Fofs::Trained)), rows(&config(Fofs::On)));
    }

    #[test]
    fn slices_have_the_sizes_that_were_given() {
        let sizes = vec![3, 20, 5, 16, 4];
        let uneven = MoeLoraConfig { slices: Some(sizes), ..config(Fofs::On) };
        assert_eq!(uneven.check(), Ok(()));
        check(&uneven, &[0..3, 3..23, 23..28, 28..44, 44..48]);
    }

    #[test]
    fn without_a_partition_each_expert_reads_every_channel() {
        let all = vec![0..WIDTH; 5];
        check(&config(Fofs::Unpartitioned), &all);
    }

    #[test]
    fn plain_lora_is_uniform_and_not_orthonormal() {
        let rows = rows(&config(Fofs::Off));
        let bound = (WIDTH as f64).sqrt().recip();
        let values = rows.iter().flatten();
        let widest = values.map(|value| value.abs()).fold(0.0, f64::max);
        assert!(widest <= bound * 1.0001 && widest > bound * 0.9, "{widest} of {bound}");
        assert!(dot(&rows[0], &rows[1]).abs() > 1e-3);
    }

    #[test]
    fn one_seed_gives_one_matrix() {
        let draw = |seed| down_matrices(&config(Fofs::On), &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

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
