//! The matrix that resamples one axis, built on the host in f64.

use thiserror::Error;

/// Cubic convolution's free parameter, the value of antialiased bicubic resizing (Keys 1981).
const BICUBIC_A: f64 = -0.5;

/// A matrix `[outputs, inputs]` that resamples one axis of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisMatrix {
    inputs: usize,
    /// Row-major, `outputs` rows of `inputs` weights.
    weights: Vec<f64>,
}

/// The part of a row of an [`AxisMatrix`] that is not zero: what long axes have room for.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisWindow {
    /// The first input that counts.
    pub first: usize,
    /// The weights from there on.
    pub weights: Vec<f64>,
}

impl AxisWindow {
    /// The row of `output` of [`AxisMatrix::bicubic_antialias`].
    pub fn bicubic_antialias(inputs: usize, outputs: usize, output: usize) -> Self {
        let ratio = inputs as f64 / outputs.max(1) as f64;
        let stretch = ratio.max(1.0);
        let support = 2.0 * stretch;
        let center = (output as f64 + 0.5) * ratio;
        let low = (center - support + 0.5).max(0.0) as usize;
        let high = ((center + support + 0.5) as usize).min(inputs);
        let weight = |input: usize| cubic((input as f64 - center + 0.5) / stretch);
        let mut weights: Vec<f64> = (low..high).map(weight).collect();
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        Self { first: low, weights }
    }
}

/// Two matrices that do not fit one behind the other.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the first matrix gives {outputs} rows, the next takes {inputs}; build both for one grid")]
pub struct ShapeMismatch {
    outputs: usize,
    inputs: usize,
}

impl AxisMatrix {
    /// Bilinear interpolation whose outermost samples coincide (`align_corners = true`).
    pub fn bilinear_aligned(inputs: usize, outputs: usize) -> Self {
        let step = match outputs {
            0 | 1 => 0.0,
            _ => (inputs.saturating_sub(1)) as f64 / (outputs - 1) as f64,
        };
        Self::from_rows(inputs, outputs, |output, row| {
            let position = output as f64 * step;
            let low = (position as usize).min(inputs - 1);
            let fraction = position - low as f64;
            row[low] += 1.0 - fraction;
            row[(low + 1).min(inputs - 1)] += fraction;
        })
    }

    /// Bicubic interpolation with antialiasing (a = -0.5), corners not aligned.
    ///
    /// The kernel widens by the ratio when the axis shrinks; rows are normalised to sum to one.
    pub fn bicubic_antialias(inputs: usize, outputs: usize) -> Self {
        Self::from_rows(inputs, outputs, |output, row| {
            let AxisWindow { first, weights } =
                AxisWindow::bicubic_antialias(inputs, outputs, output);
            row[first..first + weights.len()].copy_from_slice(&weights);
        })
    }

    /// Mean over a window of odd length, stride 1; the zeros beyond the border count in the mean.
    pub fn box_mean(size: usize, window: usize) -> Self {
        let radius = window / 2;
        Self::from_rows(size, size, |output, row| {
            let last = (output + radius).min(size - 1);
            for weight in &mut row[output.saturating_sub(radius)..=last] {
                *weight = 1.0 / window as f64;
            }
        })
    }

    /// Gaussian blur with a window of odd length, borders reflected without repeating the edge.
    pub fn gaussian_blur(size: usize, window: usize, sigma: f64) -> Self {
        let radius = (window / 2) as isize;
        let kernel: Vec<f64> = (-radius..=radius)
            .map(|offset| (-((offset * offset) as f64) / (2.0 * sigma * sigma)).exp())
            .collect();
        let total: f64 = kernel.iter().sum();
        Self::from_rows(size, size, |output, row| {
            for (offset, weight) in (-radius..=radius).zip(&kernel) {
                row[reflect(output as isize + offset, size)] += weight / total;
            }
        })
    }

    /// Gaussian blur on the grid, then bilinear upsampling with aligned corners, as one matrix.
    pub fn blurred_bilinear(inputs: usize, outputs: usize, window: usize, sigma: f64) -> Self {
        let blur = Self::gaussian_blur(inputs, window, sigma);
        blur.product(&Self::bilinear_aligned(inputs, outputs))
    }

    /// This resampling followed by another: one matrix, the product of both.
    ///
    /// # Errors
    ///
    /// [`ShapeMismatch`] when `next` does not take what this gives.
    pub fn then(&self, next: &AxisMatrix) -> Result<AxisMatrix, ShapeMismatch> {
        if next.inputs != self.outputs() {
            return Err(ShapeMismatch { outputs: self.outputs(), inputs: next.inputs });
        }
        Ok(self.product(next))
    }

    /// The product, for a `next` that takes what this gives.
    fn product(&self, next: &AxisMatrix) -> AxisMatrix {
        Self::from_rows(self.inputs, next.outputs(), |output, row| {
            for (middle, factor) in next.row(output).iter().enumerate() {
                for (weight, first) in row.iter_mut().zip(self.row(middle)) {
                    *weight += factor * first;
                }
            }
        })
    }

    /// Length of the axis that comes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Length of the axis that goes out.
    pub fn outputs(&self) -> usize {
        self.weights.len() / self.inputs.max(1)
    }

    /// The weights that make one output, one per input.
    pub fn row(&self, output: usize) -> &[f64] {
        &self.weights[output * self.inputs..][..self.inputs]
    }

    /// All weights, row-major.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    fn from_rows(inputs: usize, outputs: usize, mut fill: impl FnMut(usize, &mut [f64])) -> Self {
        let mut weights = vec![0.0; inputs * outputs];
        if inputs > 0 {
            for (output, row) in weights.chunks_exact_mut(inputs).enumerate() {
                fill(output, row);
            }
        }
        Self { inputs, weights }
    }
}

/// Keys' cubic convolution kernel.
fn cubic(distance: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        ((BICUBIC_A + 2.0) * x - (BICUBIC_A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * BICUBIC_A
    } else {
        0.0
    }
}

/// Index of a position mirrored at the borders, as often as it takes to land inside.
fn reflect(position: isize, size: usize) -> usize {
    let period = 2 * (size as isize - 1).max(1);
    let folded = position.rem_euclid(period);
    let mirrored = folded.min(period - folded) as usize;
    mirrored.min(size - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_row_sums_to_one(matrix: &AxisMatrix) {
        for output in 0..matrix.outputs() {
            let total: f64 = matrix.row(output).iter().sum();
            assert!((total - 1.0).abs() < 1e-12, "row {output} sums to {total}");
        }
    }

    #[test]
    fn constants_stay_constant() {
        every_row_sums_to_one(&AxisMatrix::bilinear_aligned(5, 13));
        every_row_sums_to_one(&AxisMatrix::bilinear_aligned(1, 4));
        every_row_sums_to_one(&AxisMatrix::bicubic_antialias(24, 37));
        every_row_sums_to_one(&AxisMatrix::bicubic_antialias(24, 16));
        every_row_sums_to_one(&AxisMatrix::gaussian_blur(37, 7, 1.0));
        every_row_sums_to_one(&AxisMatrix::gaussian_blur(2, 9, 1.5));
        every_row_sums_to_one(&AxisMatrix::gaussian_blur(1, 9, 1.5));
    }

    #[test]
    fn a_window_of_a_long_axis_sums_to_one() {
        for output in [0, 259, 517] {
            let AxisWindow { first, weights } = AxisWindow::bicubic_antialias(1 << 20, 518, output);
            assert!(first + weights.len() <= 1 << 20 && weights.len() < 1 << 14);
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn aligned_corners_are_kept() {
        let matrix = AxisMatrix::bilinear_aligned(4, 10);
        assert_eq!(matrix.row(0), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(matrix.row(9), [0.0, 0.0, 0.0, 1.0]);
        let middle = matrix.row(1);
        assert!((middle[0] - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn zeros_beyond_the_border_count_in_the_box_mean() {
        let matrix = AxisMatrix::box_mean(4, 3);
        let third = 1.0 / 3.0;
        assert_eq!(matrix.row(0), [third, third, 0.0, 0.0]);
        assert_eq!(matrix.row(2), [0.0, third, third, third]);
    }

    #[test]
    fn reflection_does_not_repeat_the_edge() {
        assert_eq!(reflect(-1, 5), 1);
        assert_eq!(reflect(5, 5), 3);
        assert_eq!(reflect(-3, 2), 1);
    }

    #[test]
    fn a_product_does_what_both_do() {
        let blur = AxisMatrix::gaussian_blur(6, 3, 1.0);
        let up = AxisMatrix::bilinear_aligned(6, 11);
        let both = blur.then(&up).unwrap();
        assert_eq!((both.inputs(), both.outputs()), (6, 11));
        assert_eq!(both, AxisMatrix::blurred_bilinear(6, 11, 3, 1.0));
        let expected: f64 = (0..6).map(|m| up.row(4)[m] * blur.row(m)[2]).sum();
        assert!((both.row(4)[2] - expected).abs() < 1e-12);
    }

    #[test]
    fn matrices_that_do_not_fit_are_refused() {
        let error = AxisMatrix::box_mean(4, 3).then(&AxisMatrix::box_mean(5, 3)).unwrap_err();
        assert_eq!(error, ShapeMismatch { outputs: 4, inputs: 5 });
    }
}
