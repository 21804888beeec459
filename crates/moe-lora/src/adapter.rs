//! The seam between a model and whatever adapts its tokens.

use burn::tensor::{Tensor, backend::Backend};

use crate::{ExpertCodes, Routing};

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
