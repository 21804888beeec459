//! The learned distributions that prompts are shifted by: Gaussians pushed through planar flows
//! (section 3.2 of the paper; the flow is that of Rezende and Mohamed, 2015).
//!
//! The image's distribution depends on its embedding, that of a state on nothing but learned weights.

use burn::module::{Module, Param};
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Tensor, backend::Backend};

use crate::learned::Dense;

/// Keeps the logarithm of a determinant finite where a step folds space flat.
const DETERMINANT_EPSILON: f64 = 1e-5;

/// Two hidden layers with softplus behind each.
#[derive(Module, Debug)]
pub struct Perceptron<B: Backend> {
    /// `[hidden, embed]`
    pub input: Dense<B>,
    /// `[hidden, hidden]`
    pub hidden: Dense<B>,
    /// `[embed, hidden]`
    pub output: Dense<B>,
}

/// Mean and variance of a distribution's base, from what it is conditioned on.
#[derive(Module, Debug)]
pub struct GaussianEncoder<B: Backend> {
    /// The mean.
    pub mean: Perceptron<B>,
    /// An output `s` of which the release makes the variance `exp(s / 2)`.
    pub log_variance: Perceptron<B>,
}

/// The flow of the image's distribution, whose steps are linear functions of the image's embedding.
#[derive(Module, Debug)]
pub struct ImageFlow<B: Backend> {
    /// `[flows * embed, embed]`, where each step moves to.
    pub u: Dense<B>,
    /// `[flows * embed, embed]`, the normal of each step's plane.
    pub w: Dense<B>,
    /// `[flows, embed]`, the offset of each step's plane.
    pub b: Dense<B>,
}

/// The flow of a state's distribution, whose steps are learned as they are.
#[derive(Module, Debug)]
pub struct StateFlow<B: Backend> {
    /// `[1, flows, embed, 1]`, where each step moves to.
    pub u: Param<Tensor<B, 4>>,
    /// `[1, flows, 1, embed]`, the normal of each step's plane.
    pub w: Param<Tensor<B, 4>>,
    /// `[1, flows, 1, 1]`, the offset of each step's plane.
    pub b: Param<Tensor<B, 4>>,
    /// `[1, embed]`, what stands for the image's embedding.
    pub state: Param<Tensor<B, 2>>,
}

/// Samples of a distribution, and what their densities need.
#[derive(Debug, Clone)]
pub struct FlowSamples<B: Backend> {
    /// Mean of the base, `[batch, embed]`.
    pub mean: Tensor<B, 2>,
    /// Variance of the base, `[batch, embed]`.
    pub variance: Tensor<B, 2>,
    /// Samples of the base, `[batch, samples, embed]`.
    pub first: Tensor<B, 3>,
    /// The same behind the flow, `[batch, samples, embed]`.
    pub last: Tensor<B, 3>,
    /// Logarithm of how much the flow stretched space there, `[batch, samples]`.
    pub log_det: Tensor<B, 2>,
}

/// The steps of a planar flow for every row of a batch.
struct PlanarSteps<B: Backend> {
    /// `[batch, flows, embed]`
    u: Tensor<B, 3>,
    /// `[batch, flows, embed]`
    w: Tensor<B, 3>,
    /// `[batch, flows, 1]`
    b: Tensor<B, 3>,
}

impl<B: Backend> Perceptron<B> {
    /// # Shapes
    ///
    /// - x: `[batch, embed]`
    /// - output: `[batch, embed]`
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let x = softplus(self.input.forward(x));
        self.output.forward(softplus(self.hidden.forward(x)))
    }
}

impl<B: Backend> GaussianEncoder<B> {
    /// Samples of the base, not yet pushed through a flow.
    fn base(&self, condition: Tensor<B, 2>, noise: Tensor<B, 3>) -> FlowSamples<B> {
        let mean = self.mean.forward(condition.clone());
        let variance = self.log_variance.forward(condition).mul_scalar(0.5).exp();
        let [batch, samples, _] = noise.dims();
        let deviation = variance.clone().sqrt().unsqueeze_dim::<3>(1);
        let first = noise * deviation + mean.clone().unsqueeze_dim::<3>(1);
        let log_det = Tensor::zeros([batch, samples], &first.device());
        FlowSamples { mean, variance, last: first.clone(), first, log_det }
    }
}

impl<B: Backend> ImageFlow<B> {
    /// Samples of each image's distribution.
    ///
    /// # Shapes
    ///
    /// - image: `[batch, embed]`, CLIP's own embedding, not unit
    /// - noise: `[batch, samples, embed]`, standard normal
    pub fn forward(
        &self,
        encoder: &GaussianEncoder<B>,
        image: Tensor<B, 2>,
        noise: Tensor<B, 3>,
    ) -> FlowSamples<B> {
        let [batch, embed] = image.dims();
        let u = self.u.forward(image.clone());
        let flows = u.dims()[1] / embed;
        let steps = PlanarSteps {
            u: u.reshape([batch, flows, embed]),
            w: self.w.forward(image.clone()).reshape([batch, flows, embed]),
            b: self.b.forward(image.clone()).reshape([batch, flows, 1]),
        };
        steps.push(encoder.base(image, noise))
    }
}

impl<B: Backend> StateFlow<B> {
    /// Samples of the state's distribution: a batch of one.
    ///
    /// # Shapes
    ///
    /// - noise: `[samples, embed]`, standard normal
    pub fn forward(&self, encoder: &GaussianEncoder<B>, noise: Tensor<B, 2>) -> FlowSamples<B> {
        let steps = PlanarSteps {
            u: self.u.val().squeeze_dim(3),
            w: self.w.val().squeeze_dim(2),
            b: self.b.val().squeeze_dim(3),
        };
        steps.push(encoder.base(self.state.val(), noise.unsqueeze()))
    }
}

impl<B: Backend> PlanarSteps<B> {
    /// `z + u tanh(w·z + b)`, step by step. Nothing constrains `u`, so a step need not be invertible.
    fn push(&self, base: FlowSamples<B>) -> FlowSamples<B> {
        let [_, flows, _] = self.u.dims();
        (0..flows).fold(base, |samples, step| self.step(step, samples))
    }

    fn step(&self, step: usize, samples: FlowSamples<B>) -> FlowSamples<B> {
        let of = |parameters: &Tensor<B, 3>| parameters.clone().narrow(1, step, 1);
        let (u, w, b) = (of(&self.u), of(&self.w), of(&self.b));
        let z = samples.last;
        let bend = ((w.clone() * z.clone()).sum_dim(2) + b).tanh();
        let along = (w * u.clone()).sum_dim(2);
        let slope = bend.clone().square().neg().add_scalar(1.0) * along;
        let stretch = slope.add_scalar(1.0).abs().add_scalar(DETERMINANT_EPSILON).log();
        let log_det = samples.log_det + stretch.squeeze_dim(2);
        FlowSamples { last: z + u * bend, log_det, ..samples }
    }
}

/// `log(1 + exp(x))` that stays finite for large `x`.
fn softplus<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    log_sigmoid(x.neg()).neg()
}
