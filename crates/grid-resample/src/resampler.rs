//! Applies one axis matrix to both axes of grids held in tensors.

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

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

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
}
