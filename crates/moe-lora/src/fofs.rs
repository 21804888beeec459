//! FOFS: frozen orthogonal feature separation (MoECLIP, arXiv 2603.03101).
//!
//! Expert `n` reads only its own slice of the channels, through rows that are orthonormal there, so
//! that experts cannot all learn the same thing.

use std::ops::Range;

use burn::tensor::TensorData;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::MoeLoraConfig;

/// The channels of each expert: contiguous, covering all, the first ones wider by one where the
/// width does not divide.
pub fn partition(width: usize, experts: usize) -> Vec<Range<usize>> {
    let mut start = 0;
    (0..experts)
        .map(|expert| {
            let size = width / experts + usize::from(expert < width % experts);
            start += size;
            start - size..start
        })
        .collect()
}

/// The stacked down matrices `A`: `[experts * rank, width]`, rows of an expert orthonormal on its
/// own slice of the channels and zero elsewhere.
pub fn fofs(config: &MoeLoraConfig, rng: &mut impl Rng) -> TensorData {
    let MoeLoraConfig { width, experts, rank, .. } = *config;
    let mut down = vec![0.0f32; experts * rank * width];
    for (expert, slice) in partition(width, experts).into_iter().enumerate() {
        for (row, values) in orthonormal_rows(rank, slice.len(), rng).into_iter().enumerate() {
            let start = (expert * rank + row) * width + slice.start;
            let target = &mut down[start..start + slice.len()];
            target.iter_mut().zip(values).for_each(|(to, from)| *to = from as f32);
        }
    }
    TensorData::new(down, [experts * rank, width])
}

/// Random orthonormal rows: Gram-Schmidt, done twice so that rounding leaves nothing behind.
fn orthonormal_rows(rows: usize, width: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(rows);
    while basis.len() < rows {
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_first_slices_are_wider() {
        assert_eq!(partition(10, 4), [0..3, 3..6, 6..8, 8..10]);
    }

    #[test]
    fn rows_are_orthonormal_on_their_slice_and_zero_elsewhere() {
        let config = MoeLoraConfig { experts: 5, top_k: 1, rank: 3, ..MoeLoraConfig::new(48) };
        let data = fofs(&config, &mut ChaCha8Rng::seed_from_u64(1));
        let down = data.to_vec::<f32>().unwrap();
        let rows: Vec<Vec<f64>> =
            down.chunks(48).map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect();
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot(a, b) - expected).abs() < 1e-6, "rows {i} and {j}");
            }
        }
        for (index, slice) in partition(48, 5).into_iter().enumerate() {
            let row = &rows[index * 3];
            assert!(row.iter().enumerate().all(|(c, v)| slice.contains(&c) || *v == 0.0));
        }
    }

    #[test]
    fn one_seed_gives_one_matrix() {
        let draw = |seed| fofs(&MoeLoraConfig::new(64), &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
