//! How much each averaging window has to say: all the same, as the paper has it, or as learned.

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

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

    use super::*;

    fn check<B: Backend>() {
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
        check::<Flex>();
        check::<NdArray>();
    }
}
