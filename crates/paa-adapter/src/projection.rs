//! Patches of a tap into the joint embedding.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};
use rand::Rng;

use crate::{unit, xavier_uniform};

/// A linear map without bias whose outputs are made unit.
#[derive(Module, Debug)]
pub struct UnitProjection<B: Backend> {
    /// `[embed, width]`
    pub weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> UnitProjection<B> {
    /// Xavier uniform, as training starts.
    pub fn init(width: usize, embed: usize, rng: &mut impl Rng, device: &B::Device) -> Self {
        let weight = xavier_uniform([embed, width], width, embed, rng);
        Self::with_weight(Tensor::from_data(weight, device))
    }

    /// The projection of a given matrix, `[embed, width]`.
    pub fn with_weight(weight: Tensor<B, 2>) -> Self {
        Self { weight: Param::from_tensor(weight) }
    }

    /// # Shapes
    ///
    /// - patches: `[batch, patches, width]`
    /// - output: `[batch, patches, embed]`, each of length one
    pub fn forward(&self, patches: Tensor<B, 3>) -> Tensor<B, 3> {
        unit(patches.matmul(self.weight.val().transpose().unsqueeze()))
    }
}
