//! Load balance: the squared coefficient of variation of the experts' summed probability.

use burn::tensor::{Tensor, backend::Backend};

/// Keeps the ratio finite when no expert has any load.
const EPSILON: f64 = 1e-6;

/// Zero when every expert carries the same load.
///
/// # Shapes
///
/// - probabilities: `[tokens, experts]`, the router's softmax; at least two experts
/// - output: `[1]`
pub fn balance<B: Backend>(probabilities: Tensor<B, 2>) -> Tensor<B, 1> {
    let [_, experts] = probabilities.dims();
    let load = probabilities.sum_dim(0);
    let mean = load.clone().mean_dim(1);
    // The variance itself, so that its root needs no slope at an even load.
    let variance = (load - mean.clone()).square().sum_dim(1).div_scalar((experts - 1) as f64);
    (variance / (mean + EPSILON).square()).reshape([1])
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    #[test]
    fn an_even_load_costs_nothing_one_busy_expert_costs_the_number_of_experts() {
        let device = Default::default();
        let even: f32 = balance(Tensor::<Flex, 2>::full([8, 4], 0.25, &device)).into_scalar();
        assert!(even.abs() < 1e-9);
        let busy = Tensor::<Flex, 2>::from_floats([[1.0, 0.0, 0.0, 0.0]], &device);
        let busy: f32 = balance(busy).into_scalar();
        assert!((busy - 4.0).abs() < 1e-4, "std 0.5, mean 0.25: (0.5 / 0.25)^2 = 4, found {busy}");
    }
}
