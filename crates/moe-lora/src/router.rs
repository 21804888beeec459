//! Which experts a token asks, and how much it trusts each.

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Int, Tensor, backend::Backend};

/// The routing of a batch of tokens.
#[derive(Debug, Clone)]
pub struct Routing<B: Backend> {
    /// Softmax over all experts, `[batch * tokens, experts]`.
    pub probabilities: Tensor<B, 2>,
    /// Weights of the chosen experts, summing to one per token and zero for the others,
    /// `[batch * tokens, experts]`.
    pub weights: Tensor<B, 2>,
    /// Place of each expert in its token's order, 0 for the most probable; equal probabilities
    /// are ordered by index. `[batch * tokens, experts]`.
    pub ranking: Tensor<B, 2, Int>,
    /// Experts asked per token.
    pub top_k: usize,
}

impl<B: Backend> Routing<B> {
    /// Routes tokens by their logits, `[batch * tokens, experts]`.
    pub fn new(logits: Tensor<B, 2>, top_k: usize) -> Self {
        let probabilities = softmax(logits, 1);
        let ranking = rank(probabilities.clone());
        let chosen = ranking.clone().lower_elem(top_k as i64);
        let kept = probabilities.clone().mask_fill(chosen.bool_not(), 0.0);
        let weights = kept.clone() / kept.sum_dim(1);
        Self { probabilities, weights, ranking, top_k }
    }

    /// Indices of the chosen experts, most probable first, `[batch * tokens, top_k]`.
    pub fn selected(&self) -> Tensor<B, 2, Int> {
        let [tokens, experts] = self.ranking.dims();
        let device = self.ranking.device();
        let indices = Tensor::<B, 1, Int>::arange(0..experts as i64, &device)
            .unsqueeze::<2>()
            .expand([tokens, experts]);
        let at = |place: usize| {
            let here = self.ranking.clone().equal_elem(place as i64);
            indices.clone().mask_fill(here.bool_not(), 0).sum_dim(1)
        };
        Tensor::cat((0..self.top_k).map(at).collect(), 1)
    }
}

/// How many experts stand before each: those more probable, and those equal with a lower index.
/// Comparisons alone, so every backend breaks ties alike.
fn rank<B: Backend>(probabilities: Tensor<B, 2>) -> Tensor<B, 2, Int> {
    let [tokens, experts] = probabilities.dims();
    let device = probabilities.device();
    let values = probabilities.detach();
    let square = [tokens, experts, experts];
    let own = values.clone().unsqueeze_dim::<3>(2).expand(square);
    let other = values.unsqueeze_dim::<3>(1).expand(square);
    let lower_index = Tensor::<B, 2, Bool>::tril_mask([experts, experts], -1, &device)
        .bool_not()
        .unsqueeze::<3>()
        .expand(square);
    let before = other.clone().greater(own.clone()).bool_or(other.equal(own).bool_and(lower_index));
    before.int().sum_dim(2).squeeze_dim(2)
}

#[cfg(test)]
mod tests {
    use burn::backend::{Flex, NdArray};

    use super::*;

    fn check<B: Backend>() {
        let device = Default::default();
        let logits = Tensor::<B, 2>::from_floats(
            [[0.0, 0.0, 0.0, 0.0], [1.0, 3.0, 2.0, 3.0], [0.0, 1.0, 0.0, 0.0]],
            &device,
        );
        let routing = Routing::new(logits, 2);
        let selected = routing.selected().into_data().convert::<i64>();
        assert_eq!(selected.to_vec::<i64>().unwrap(), [0, 1, 1, 3, 1, 0]);
        let weights = routing.weights.into_data().to_vec::<f32>().unwrap();
        assert_eq!(weights[..8], [0.5, 0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.5]);
        assert!((weights[8..].iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn ties_go_to_the_lowest_index_on_every_backend() {
        check::<Flex>();
        check::<NdArray>();
    }
}
