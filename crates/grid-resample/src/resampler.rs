//! Applies one axis matrix to both axes of grids: held in tensors, or on the host, for maps that are
//! larger than what a device should hold, where only the weights that are not zero are visited.

use burn::module::Module;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

use crate::AxisMatrix;

/// Resamples grids: `R m C'` with constant matrices `R` on rows and `C` on columns.
#[derive(Module, Debug)]
pub struct GridResampler<B: Backend> {
    /// `[outputs, inputs]`; a constant, never trained.
    rows: Tensor<B, 2>,
    /// `[outputs, inputs]`; a constant, never trained.
    columns: Tensor<B, 2>,
}

impl<B: Backend> GridResampler<B> {
    /// Resamples both axes alike.
    pub fn new(axis: &AxisMatrix, device: &B::Device) -> Self {
        Self::rectangular(axis, axis, device)
    }

    /// Resamples rows by one matrix and columns by another.
    pub fn rectangular(rows: &AxisMatrix, columns: &AxisMatrix, device: &B::Device) -> Self {
        Self { rows: to_tensor(rows, device), columns: to_tensor(columns, device) }
    }

    /// Resamples maps.
    ///
    /// # Shapes
    ///
    /// - maps: `[batch, maps, rows, columns]`
    /// - output: `[batch, maps, rows out, columns out]`
    pub fn maps(&self, maps: Tensor<B, 4>) -> Tensor<B, 4> {
        let rows = self.rows.clone().unsqueeze::<4>();
        let columns = self.columns.clone().transpose().unsqueeze::<4>();
        rows.matmul(maps).matmul(columns)
    }

    /// Resamples the patches of a token sequence, channel by channel, in f32 whatever theirs.
    ///
    /// # Shapes
    ///
    /// - patches: `[batch, rows * columns, width]`, row by row
    /// - output: `[batch, rows out * columns out, width]`
    pub fn patches(&self, patches: Tensor<B, 3>) -> Tensor<B, 3> {
        let (dtype, [batch, _, width]) = (patches.dtype(), patches.dims());
        let [rows_out, rows_in] = self.rows.dims();
        let [columns_out, columns_in] = self.columns.dims();
        let rows = patches.cast(DType::F32).reshape([batch, rows_in, columns_in * width]);
        let rows = self.rows.clone().unsqueeze::<3>().matmul(rows);
        let columns = rows.reshape([batch * rows_out, columns_in, width]);
        let columns = self.columns.clone().unsqueeze::<3>().matmul(columns);
        columns.reshape([batch, rows_out * columns_out, width]).cast(dtype)
    }
}

fn to_tensor<B: Backend>(axis: &AxisMatrix, device: &B::Device) -> Tensor<B, 2> {
    let weights: Vec<f32> = axis.weights().iter().map(|&weight| weight as f32).collect();
    Tensor::from_data(TensorData::new(weights, [axis.outputs(), axis.inputs()]), device)
}

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
    use burn::tensor::{Distribution, Tensor, TensorData, Tolerance};

    use super::*;
    use crate::GridResampler;

    #[test]
    fn patches_and_maps_agree() {
        let device = Default::default();
        let rows = AxisMatrix::bicubic_antialias(4, 7);
        let columns = AxisMatrix::bilinear_aligned(4, 5);
        let resampler = GridResampler::<Flex>::rectangular(&rows, &columns, &device);
        let maps = Tensor::<Flex, 4>::random([2, 3, 4, 4], Distribution::Default, &device);
        let patches = maps.clone().reshape([2, 3, 16]).swap_dims(1, 2);
        let by_patches = resampler.patches(patches).swap_dims(1, 2).reshape([2, 3, 7, 5]);
        let by_maps = resampler.maps(maps);
        by_patches
            .into_data()
            .assert_approx_eq::<f32>(&by_maps.into_data(), Tolerance::absolute(1e-5));
    }

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
