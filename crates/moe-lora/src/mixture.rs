//! The mixture: route, one thin product down, a mask, one up, match the norm, mix in.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, backend::Backend};
use rand::Rng;

use crate::{Adapted, MoeLoraConfig, MoeLoraError, PatchAdapter, Routing, fofs};

/// Keeps the ratio of norms finite where the mixture is zero, as it is when training starts.
const NORM_EPSILON: f64 = 1e-6;

/// Under this squared norm a vector counts as zero and its norm has no slope.
const ZERO_NORM_SQUARED: f64 = 1e-30;

/// A mixture of LoRA experts.
#[derive(Module, Debug)]
pub struct MoeLora<B: Backend> {
    /// Router, no bias: `[experts, width]`.
    pub gate: Param<Tensor<B, 2>>,
    /// Stacked down matrices, frozen: `[experts * rank, width]`.
    pub down: Param<Tensor<B, 2>>,
    /// Stacked up matrices: `[width, experts * rank]`.
    pub up: Param<Tensor<B, 2>>,
    #[module(skip)]
    config: MoeLoraConfig,
}

/// The stacked matrices of a mixture.
#[derive(Debug, Clone)]
pub struct MoeLoraWeights<B: Backend> {
    /// `[experts, width]`
    pub gate: Tensor<B, 2>,
    /// `[experts * rank, width]`
    pub down: Tensor<B, 2>,
    /// `[width, experts * rank]`
    pub up: Tensor<B, 2>,
}

/// What the experts saw of each token, and the matrices that turn it into their outputs: enough for
/// every statistic of the outputs, which themselves are never built.
#[derive(Debug, Clone)]
pub struct ExpertCodes<B: Backend> {
    /// `A x` of every expert: `[batch * tokens, experts * rank]`.
    pub codes: Tensor<B, 2>,
    /// Stacked up matrices times `alpha / rank`: `[width, experts * rank]`.
    pub up: Tensor<B, 2>,
    /// Number of experts.
    pub experts: usize,
}

impl MoeLoraConfig {
    /// The mixture that training starts from: `A` by FOFS, gate and `B` zero.
    ///
    /// # Errors
    ///
    /// [`MoeLoraError`] when the sizes cannot be built.
    pub fn init<B: Backend>(
        &self,
        rng: &mut impl Rng,
        device: &B::Device,
    ) -> Result<MoeLora<B>, MoeLoraError> {
        self.check()?;
        let stacked = self.experts * self.rank;
        let weights = MoeLoraWeights {
            gate: Tensor::zeros([self.experts, self.width], device),
            down: Tensor::from_data(fofs(self, rng), device),
            up: Tensor::zeros([self.width, stacked], device),
        };
        self.with_weights(weights)
    }

    /// The mixture of given matrices.
    ///
    /// # Errors
    ///
    /// [`MoeLoraError`] when the sizes cannot be built or the matrices have others.
    pub fn with_weights<B: Backend>(
        &self,
        weights: MoeLoraWeights<B>,
    ) -> Result<MoeLora<B>, MoeLoraError> {
        self.check()?;
        let stacked = self.experts * self.rank;
        let MoeLoraWeights { gate, down, up } = weights;
        check_shape("gate", gate.dims(), [self.experts, self.width])?;
        check_shape("down", down.dims(), [stacked, self.width])?;
        check_shape("up", up.dims(), [self.width, stacked])?;
        Ok(MoeLora {
            gate: Param::from_tensor(gate),
            down: Param::from_tensor(down).set_require_grad(false),
            up: Param::from_tensor(up),
            config: self.clone(),
        })
    }
}

impl<B: Backend> MoeLora<B> {
    /// The sizes of the mixture.
    pub fn config(&self) -> &MoeLoraConfig {
        &self.config
    }
}

impl<B: Backend> PatchAdapter<B> for MoeLora<B> {
    /// `lambda * unit(MoE(x)) * norm(x) + (1 - lambda) * x`, computed in f32.
    fn adapt(&self, tokens: Tensor<B, 3>) -> Adapted<B> {
        let [batch, count, width] = tokens.dims();
        let MoeLoraConfig { experts, top_k, lambda, .. } = self.config;
        let dtype = tokens.dtype();
        let x = tokens.cast(DType::F32).reshape([batch * count, width]);

        let routing = Routing::new(x.clone().matmul(self.gate.val().transpose()), top_k);
        let codes = ExpertCodes {
            codes: x.clone().matmul(self.down.val().transpose()),
            up: self.up.val().mul_scalar(self.config.scale()),
            experts,
        };
        let mixture = codes.mix(routing.weights.clone());
        let matched = mixture.clone() * norm(x.clone()) / norm(mixture).add_scalar(NORM_EPSILON);
        let adapted = matched.mul_scalar(lambda) + x.mul_scalar(1.0 - lambda);
        Adapted {
            tokens: adapted.reshape([batch, count, width]).cast(dtype),
            routing: Some(routing),
            codes: Some(codes),
        }
    }
}

impl<B: Backend> ExpertCodes<B> {
    /// `B (g * (A x))`: the weighted sum of the experts' outputs, `[batch * tokens, width]`.
    pub fn mix(&self, weights: Tensor<B, 2>) -> Tensor<B, 2> {
        let [tokens, stacked] = self.codes.dims();
        let rank = stacked / self.experts;
        let gates = weights
            .unsqueeze_dim::<3>(2)
            .expand([tokens, self.experts, rank])
            .reshape([tokens, stacked]);
        (self.codes.clone() * gates).matmul(self.up.clone().transpose())
    }

    /// Every expert's output, materialised: `[batch * tokens, experts, width]`. For inspection and
    /// tests; nothing in the forward or the losses needs it.
    pub fn outputs(&self) -> Tensor<B, 3> {
        let [tokens, stacked] = self.codes.dims();
        let [width, _] = self.up.dims();
        let (experts, rank) = (self.experts, stacked / self.experts);
        let codes = self.codes.clone().reshape([tokens, experts, rank]).swap_dims(0, 1);
        let up = self.up.clone().transpose().reshape([experts, rank, width]);
        codes.matmul(up).swap_dims(0, 1)
    }
}

/// Norm of each row, `[rows, 1]`, with slope zero where the row is zero.
fn norm<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 2> {
    rows.square().sum_dim(1).clamp_min(ZERO_NORM_SQUARED).sqrt()
}

pub(crate) fn check_shape(
    name: &'static str,
    found: [usize; 2],
    expected: [usize; 2],
) -> Result<(), MoeLoraError> {
    if found == expected {
        return Ok(());
    }
    Err(MoeLoraError::Shape { name, found, expected })
}

#[cfg(test)]
#[path = "mixture_tests.rs"]
mod tests;
