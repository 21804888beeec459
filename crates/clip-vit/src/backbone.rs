//! What a model needs of an image tower: its sizes, its embedding, and its layers one by one.

use burn::tensor::{Tensor, backend::Backend};

use crate::VisionSpec;

/// An image tower whose layer loop belongs to the model that uses it.
pub trait VisionBackbone<B: Backend> {
    /// The sizes of the tower.
    fn spec(&self) -> &VisionSpec;

    /// Images to the tokens that enter the first layer; token 0 is the class token.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, height, width]`, normalised; height and width may be any size that
    ///   holds a patch, and what does not fill one at the right and lower border is left out
    /// - output: `[batch, 1 + patches, width]`
    fn embed(&self, images: Tensor<B, 4>) -> Tensor<B, 3>;

    /// One transformer block.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, 1 + patches, width]`
    /// - output: `[batch, 1 + patches, width]`
    fn layer(&self, index: usize, tokens: Tensor<B, 3>) -> Tensor<B, 3>;

    /// The normalisation behind the last layer, which MoECLIP applies to every tap.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, any, width]`
    /// - output: `[batch, any, width]`
    fn post_norm(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3>;
}
