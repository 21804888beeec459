//! Simplex equiangular tight frame: experts' outputs should point as far apart as they can.

use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Outputs shorter than this are divided by this instead of their own length.
const SHORTEST: f64 = 1e-6;

/// Mean squared distance between the cosines of the experts' outputs and the simplex ETF (1 on the
/// diagonal, `-1 / (experts - 1)` elsewhere).
///
/// # Shapes
///
/// - cosines: `[experts, experts, tokens]`, as [`output_cosines`] gives them
/// - output: `[1]`
pub fn etf<B: Backend>(cosines: Tensor<B, 3>) -> Tensor<B, 1> {
    let [experts, _, tokens] = cosines.dims();
    let ideal = target(experts, 1.0, -1.0 / (experts as f32 - 1.0), &cosines.device());
    let distance = (cosines - ideal).square();
    distance.sum().div_scalar((experts * experts * tokens) as f64)
}

/// Mean cosine between the outputs of two different experts, over all pairs and tokens: 1 when all
/// say the same, `-1 / (experts - 1)` when they stand as far apart as they can, 0 while B is zero.
///
/// # Shapes
///
/// - cosines: `[experts, experts, tokens]`, as [`output_cosines`] gives them
/// - output: `[1]`
pub fn similarity<B: Backend>(cosines: Tensor<B, 3>) -> Tensor<B, 1> {
    let [experts, _, tokens] = cosines.dims();
    let pairs = target(experts, 0.0, 1.0, &cosines.device());
    let count = experts * experts.saturating_sub(1) * tokens;
    (cosines * pairs).sum().div_scalar(count.max(1) as f64)
}

/// Cosines between the experts' outputs for every token.
///
/// The outputs are never built: with codes `z_n = A_n x`, the Gram entry is `z_n' (B_n' B_m) z_m`,
/// and `B' B` is one matrix of `[experts * rank]²` for all tokens.
///
/// # Shapes
///
/// - codes: `[tokens, experts * rank]`
/// - up: `[width, experts * rank]`, the stacked `B`, scaled as the outputs are
/// - output: `[experts, experts, tokens]`
pub fn output_cosines<B: Backend>(
    codes: Tensor<B, 2>,
    up: Tensor<B, 2>,
    experts: usize,
) -> Tensor<B, 3> {
    let gram = output_gram(codes, up, experts);
    let diagonal = target(experts, 1.0, 0.0, &gram.device());
    let squares = (gram.clone() * diagonal).sum_dim(1);
    let lengths = squares.clamp_min(SHORTEST * SHORTEST).sqrt();
    gram / lengths.clone() / lengths.swap_dims(0, 1)
}

/// Inner products of the experts' outputs, `[experts, experts, tokens]`.
fn output_gram<B: Backend>(codes: Tensor<B, 2>, up: Tensor<B, 2>, experts: usize) -> Tensor<B, 3> {
    let [tokens, stacked] = codes.dims();
    let rank = stacked / experts;
    let up_gram = up.clone().transpose().matmul(up).reshape([experts, rank, stacked]);
    let per_expert = codes.clone().reshape([tokens, experts, rank]).swap_dims(0, 1);
    let crossed = per_expert.matmul(up_gram) * codes.unsqueeze::<3>();
    crossed
        .reshape([experts, tokens, experts, rank])
        .sum_dim(3)
        .reshape([experts, tokens, experts])
        .swap_dims(1, 2)
}

/// `[experts, experts, 1]` with one value on the diagonal and another elsewhere.
fn target<B: Backend>(experts: usize, on: f32, off: f32, device: &B::Device) -> Tensor<B, 3> {
    let value = |index: usize| if index / experts == index % experts { on } else { off };
    let values: Vec<f32> = (0..experts * experts).map(value).collect();
    Tensor::from_data(TensorData::new(values, [experts, experts, 1]), device)
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex, NdArray};
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    /// The cosines from materialised outputs.
    fn materialised<B: Backend>(
        codes: Tensor<B, 2>,
        up: Tensor<B, 2>,
        experts: usize,
    ) -> Tensor<B, 3> {
        let [tokens, stacked] = codes.dims();
        let [width, _] = up.dims();
        let rank = stacked / experts;
        let outputs = codes.reshape([tokens, experts, rank]).swap_dims(0, 1);
        let outputs = outputs.matmul(up.transpose().reshape([experts, rank, width]));
        let outputs = outputs.swap_dims(0, 1);
        let unit = outputs.clone() / outputs.square().sum_dim(2).sqrt().clamp_min(SHORTEST);
        let cosines = unit.clone().matmul(unit.transpose());
        cosines.permute([1, 2, 0])
    }

    fn check<B: Backend>() {
        type Ad<B> = Autodiff<B>;
        let device = Default::default();
        let codes = Tensor::<Ad<B>, 2>::random([9, 12], Distribution::Normal(0.0, 1.0), &device);
        let up = Tensor::<Ad<B>, 2>::random([16, 12], Distribution::Normal(0.0, 1.0), &device);
        let (codes, up) = (codes.require_grad(), up.require_grad());
        let thin = output_cosines(codes.clone(), up.clone(), 4);
        let full = materialised(codes.clone(), up.clone(), 4);
        let close = Tolerance::relative(1e-4).set_absolute(1e-6);
        thin.to_data().assert_approx_eq::<f32>(&full.to_data(), close);
        let (thin, full) = (etf(thin).backward(), etf(full).backward());
        for tensor in [codes, up] {
            let (a, b) = (tensor.grad(&thin).unwrap(), tensor.grad(&full).unwrap());
            a.into_data().assert_approx_eq::<f32>(&b.into_data(), close);
        }
    }

    #[test]
    fn the_gram_identity_holds_for_values_and_gradients() {
        check::<Flex>();
        check::<NdArray>();
    }

    #[test]
    fn the_zero_start_is_flat_not_undefined() {
        let device = Default::default();
        let codes = Tensor::<Autodiff<Flex>, 2>::ones([3, 8], &device);
        let up = Tensor::<Autodiff<Flex>, 2>::zeros([6, 8], &device).require_grad();
        let gradients = etf(output_cosines(codes, up.clone(), 4)).backward();
        let gradient = up.grad(&gradients).unwrap().into_data().to_vec::<f32>().unwrap();
        assert!(gradient.iter().all(|value| *value == 0.0));
    }

    #[test]
    fn similarity_is_one_for_equal_experts_and_zero_at_the_zero_start() {
        let device = Default::default();
        let similar = |codes: Tensor<Flex, 2>, up: Tensor<Flex, 2>| -> f32 {
            similarity(output_cosines(codes, up, 2)).into_scalar()
        };
        let codes = Tensor::from_floats([[1.0, 1.0], [2.0, -2.0]], &device);
        let equal = Tensor::from_floats([[1.0, 1.0], [3.0, 3.0]], &device);
        assert!(similar(codes.clone(), equal).abs() < 1e-6, "one token agrees, one opposes");
        let agreeing = Tensor::from_floats([[1.0, 2.0], [2.0, 4.0]], &device);
        let equal = Tensor::from_floats([[1.0, 1.0], [3.0, 3.0]], &device);
        assert!((similar(agreeing, equal) - 1.0).abs() < 1e-5);
        let across = Tensor::from_floats([[1.0, 0.0], [0.0, 1.0]], &device);
        assert!(similar(codes.clone(), across).abs() < 1e-6);
        assert_eq!(similar(codes, Tensor::zeros([2, 2], &device)), 0.0);
    }
}
