//! The same resampling on the host, for maps that are larger than what a device should hold: only the
//! weights that are not zero are visited.

use crate::AxisMatrix;

/// Resamples grids that lie in memory: `R m C'` with constant matrices `R` on rows and `C` on columns.
#[derive(Debug, Clone)]
pub struct HostResampler {
    rows: Vec<Weighted>,
    columns: Vec<Weighted>,
    inputs: usize,
}

/// The inputs that make one output: neighbours from `first` on.
#[derive(Debug, Clone)]
struct Weighted {
    first: usize,
    weights: Vec<f64>,
}

impl HostResampler {
    /// Resamples rows by one matrix and columns by another.
    pub fn new(rows: &AxisMatrix, columns: &AxisMatrix) -> Self {
        Self { rows: weighted(rows), columns: weighted(columns), inputs: columns.inputs() }
    }

    /// Resamples one grid, row by row; sums are in f64. What a grid lacks counts as zero.
    pub fn grid(&self, values: &[f32]) -> Vec<f32> {
        let mut resampled = Vec::with_capacity(self.rows.len() * self.columns.len());
        let mut line = vec![0.0; self.inputs];
        for row in &self.rows {
            line.fill(0.0);
            let inputs = values.chunks(self.inputs.max(1)).skip(row.first);
            for (input, weight) in inputs.zip(&row.weights) {
                line.iter_mut()
                    .zip(input)
                    .for_each(|(sum, value)| *sum += weight * f64::from(*value));
            }
            resampled.extend(self.columns.iter().map(|column| column.of(&line)));
        }
        resampled
    }
}

impl Weighted {
    fn of(&self, line: &[f64]) -> f32 {
        let inputs = line[self.first..].iter().zip(&self.weights);
        inputs.map(|(value, weight)| value * weight).sum::<f64>() as f32
    }
}

fn weighted(axis: &AxisMatrix) -> Vec<Weighted> {
    let of = |output| {
        let row = axis.row(output);
        let first = row.iter().position(|weight| *weight != 0.0).unwrap_or(0);
        let last = row.iter().rposition(|weight| *weight != 0.0).map_or(first, |last| last + 1);
        Weighted { first, weights: row[first..last].to_vec() }
    };
    (0..axis.outputs()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Tensor, TensorData, Tolerance};

    use super::*;
    use crate::GridResampler;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|at| (at * 37 % 101) as f32 / 10.0 - 5.0).collect()
    }

    #[test]
    fn the_host_resamples_as_a_device_does() {
        let (rows, columns) =
            (AxisMatrix::bilinear_aligned(5, 9), AxisMatrix::bicubic_antialias(4, 3));
        let (device, values) = (Default::default(), values(20));
        let grid =
            Tensor::<Flex, 4>::from_data(TensorData::new(values.clone(), [1, 1, 5, 4]), &device);
        let there = GridResampler::rectangular(&rows, &columns, &device).maps(grid).into_data();
        let here = HostResampler::new(&rows, &columns).grid(&values);
        let here = TensorData::new(here, [1, 1, 9, 3]);
        here.assert_approx_eq::<f32>(&there, Tolerance::absolute(1e-5));
    }

    #[test]
    fn the_same_size_is_the_same_bits() {
        let same = AxisMatrix::bilinear_aligned(7, 7);
        let values = values(49);
        assert_eq!(HostResampler::new(&same, &same).grid(&values), values);
    }

    #[test]
    fn a_grid_that_is_too_short_counts_as_zero_beyond() {
        let double = AxisMatrix::bilinear_aligned(2, 3);
        assert_eq!(HostResampler::new(&double, &double).grid(&[2.0, 4.0])[..3], [2.0, 3.0, 4.0]);
        assert_eq!(HostResampler::new(&double, &double).grid(&[]), [0.0; 9]);
    }
}
