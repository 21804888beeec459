//! Random orthonormal vectors, drawn on the host: where experts' matrices start.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Random orthonormal rows: Gram-Schmidt, done twice so that rounding leaves nothing behind. There
/// can be no more `rows` than `width`.
pub(crate) fn orthonormal_rows(rows: usize, width: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
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

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
