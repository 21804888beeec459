//! From frozen prompt features to one direction per state.

use burn::module::{Module, Param};
use burn::tensor::activation::leaky_relu;
use burn::tensor::{Tensor, backend::Backend};
use paa_adapter::{unit, xavier_uniform};
use rand::Rng;

use crate::ClassPrompts;

/// Slope of the projection's nonlinearity under zero.
const NEGATIVE_SLOPE: f64 = 0.01;

/// The trained map of prompt features into the joint embedding.
#[derive(Module, Debug)]
pub struct TextProjection<B: Backend> {
    /// `[embed, text width]`
    pub weight: Param<Tensor<B, 2>>,
}

/// Unit directions of the two states, one row per class or image.
#[derive(Debug, Clone)]
pub struct TextFeatures<B: Backend> {
    /// `[rows, embed]`
    pub normal: Tensor<B, 2>,
    /// `[rows, embed]`
    pub abnormal: Tensor<B, 2>,
}

impl<B: Backend> TextProjection<B> {
    /// Xavier uniform, as training starts.
    pub fn init(width: usize, embed: usize, rng: &mut impl Rng, device: &B::Device) -> Self {
        let weight = xavier_uniform([embed, width], width, embed, rng);
        Self::with_weight(Tensor::from_data(weight, device))
    }

    /// The projection of a given matrix, `[embed, text width]`.
    pub fn with_weight(weight: Tensor<B, 2>) -> Self {
        Self { weight: Param::from_tensor(weight) }
    }

    /// One row of features for one class.
    pub fn forward(&self, prompts: &ClassPrompts<B>) -> TextFeatures<B> {
        TextFeatures {
            normal: self.state(prompts.normal.clone()),
            abnormal: self.state(prompts.abnormal.clone()),
        }
    }

    /// Mean of unit prompt features, made unit: `[prompts, text width]` to `[1, embed]`.
    fn state(&self, prompts: Tensor<B, 2>) -> Tensor<B, 2> {
        let features = leaky_relu(prompts.matmul(self.weight.val().transpose()), NEGATIVE_SLOPE);
        unit(unit(features).mean_dim(0))
    }
}

impl<B: Backend> TextFeatures<B> {
    /// Rows of several classes below one another.
    pub fn stack(rows: Vec<TextFeatures<B>>) -> Self {
        let (normal, abnormal) = rows.into_iter().map(|row| (row.normal, row.abnormal)).unzip();
        Self { normal: Tensor::cat(normal, 0), abnormal: Tensor::cat(abnormal, 0) }
    }

    /// `abnormal - normal`, all that anomaly maps depend on, `[rows, embed]`.
    pub fn difference(&self) -> Tensor<B, 2> {
        self.abnormal.clone() - self.normal.clone()
    }
}
