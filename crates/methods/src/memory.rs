//! What normal references looked like, place by place: few-shot methods ask how near the nearest
//! remembered vector is.

use burn::tensor::{Tensor, backend::Backend};
use paa_adapter::unit;

/// Vectors of normal images that any place of any image is compared with.
#[derive(Debug, Clone)]
pub struct MemoryBank<B: Backend> {
    /// `[entries, width]`, unit
    entries: Tensor<B, 2>,
}

impl<B: Backend> MemoryBank<B> {
    /// Remembers every place of every reference.
    ///
    /// # Shapes
    ///
    /// - references: `[references, places, width]`
    pub fn new(references: Tensor<B, 3>) -> Self {
        Self { entries: unit(Self::rows(references)) }
    }

    /// Places as rows, reference after reference: `[references * places, width]`.
    pub fn rows(references: Tensor<B, 3>) -> Tensor<B, 2> {
        references.flatten(0, 1)
    }

    /// The cosine of each place to the remembered vector that is most like it.
    ///
    /// # Shapes
    ///
    /// - features: `[batch, places, width]`
    /// - output: `[batch, places]`
    pub fn best_cosine(&self, features: Tensor<B, 3>) -> Tensor<B, 2> {
        let cosines = unit(features).matmul(self.entries.clone().transpose().unsqueeze());
        cosines.max_dim(2).squeeze_dim(2)
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::Tolerance;

    use super::*;

    #[test]
    fn the_most_alike_of_all_references_counts_whatever_its_length() {
        let device = Default::default();
        let references = Tensor::<Flex, 3>::from_floats([[[5.0, 0.0]], [[-0.1, -0.1]]], &device);
        let features = Tensor::from_floats([[[3.0, 4.0], [-2.0, -2.0]]], &device);
        let best = MemoryBank::new(references).best_cosine(features);
        best.into_data()
            .assert_approx_eq::<f32>(&[[0.6f32, 1.0]].into(), Tolerance::absolute(1e-6));
    }
}
