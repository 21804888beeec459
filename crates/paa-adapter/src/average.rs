//! Means over windows of the patch grid (what lies beyond the border counts as zero), and how much
//! each window has to say: all the same, as the paper has it, or as learned.

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, backend::Backend};
use grid_resample::{AxisMatrix, GridResampler};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Scales that cannot be averaged over.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ScaleError {
    /// No scale at all.
    #[error("scales is empty; give at least one odd window, such as 1")]
    Empty,
    /// A window without a middle.
    #[error("scale {scale} is not an odd number; windows are centred on a patch, such as 1, 3, 5")]
    Even {
        /// The window's side in patches.
        scale: usize,
    },
}

/// Checks the windows' sides: at least one, all odd.
///
/// # Errors
///
/// The first [`ScaleError`] found.
pub fn check_scales(scales: &[usize]) -> Result<(), ScaleError> {
    if scales.is_empty() {
        return Err(ScaleError::Empty);
    }
    match scales.iter().find(|scale| *scale % 2 == 0) {
        Some(&scale) => Err(ScaleError::Even { scale }),
        None => Ok(()),
    }
}

/// Averages patches over one window size each.
#[derive(Module, Debug)]
pub struct PatchAverage<B: Backend> {
    /// One per scale; `None` where the window is a single patch.
    windows: Vec<Option<GridResampler<B>>>,
}

impl<B: Backend> PatchAverage<B> {
    /// Windows of these sides on a square grid of patches.
    ///
    /// # Errors
    ///
    /// [`ScaleError`] when a side is even or there is none.
    pub fn new(grid: usize, scales: &[usize], device: &B::Device) -> Result<Self, ScaleError> {
        check_scales(scales)?;
        let window = |&scale: &usize| {
            (scale > 1).then(|| GridResampler::new(&AxisMatrix::box_mean(grid, scale), device))
        };
        Ok(Self { windows: scales.iter().map(window).collect() })
    }

    /// Patches averaged at every scale, in the order of the scales.
    ///
    /// # Shapes
    ///
    /// - patches: `[batch, grid * grid, width]`
    /// - output: as many times `[batch, grid * grid, width]` as there are scales
    pub fn forward(&self, patches: Tensor<B, 3>) -> Vec<Tensor<B, 3>> {
        let average = |window: &Option<GridResampler<B>>| match window {
            Some(window) => window.patches(patches.clone()),
            None => patches.clone(),
        };
        self.windows.iter().map(average).collect()
    }
}

/// How the scales of a tap are weighted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleWeighting {
    /// The paper's: every scale counts once.
    #[default]
    Equal,
    /// Learned weights whose mean is one.
    Learned,
}

impl ScaleWeighting {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Learned => "learned",
        }
    }
}

/// Learned weights of the scales of one tap.
#[derive(Module, Debug)]
pub struct ScaleWeights<B: Backend> {
    /// One per scale: `[scales]`.
    pub logits: Param<Tensor<B, 1>>,
}

impl<B: Backend> ScaleWeights<B> {
    /// Equal weights, as training starts.
    pub fn init(scales: usize, device: &B::Device) -> Self {
        Self::with_logits(Tensor::zeros([scales], device))
    }

    /// The weights of given logits, `[scales]`.
    pub fn with_logits(logits: Tensor<B, 1>) -> Self {
        Self { logits: Param::from_tensor(logits) }
    }

    /// A softmax over the scales times their number, so that equal ones are one: `[scales]`.
    pub fn weights(&self) -> Tensor<B, 1> {
        let logits = self.logits.val();
        let [scales] = logits.dims();
        softmax(logits, 0).mul_scalar(scales as f64)
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Flex, NdArray};
    use burn::tensor::module::avg_pool2d;
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    fn check<B: Backend>() {
        let device = Default::default();
        let average = PatchAverage::<B>::new(6, &[1, 3, 5, 9], &device).unwrap();
        let patches = Tensor::<B, 3>::random([2, 36, 4], Distribution::Default, &device);
        let grid = patches.clone().swap_dims(1, 2).reshape([2, 4, 6, 6]);
        for (scale, averaged) in [1, 3, 5, 9].into_iter().zip(average.forward(patches)) {
            let pooled = avg_pool2d(grid.clone(), [scale; 2], [1; 2], [scale / 2; 2], true, false);
            let pooled = pooled.reshape([2, 4, 36]).swap_dims(1, 2).into_data();
            averaged.into_data().assert_approx_eq::<f32>(&pooled, Tolerance::absolute(1e-5));
        }
    }

    #[test]
    fn averages_equal_pooling_with_counted_padding() {
        check::<Flex>();
        check::<NdArray>();
    }

    #[test]
    fn an_even_window_is_refused() {
        assert_eq!(check_scales(&[1, 4]), Err(ScaleError::Even { scale: 4 }));
    }

    #[test]
    fn no_window_is_refused() {
        assert_eq!(check_scales(&[]), Err(ScaleError::Empty));
    }

    fn check_weights<B: Backend>() {
        let device = Default::default();
        for scales in 1..=9 {
            let weights = ScaleWeights::<B>::init(scales, &device).weights().into_data();
            assert_eq!(weights.to_vec::<f32>().unwrap(), vec![1.0; scales], "exactly one");
        }
        let logits = Tensor::<B, 1>::from_floats([0.0, 1.0, -2.0], &device);
        let weights = ScaleWeights::with_logits(logits).weights().into_data();
        let weights = weights.to_vec::<f32>().unwrap();
        assert!((weights.iter().sum::<f32>() - 3.0).abs() < 1e-5);
        assert!(weights[1] > weights[0] && weights[0] > weights[2]);
    }

    #[test]
    fn weights_start_at_exactly_one_and_have_it_as_their_mean() {
        check_weights::<Flex>();
        check_weights::<NdArray>();
    }
}
