//! The mixture: route, one thin product down, a mask, one up, match the norm, mix in.

use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor, backend::Backend};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fofs::{down_matrices, up_matrices};
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
mod tests {
    // The mixture against the same mixture with every expert's output built, values and gradients.
    use burn::backend::{Autodiff, Flex, NdArray};
    use burn::tensor::{Distribution, TensorData, Tolerance};

    use super::*;
    use crate::{Fofs, UpStart};

    fn config() -> MoeLoraConfig {
        MoeLoraConfig { experts: 5, top_k: 2, rank: 3, alpha: 8.0, ..MoeLoraConfig::new(32) }
    }

    fn mixture<B: Backend>() -> MoeLora<B> {
        let device = Default::default();
        let draw =
            |shape: [usize; 2]| Tensor::random(shape, Distribution::Normal(0.0, 0.3), &device);
        let weights = MoeLoraWeights {
            gate: draw([5, 32]),
            down: Start::draw(&config(), &mut ChaCha8Rng::seed_from_u64(7), &device).down,
            up: draw([32, 15]),
        };
        config().with_weights(weights).unwrap()
    }

    /// The reference's way: all outputs, gathered by the routing weights.
    fn materialised<B: Backend>(moe: &MoeLora<B>, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let adapted = moe.adapt(x.clone());
        let outputs = adapted.codes.unwrap().outputs();
        let weights = adapted.routing.unwrap().weights;
        let [batch, tokens, width] = x.dims();
        let mixed = (outputs * weights.unsqueeze_dim::<3>(2)).sum_dim(1);
        let mixed = mixed.reshape([batch, tokens, width]);
        let norm = |t: Tensor<B, 3>| t.square().sum_dim(2).sqrt();
        let matched = mixed.clone() * norm(x.clone()) / (norm(mixed) + 1e-6);
        matched * 0.1 + x * 0.9
    }

    fn same(a: TensorData, b: TensorData) {
        a.assert_approx_eq::<f32>(&b, Tolerance::relative(1e-4).set_absolute(1e-5));
    }

    fn check<B: Backend>() {
        type Ad<B> = Autodiff<B>;
        let moe = mixture::<Ad<B>>();
        let tokens = Tensor::<Ad<B>, 3>::random(
            [2, 7, 32],
            Distribution::Normal(0.0, 1.0),
            &Default::default(),
        )
        .require_grad();
        let thin = moe.adapt(tokens.clone()).tokens;
        let full = materialised(&moe, tokens.clone());
        same(thin.clone().into_data(), full.clone().into_data());

        let thin = thin.square().mean().backward();
        let full = full.square().mean().backward();
        let gradients = |grads: &_| {
            [
                moe.up.val().grad(grads).unwrap().into_data(),
                moe.gate.val().grad(grads).unwrap().into_data(),
                tokens.grad(grads).unwrap().flatten::<2>(0, 1).into_data(),
            ]
        };
        for (a, b) in gradients(&thin).into_iter().zip(gradients(&full)) {
            same(a, b);
        }
        assert!(moe.down.val().grad(&thin).is_none(), "A is frozen");
    }

    #[test]
    fn the_thin_product_equals_the_materialised_mixture() {
        check::<Flex>();
        check::<NdArray>();
    }

    #[test]
    fn the_zero_start_has_finite_gradients() {
        let device = Default::default();
        let moe: MoeLora<Autodiff<Flex>> =
            config().init(&mut ChaCha8Rng::seed_from_u64(1), &device).unwrap();
        let tokens = Tensor::random([1, 4, 32], Distribution::Normal(0.0, 1.0), &device);
        let adapted = moe.adapt(tokens).tokens;
        let gradients = (adapted.square() * 0.5).sum().backward();
        let up = moe.up.val().grad(&gradients).unwrap().into_data().to_vec::<f32>().unwrap();
        assert!(up.iter().all(|value| value.is_finite()));
        assert!(up.iter().any(|value| value.abs() > 1e3), "the start is stiff, not dead");
    }

    #[test]
    fn matrices_of_another_size_are_refused() {
        let device = Default::default();
        let weights = MoeLoraWeights::<Flex> {
            gate: Tensor::zeros([5, 32], &device),
            down: Tensor::zeros([15, 32], &device),
            up: Tensor::zeros([32, 14], &device),
        };
        let error = config().with_weights(weights).unwrap_err();
        assert!(error.to_string().contains("up has shape [32, 14]"), "{error}");
    }

    /// Gate, `A` and `B` of a fresh mixture.
    fn start(config: &MoeLoraConfig) -> [TensorData; 3] {
        let moe: MoeLora<Flex> =
            config.init(&mut ChaCha8Rng::seed_from_u64(1), &Default::default()).unwrap();
        [&moe.gate, &moe.down, &moe.up].map(|param| param.val().into_data())
    }

    #[test]
    fn another_start_of_one_matrix_leaves_the_others_as_they_are() {
        let [gate, down, up] = start(&config());
        for fofs in [Fofs::Off, Fofs::Unpartitioned] {
            let changed = start(&MoeLoraConfig { fofs, ..config() });
            assert_eq!((&changed[0], &changed[2]), (&gate, &up));
            assert_ne!(changed[1], down, "{fofs:?}");
        }
        let orthogonal = MoeLoraConfig { up: UpStart::Orthogonal, ..config() };
        let changed = start(&orthogonal);
        assert_eq!((&changed[0], &changed[1]), (&gate, &down));
        assert_ne!(changed[2], up);
        let [_, plain_down, plain_up] = start(&MoeLoraConfig { fofs: Fofs::Off, ..orthogonal });
        assert_eq!(plain_up, changed[2]);
        assert_ne!(plain_down, down);
    }

    #[test]
    fn only_down_matrices_that_learn_have_a_gradient() {
        let device = Default::default();
        for fofs in [Fofs::On, Fofs::Trained, Fofs::Unpartitioned, Fofs::Off] {
            let config = MoeLoraConfig { fofs, up: UpStart::Orthogonal, ..config() };
            let moe: MoeLora<Autodiff<Flex>> =
                config.init(&mut ChaCha8Rng::seed_from_u64(1), &device).unwrap();
            let tokens = Tensor::random([1, 4, 32], Distribution::Normal(0.0, 1.0), &device);
            let gradients = moe.adapt(tokens).tokens.square().sum().backward();
            assert_eq!(moe.down.val().grad(&gradients).is_some(), fofs.learns(), "{fofs:?}");
            assert!(moe.up.val().grad(&gradients).is_some());
        }
    }

    #[test]
    fn kept_experts_say_what_they_said() {
        let moe = mixture::<Flex>();
        let fewer = moe.keeping(&[0, 2, 3]).unwrap();
        assert_eq!((fewer.config().experts, fewer.up.id), (3, moe.up.id));
        let tokens =
            Tensor::random([1, 7, 32], Distribution::Normal(0.0, 1.0), &Default::default());
        let all = moe.adapt(tokens.clone()).codes.unwrap().outputs();
        let left = fewer.adapt(tokens).codes.unwrap().outputs();
        for (new, old) in [0, 2, 3].into_iter().enumerate() {
            let expected = all.clone().narrow(1, old, 1).into_data();
            same(left.clone().narrow(1, new, 1).into_data(), expected);
        }
    }

    #[test]
    fn kept_experts_go_on_learning() {
        let moe = mixture::<Autodiff<Flex>>().keeping(&[1, 4]).unwrap();
        let tokens =
            Tensor::random([1, 7, 32], Distribution::Normal(0.0, 1.0), &Default::default());
        let gradients = moe.adapt(tokens).tokens.square().sum().backward();
        assert_eq!(moe.up.val().grad(&gradients).unwrap().dims(), [32, 6]);
        assert_eq!(moe.gate.val().grad(&gradients).unwrap().dims(), [2, 32]);
        assert!(moe.down.val().grad(&gradients).is_none(), "A is frozen");
    }

    #[test]
    fn experts_that_cannot_be_kept_are_refused() {
        let moe = mixture::<Flex>();
        for kept in [&[][..], &[0, 5], &[1, 1, 2], &[2, 1]] {
            assert!(matches!(moe.keeping(kept), Err(MoeLoraError::Kept { .. })), "{kept:?}");
        }
        assert!(matches!(moe.keeping(&[4]), Err(MoeLoraError::TopK { top_k: 2, experts: 1 })));
    }

    /// A probe's gradient, averaged over tokens, is what the mean gradient of the mixture itself becomes on
    /// its way through `B`: so contributions can be weighed without being built.
    #[test]
    fn a_probe_changes_nothing_and_sees_the_mixtures_gradient() {
        type Ad = Autodiff<Flex>;
        let (moe, device) = (mixture::<Ad>(), Default::default());
        let tokens = Tensor::<Ad, 3>::random([1, 6, 32], Distribution::Normal(0.0, 1.0), &device);
        let toward = Tensor::<Ad, 3>::random([1, 6, 32], Distribution::Normal(0.0, 1.0), &device);
        let probe = Tensor::<Ad, 2>::zeros([6, 15], &device).require_grad();
        let adapted = moe.adapt_probed(tokens.clone(), probe.clone());
        same(adapted.tokens.clone().into_data(), moe.adapt(tokens.clone()).tokens.into_data());

        let through = (adapted.tokens * toward.clone()).sum().backward();
        let (codes, routing) = (adapted.codes.unwrap(), adapted.routing.unwrap());
        let built = codes.mix(routing.weights).detach().require_grad();
        let x = tokens.reshape([6, 32]);
        let blended = blend(built.clone(), x, 0.1).reshape([1, 6, 32]);
        let at_mixture = built.grad(&(blended * toward).sum().backward()).unwrap();
        let expected = at_mixture.mean_dim(0).matmul(codes.up.inner());
        same(probe.grad(&through).unwrap().mean_dim(0).into_data(), expected.into_data());
    }
}
