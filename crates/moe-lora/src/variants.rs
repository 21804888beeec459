//! What stands in for the mixture in an ablation: one LoRA for every token, or nothing.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use rand::Rng;

use crate::{Adapted, MoeLora, MoeLoraConfig, MoeLoraError, PatchAdapter};

/// Leaves the tokens as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity;

impl<B: Backend> PatchAdapter<B> for Identity {
    fn adapt(&self, tokens: Tensor<B, 3>) -> Adapted<B> {
        Adapted { tokens, routing: None, codes: None }
    }
}

/// One LoRA that every token passes through: a mixture of a single expert, whose router has no say.
#[derive(Module, Debug)]
pub struct SingleLora<B: Backend> {
    expert: MoeLora<B>,
}

impl<B: Backend> SingleLora<B> {
    /// One expert with the rank and strength of this configuration.
    ///
    /// # Errors
    ///
    /// [`MoeLoraError`] when the sizes cannot be built.
    pub fn init(
        config: &MoeLoraConfig,
        rng: &mut impl Rng,
        device: &B::Device,
    ) -> Result<Self, MoeLoraError> {
        let config = MoeLoraConfig { experts: 1, top_k: 1, ..config.clone() };
        Ok(Self { expert: config.init(rng, device)? })
    }
}

impl<B: Backend> PatchAdapter<B> for SingleLora<B> {
    fn adapt(&self, tokens: Tensor<B, 3>) -> Adapted<B> {
        let adapted = self.expert.adapt(tokens);
        Adapted { tokens: adapted.tokens, routing: None, codes: None }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Distribution, Tolerance};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_fresh_lora_only_damps_the_stream_and_identity_leaves_it() {
        let device = Default::default();
        let config = MoeLoraConfig::new(32);
        let lora = SingleLora::<Flex>::init(&config, &mut ChaCha8Rng::seed_from_u64(2), &device);
        let tokens = Tensor::<Flex, 3>::random([1, 5, 32], Distribution::Default, &device);
        let adapted = lora.unwrap().adapt(tokens.clone()).tokens;
        let damped = tokens.clone().mul_scalar(1.0 - config.lambda).into_data();
        adapted.into_data().assert_approx_eq::<f32>(&damped, Tolerance::absolute(1e-6));
        let same = Identity.adapt(tokens.clone()).tokens.into_data();
        same.assert_eq(&tokens.into_data(), true);
    }
}
