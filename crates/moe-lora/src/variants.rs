//! The seam between a model and whatever adapts its tokens; what stands in for the mixture in an
//! ablation, which is one LoRA for every token or nothing; and the value that is one of the three.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, backend::Backend};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::mixture::{Start, blend, check_shape};
use crate::{ExpertCodes, MoeLora, MoeLoraConfig, MoeLoraError, Routing};

/// Changes the tokens of a stream, patch by patch.
pub trait PatchAdapter<B: Backend> {
    /// # Shapes
    ///
    /// - tokens: `[batch, tokens, width]`
    /// - output tokens: `[batch, tokens, width]`
    fn adapt(&self, tokens: Tensor<B, 3>) -> Adapted<B>;
}

/// Adapted tokens and, where there are experts, what they did.
#[derive(Debug, Clone)]
pub struct Adapted<B: Backend> {
    /// `[batch, tokens, width]`
    pub tokens: Tensor<B, 3>,
    /// Who was asked; `None` without a router.
    pub routing: Option<Routing<B>>,
    /// What the experts saw; `None` without experts.
    pub codes: Option<ExpertCodes<B>>,
}

/// What changes the tokens of the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixture {
    /// The paper's: a router and its LoRA experts.
    #[default]
    MoeLora,
    /// One LoRA of the same rank for every token.
    SingleLora,
    /// Nothing.
    None,
}

impl Mixture {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::MoeLora => "moe-lora",
            Self::SingleLora => "single-lora",
            Self::None => "none",
        }
    }
}

/// Whatever changes the tokens of a stream, as a value.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum StreamAdapter<B: Backend> {
    /// A mixture of experts.
    Mixture(MoeLora<B>),
    /// One LoRA.
    Single(SingleLora<B>),
    /// Nothing.
    Identity(Identity),
}

/// Leaves the tokens as they are.
#[derive(Module, Debug, Clone, Copy, Default)]
pub struct Identity;

/// One LoRA that every token passes through, mixed into the stream as the mixture is.
#[derive(Module, Debug)]
pub struct SingleLora<B: Backend> {
    /// `[rank, width]`; frozen unless [`crate::Fofs::learns`].
    pub down: Param<Tensor<B, 2>>,
    /// `[width, rank]`
    pub up: Param<Tensor<B, 2>>,
    #[module(skip)]
    config: MoeLoraConfig,
}

/// The matrices of a single LoRA.
#[derive(Debug, Clone)]
pub struct SingleLoraWeights<B: Backend> {
    /// `[rank, width]`
    pub down: Tensor<B, 2>,
    /// `[width, rank]`
    pub up: Tensor<B, 2>,
}

impl<B: Backend> StreamAdapter<B> {
    /// What training starts from.
    ///
    /// # Errors
    ///
    /// [`MoeLoraError`] when the sizes cannot be built.
    pub fn init(
        mixture: Mixture,
        config: &MoeLoraConfig,
        rng: &mut impl Rng,
        device: &B::Device,
    ) -> Result<Self, MoeLoraError> {
        Ok(match mixture {
            Mixture::MoeLora => Self::Mixture(config.init(rng, device)?),
            Mixture::SingleLora => Self::Single(SingleLora::init(config, rng, device)?),
            Mixture::None => Self::Identity(Identity),
        })
    }

    /// The mixture of experts, if it is one.
    pub fn as_mixture(&self) -> Option<&MoeLora<B>> {
        match self {
            Self::Mixture(mixture) => Some(mixture),
            Self::Single(_) | Self::Identity(_) => None,
        }
    }
}

impl<B: Backend> PatchAdapter<B> for StreamAdapter<B> {
    fn adapt(&self, tokens: Tensor<B, 3>) -> Adapted<B> {
        match self {
            Self::Mixture(mixture) => mixture.adapt(tokens),
            Self::Single(lora) => lora.adapt(tokens),
            Self::Identity(identity) => identity.adapt(tokens),
        }
    }
}

impl<B: Backend> PatchAdapter<B> for Identity {
    fn adapt(&self, tokens: Tensor<B, 3>) -> Adapted<B> {
        Adapted { tokens, routing: None, codes: None }
    }
}

impl<B: Backend> SingleLora<B> {
    /// One LoRA of the rank, strength and start that each expert of this configuration would have;
    /// its slice of the channels is all of them.
    ///
    /// # Errors
    ///
    /// [`MoeLoraError`] when the sizes cannot be built.
    pub fn init(
        config: &MoeLoraConfig,
        rng: &mut impl Rng,
        device: &B::Device,
    ) -> Result<Self, MoeLoraError> {
        let config = config.single();
        config.check()?;
        let Start { down, up } = Start::draw(&config, rng, device);
        Self::with_weights(&config, SingleLoraWeights { down, up })
    }

    /// The LoRA of given matrices.
    ///
    /// # Errors
    ///
    /// [`MoeLoraError`] when the sizes cannot be built or the matrices have others.
    pub fn with_weights(
        config: &MoeLoraConfig,
        weights: SingleLoraWeights<B>,
    ) -> Result<Self, MoeLoraError> {
        let config = config.single();
        config.check()?;
        let SingleLoraWeights { down, up } = weights;
        check_shape("down", down.dims(), [config.rank, config.width])?;
        check_shape("up", up.dims(), [config.width, config.rank])?;
        Ok(Self {
            down: Param::from_tensor(down).set_require_grad(config.fofs.learns()),
            up: Param::from_tensor(up),
            config,
        })
    }
}

impl<B: Backend> PatchAdapter<B> for SingleLora<B> {
    /// `lambda * unit(B A x) * norm(x) + (1 - lambda) * x`, computed in f32.
    fn adapt(&self, tokens: Tensor<B, 3>) -> Adapted<B> {
        let [batch, count, width] = tokens.dims();
        let dtype = tokens.dtype();
        let x = tokens.cast(DType::F32).reshape([batch * count, width]);
        let codes = x.clone().matmul(self.down.val().transpose());
        let up = self.up.val().mul_scalar(self.config.scale());
        let adapted = blend(codes.matmul(up.transpose()), x, self.config.lambda);
        let tokens = adapted.reshape([batch, count, width]).cast(dtype);
        Adapted { tokens, routing: None, codes: None }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Distribution, Tolerance};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{Fofs, UpStart};

    fn tokens() -> Tensor<Flex, 3> {
        Tensor::random([1, 5, 32], Distribution::Normal(0.0, 1.0), &Default::default())
    }

    fn lora(config: &MoeLoraConfig) -> SingleLora<Flex> {
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        SingleLora::init(config, rng, &Default::default()).unwrap()
    }

    #[test]
    fn a_fresh_lora_only_damps_the_stream_and_identity_leaves_it() {
        let (config, tokens) = (MoeLoraConfig::new(32), tokens());
        let adapted = lora(&config).adapt(tokens.clone()).tokens;
        let damped = tokens.clone().mul_scalar(1.0 - config.lambda).into_data();
        adapted.into_data().assert_approx_eq::<f32>(&damped, Tolerance::absolute(1e-6));
        let same = Identity.adapt(tokens.clone()).tokens.into_data();
        same.assert_eq(&tokens.into_data(), true);
    }

    #[test]
    fn a_single_lora_is_a_mixture_of_one_expert() {
        let config = MoeLoraConfig { up: UpStart::Orthogonal, ..MoeLoraConfig::new(32) };
        let config = MoeLoraConfig { experts: 1, top_k: 1, ..config };
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        let mixture: MoeLora<Flex> = config.init(rng, &Default::default()).unwrap();
        let (adapted, tokens) = (lora(&config), tokens());
        let (one, mixed) = (adapted.adapt(tokens.clone()), mixture.adapt(tokens.clone()));
        let close = Tolerance::absolute(1e-5);
        one.tokens.to_data().assert_approx_eq::<f32>(&mixed.tokens.into_data(), close);
        assert!(one.routing.is_none() && one.codes.is_none());
        let moved = (one.tokens - tokens.mul_scalar(0.9)).abs().max().into_scalar();
        assert!(moved > 1e-2, "it adds something: {moved}");
    }

    #[test]
    fn a_single_lora_reads_all_channels_whatever_the_experts_slices() {
        let slices = Some(vec![8, 8, 8, 8]);
        let config = MoeLoraConfig { slices, rank: 4, ..MoeLoraConfig::new(32) };
        let values = lora(&config).down.val().into_data().to_vec::<f32>().unwrap();
        assert!(values.len() == 4 * 32 && values.iter().all(|value| *value != 0.0));
        let plain = MoeLoraConfig { fofs: Fofs::Off, slices: None, ..config };
        let values = lora(&plain).down.val().into_data().to_vec::<f32>().unwrap();
        assert!(values.iter().all(|value| value.abs() <= 32f32.sqrt().recip()));
    }

    #[test]
    fn matrices_of_another_size_are_refused() {
        let device = Default::default();
        let (down, up) = (Tensor::zeros([8, 32], &device), Tensor::zeros([32, 7], &device));
        let weights = SingleLoraWeights::<Flex> { down, up };
        let error = SingleLora::with_weights(&MoeLoraConfig::new(32), weights).unwrap_err();
        assert!(error.to_string().contains("up has shape [32, 7]"), "{error}");
    }
}
