//! The mixture: route, one thin product down, a mask, one up, match the norm, mix in.

use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor, backend::Backend};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fofs::down_matrices;
use crate::up::up_matrices;
use crate::{Adapted, MoeLoraConfig, MoeLoraError, PatchAdapter, Routing};

/// Keeps the ratio of norms finite where the mixture is zero, as it is when training starts.
const NORM_EPSILON: f64 = 1e-6;

/// Under this squared norm a vector counts as zero and its norm has no slope.
const ZERO_NORM_SQUARED: f64 = 1e-30;

/// A mixture of LoRA experts.
#[derive(Module, Debug)]
pub struct MoeLora<B: Backend> {
    /// Router, no bias: `[experts, width]`.
    pub gate: Param<Tensor<B, 2>>,
    /// Stacked down matrices: `[experts * rank, width]`; frozen unless [`crate::Fofs::learns`].
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
    /// The mixture that training starts from: the gate zero, `A` and `B` as configured. Each has a
    /// generator of its own, so that another start of one leaves the other as it is.
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
        let Start { down, up } = Start::draw(self, rng, device);
        let gate = Tensor::zeros([self.experts, self.width], device);
        let weights = MoeLoraWeights { gate, down, up };
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
            down: Param::from_tensor(down).set_require_grad(self.fofs.learns()),
            up: Param::from_tensor(up),
            config: self.clone(),
        })
    }
}

/// Where the matrices of experts start.
pub(crate) struct Start<B: Backend> {
    /// `[experts * rank, width]`
    pub(crate) down: Tensor<B, 2>,
    /// `[width, experts * rank]`
    pub(crate) up: Tensor<B, 2>,
}

impl<B: Backend> Start<B> {
    pub(crate) fn draw(config: &MoeLoraConfig, rng: &mut impl Rng, device: &B::Device) -> Self {
        let (mut for_down, mut for_up) =
            (ChaCha8Rng::seed_from_u64(rng.next_u64()), ChaCha8Rng::seed_from_u64(rng.next_u64()));
        Self {
            down: Tensor::from_data(down_matrices(config, &mut for_down), device),
            up: Tensor::from_data(up_matrices(config, &mut for_up), device),
        }
    }
}

impl<B: Backend> MoeLora<B> {
    /// The sizes of the mixture.
    pub fn config(&self) -> &MoeLoraConfig {
        &self.config
    }

    /// The mixture of some of the experts, each as it was; a router that knows no others spreads
    /// the probability of those that are gone. Parameters keep their identity.
    ///
    /// # Errors
    ///
    /// [`MoeLoraError`] when an expert is not there or fewer are left than are asked per token.
    pub fn keeping(&self, kept: &[usize]) -> Result<Self, MoeLoraError> {
        let MoeLoraConfig { experts, rank, .. } = self.config;
        let ascending = kept.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || kept.last().is_none_or(|last| *last >= experts) {
            return Err(MoeLoraError::Kept { kept: kept.into(), experts });
        }
        let config = MoeLoraConfig { experts: kept.len(), slices: None, ..self.config.clone() };
        config.check()?;
        let stacked = stacked_indices(kept, rank);
        Ok(Self {
            gate: select(&self.gate, 0, kept),
            down: select(&self.down, 0, &stacked).set_require_grad(config.fofs.learns()),
            up: select(&self.up, 1, &stacked),
            config,
        })
    }
}

/// The rows of `A`, or columns of `B`, that belong to some of the experts.
pub fn stacked_indices(experts: &[usize], rank: usize) -> Vec<usize> {
    experts.iter().flat_map(|expert| expert * rank..(expert + 1) * rank).collect()
}

/// Some rows (axis 0) or columns (axis 1) of a parameter, as the same parameter that learns.
fn select<B: Backend>(
    param: &Param<Tensor<B, 2>>,
    axis: usize,
    indices: &[usize],
) -> Param<Tensor<B, 2>> {
    let tensor = param.val();
    let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
    let indices = Tensor::<B, 1, Int>::from_data(indices.as_slice(), &tensor.device());
    // A tensor that learns learns on when it is detached; what is selected from it does not.
    Param::initialized(param.id, tensor.select(axis, indices).detach().require_grad())
}

impl<B: Backend> PatchAdapter<B> for MoeLora<B> {
    /// `lambda * unit(MoE(x)) * norm(x) + (1 - lambda) * x`, computed in f32.
    fn adapt(&self, tokens: Tensor<B, 3>) -> Adapted<B> {
        self.adapt_seen(tokens, |seen| seen)
    }
}

impl<B: Backend> MoeLora<B> {
    /// The same with `probe` added to what the chosen experts saw, `g * (A x)`. A probe of zeros
    /// changes no token, and its gradient says how each expert's contribution counts for whatever
    /// is computed from them.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - probe: `[batch * tokens, experts * rank]`
    pub fn adapt_probed(&self, tokens: Tensor<B, 3>, probe: Tensor<B, 2>) -> Adapted<B> {
        self.adapt_seen(tokens, |seen| seen + probe)
    }

    fn adapt_seen(
        &self,
        tokens: Tensor<B, 3>,
        change: impl FnOnce(Tensor<B, 2>) -> Tensor<B, 2>,
    ) -> Adapted<B> {
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
        let mixture = codes.raise(change(codes.weighted(routing.weights.clone())));
        Adapted {
            tokens: blend(mixture, x, lambda).reshape([batch, count, width]).cast(dtype),
            routing: Some(routing),
            codes: Some(codes),
        }
    }
}

impl<B: Backend> ExpertCodes<B> {
    /// `B (g * (A x))`: the weighted sum of the experts' outputs, `[batch * tokens, width]`.
    pub fn mix(&self, weights: Tensor<B, 2>) -> Tensor<B, 2> {
        self.raise(self.weighted(weights))
    }

    /// `g * (A x)`: the codes, each times its expert's weight, `[batch * tokens, experts * rank]`.
    ///
    /// # Shapes
    ///
    /// - weights: `[batch * tokens, experts]`
    pub fn weighted(&self, weights: Tensor<B, 2>) -> Tensor<B, 2> {
        let [tokens, stacked] = self.codes.dims();
        let rank = stacked / self.experts;
        let gates = weights
            .unsqueeze_dim::<3>(2)
            .expand([tokens, self.experts, rank])
            .reshape([tokens, stacked]);
        self.codes.clone() * gates
    }

    /// Weighted codes to the tokens' width: `[batch * tokens, width]`.
    fn raise(&self, weighted: Tensor<B, 2>) -> Tensor<B, 2> {
        weighted.matmul(self.up.clone().transpose())
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

/// `lambda * unit(added) * norm(x) + (1 - lambda) * x`, row by row: `[rows, width]`.
pub(crate) fn blend<B: Backend>(added: Tensor<B, 2>, x: Tensor<B, 2>, lambda: f64) -> Tensor<B, 2> {
    let matched = added.clone() * norm(x.clone()) / norm(added).add_scalar(NORM_EPSILON);
    matched.mul_scalar(lambda) + x.mul_scalar(1.0 - lambda)
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
