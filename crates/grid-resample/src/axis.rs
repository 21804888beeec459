//! The matrix that resamples one axis, built on the host in f64.

use thiserror::Error;

/// Cubic convolution's free parameter (Keys 1981) in antialiased bicubic resizing.
const ANTIALIAS_A: f64 = -0.5;

/// The same in bicubic resizing without antialiasing.
const PLAIN_A: f64 = -0.75;

/// What a blur sees beyond the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// The grid mirrored at its outermost samples, which are not repeated: `c b | a b c`.
    Reflect,
    /// The grid mirrored behind its outermost samples, which are repeated: `b a | a b c`.
    Symmetric,
}

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
        Self::antialias(inputs, outputs, output, 2.0, |distance| cubic(distance, ANTIALIAS_A))
    }

    /// One output of bilinear interpolation with antialiasing, corners not aligned: the kernel widens by
    /// the ratio when the axis shrinks.
    pub fn bilinear_antialias(inputs: usize, outputs: usize, output: usize) -> Self {
        Self::antialias(inputs, outputs, output, 1.0, |distance| (1.0 - distance.abs()).max(0.0))
    }

    /// One output of a kernel that reaches `reach` samples to each side where the axis does not shrink.
    fn antialias(
        inputs: usize,
        outputs: usize,
        output: usize,
        reach: f64,
        kernel: impl Fn(f64) -> f64,
    ) -> Self {
        let ratio = inputs as f64 / outputs.max(1) as f64;
        let stretch = ratio.max(1.0);
        let support = reach * stretch;
        let center = (output as f64 + 0.5) * ratio;
        let low = (center - support + 0.5).max(0.0) as usize;
        let high = ((center + support + 0.5) as usize).min(inputs);
        let weight = |input: usize| kernel((input as f64 - center + 0.5) / stretch);
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

    /// Bilinear interpolation, corners not aligned: samples stand for the middle of their pixel.
    pub fn bilinear(inputs: usize, outputs: usize) -> Self {
        Self::from_rows(inputs, outputs, |output, row| {
            let position = middle(inputs, outputs, output).max(0.0);
            let low = (position as usize).min(inputs - 1);
            let fraction = position - low as f64;
            row[low] += 1.0 - fraction;
            row[(low + 1).min(inputs - 1)] += fraction;
        })
    }

    /// Bicubic interpolation without antialiasing (a = -0.75), corners not aligned. Samples beyond the
    /// border are those at the border.
    pub fn bicubic(inputs: usize, outputs: usize) -> Self {
        Self::from_rows(inputs, outputs, |output, row| {
            let position = middle(inputs, outputs, output);
            let low = position.floor() as isize;
            for tap in low - 1..=low + 2 {
                let inside = tap.clamp(0, inputs as isize - 1) as usize;
                row[inside] += cubic(position - tap as f64, PLAIN_A);
            }
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

    /// Gaussian blur with a window of odd length.
    pub fn gaussian_blur(size: usize, window: usize, sigma: f64, border: Border) -> Self {
        let radius = (window / 2) as isize;
        let kernel: Vec<f64> = (-radius..=radius)
            .map(|offset| (-((offset * offset) as f64) / (2.0 * sigma * sigma)).exp())
            .collect();
        let total: f64 = kernel.iter().sum();
        Self::from_rows(size, size, |output, row| {
            for (offset, weight) in (-radius..=radius).zip(&kernel) {
                row[border.inside(output as isize + offset, size)] += weight / total;
            }
        })
    }

    /// Gaussian blur on the grid, its border reflected, then bilinear upsampling with aligned corners, as one matrix.
    pub fn blurred_bilinear(inputs: usize, outputs: usize, window: usize, sigma: f64) -> Self {
        let blur = Self::gaussian_blur(inputs, window, sigma, Border::Reflect);
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

    /// This resampling followed by a Gaussian blur of what it gives, as scipy filters images: a window of
    /// four standard deviations to each side, the border symmetric.
    pub fn then_blur(&self, sigma: f64) -> AxisMatrix {
        let window = 2 * (4.0 * sigma + 0.5) as usize + 1;
        self.product(&Self::gaussian_blur(self.outputs(), window, sigma, Border::Symmetric))
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

/// Where an output lies among the inputs, both standing for the middle of their pixel.
fn middle(inputs: usize, outputs: usize, output: usize) -> f64 {
    (output as f64 + 0.5) * inputs as f64 / outputs as f64 - 0.5
}

/// Keys' cubic convolution kernel with its free parameter.
fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

impl Border {
    /// Index of a position, mirrored as often as it takes to land inside.
    fn inside(self, position: isize, size: usize) -> usize {
        let size = size as isize;
        let mirrored = match self {
            Self::Reflect => {
                let period = 2 * (size - 1).max(1);
                let folded = position.rem_euclid(period);
                folded.min(period - folded)
            }
            Self::Symmetric => {
                let folded = position.rem_euclid(2 * size);
                folded.min(2 * size - 1 - folded)
            }
        };
        mirrored.min(size - 1) as usize
    }
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
        every_row_sums_to_one(&AxisMatrix::bilinear(24, 37));
        every_row_sums_to_one(&AxisMatrix::bilinear(1, 4));
        every_row_sums_to_one(&AxisMatrix::bicubic(24, 37));
        every_row_sums_to_one(&AxisMatrix::bicubic(2, 5));
        every_row_sums_to_one(&AxisMatrix::bicubic_antialias(24, 37));
        every_row_sums_to_one(&AxisMatrix::bicubic_antialias(24, 16));
        every_row_sums_to_one(&AxisMatrix::gaussian_blur(37, 7, 1.0, Border::Reflect));
        every_row_sums_to_one(&AxisMatrix::gaussian_blur(2, 9, 1.5, Border::Symmetric));
        every_row_sums_to_one(&AxisMatrix::gaussian_blur(1, 9, 1.5, Border::Reflect));
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
    fn an_antialiased_line_widens_when_the_axis_shrinks() {
        let AxisWindow { first, weights } = AxisWindow::bilinear_antialias(4, 2, 0);
        assert_eq!(first, 0);
        let expected = [3.0 / 7.0, 3.0 / 7.0, 1.0 / 7.0];
        assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{weights:?}");
        let same = AxisWindow::bilinear_antialias(3, 3, 1);
        let kept: Vec<f64> = same.weights.into_iter().filter(|weight| *weight != 0.0).collect();
        assert_eq!(kept, [1.0]);
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
    fn reflection_does_not_repeat_the_edge_symmetry_does() {
        let inside = |border: Border, positions: [isize; 3]| positions.map(|p| border.inside(p, 5));
        assert_eq!(inside(Border::Reflect, [-1, 5, -6]), [1, 3, 2]);
        assert_eq!(inside(Border::Symmetric, [-1, 5, -6]), [0, 4, 4]);
        assert_eq!(Border::Reflect.inside(-3, 2), 1);
        assert_eq!(Border::Symmetric.inside(7, 1), 0);
    }

    #[test]
    fn samples_that_are_not_aligned_stand_for_the_middle_of_their_pixel() {
        let matrix = AxisMatrix::bilinear(2, 4);
        assert_eq!(matrix.weights(), [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0]);
        let same = AxisMatrix::bicubic(3, 3);
        assert_eq!(same.weights(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_product_does_what_both_do() {
        let blur = AxisMatrix::gaussian_blur(6, 3, 1.0, Border::Reflect);
        let up = AxisMatrix::bilinear_aligned(6, 11);
        let both = blur.then(&up).unwrap();
        assert_eq!((both.inputs(), both.outputs()), (6, 11));
        assert_eq!(both, AxisMatrix::blurred_bilinear(6, 11, 3, 1.0));
        let expected: f64 = (0..6).map(|m| up.row(4)[m] * blur.row(m)[2]).sum();
        assert!((both.row(4)[2] - expected).abs() < 1e-12);
    }

    #[test]
    fn a_blur_behind_a_resampling_works_on_its_outputs() {
        let up = AxisMatrix::bilinear(3, 8);
        let blur = AxisMatrix::gaussian_blur(8, 7, 0.7, Border::Symmetric);
        assert_eq!(up.then_blur(0.7), up.then(&blur).unwrap());
        every_row_sums_to_one(&up.then_blur(4.0));
    }

    #[test]
    fn matrices_that_do_not_fit_are_refused() {
        let error = AxisMatrix::box_mean(4, 3).then(&AxisMatrix::box_mean(5, 3)).unwrap_err();
        assert_eq!(error, ShapeMismatch { outputs: 4, inputs: 5 });
    }
}
