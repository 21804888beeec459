//! The mixture against the same mixture with every expert's output built, values and gradients.

use burn::backend::{Autodiff, Flex, NdArray};
use burn::tensor::{Distribution, TensorData, Tolerance};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

fn config() -> MoeLoraConfig {
    MoeLoraConfig { experts: 5, top_k: 2, rank: 3, alpha: 8.0, ..MoeLoraConfig::new(32) }
}

fn mixture<B: Backend>() -> MoeLora<B> {
    let device = Default::default();
    let draw = |shape: [usize; 2]| Tensor::random(shape, Distribution::Normal(0.0, 0.3), &device);
    let weights = MoeLoraWeights {
        gate: draw([5, 32]),
        down: Tensor::from_data(fofs(&config(), &mut ChaCha8Rng::seed_from_u64(7)), &device),
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
    let tokens =
        Tensor::<Ad<B>, 3>::random([2, 7, 32], Distribution::Normal(0.0, 1.0), &Default::default())
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
