//! The mixture against the same mixture with every expert's output built, values and gradients.

use super::*;
use crate::{Fofs, UpStart};
use burn::backend::{Autodiff, Flex, NdArray};
use burn::tensor::{Distribution, TensorData, Tolerance};

fn config() -> MoeLoraConfig {
    MoeLoraConfig { experts: 5, top_k: 2, rank: 3, alpha: 8.0, ..MoeLoraConfig::new(32) }
}

fn mixture<B: Backend>() -> MoeLora<B> {
    let device = Default::default();
    let draw = |shape: [usize; 2]| Tensor::random(shape, Distribution::Normal(0.0, 0.3), &device);
    let weights = MoeLoraWeights {
        gate: draw([5, 32]),
        down: Start::draw(&config(), &mut ChaCha8Rng::seed_from_u64(7), &device).down,
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

/// Gate, `A` and `B` of a fresh mixture.
fn start(config: &MoeLoraConfig) -> [TensorData; 3] {
    let moe: MoeLora<Flex> =
        config.init(&mut ChaCha8Rng::seed_from_u64(1), &Default::default()).unwrap();
    [&moe.gate, &moe.down, &moe.up].map(|param| param.val().into_data())
}

#[test]
fn another_start_of_one_matrix_leaves_the_others_as_they_are() {
    let [gate, down, up] = start(&config());
    for fofs in [Fofs::Off, Fofs::Unpartitioned] {
        let changed = start(&MoeLoraConfig { fofs, ..config() });
        assert_eq!((&changed[0], &changed[2]), (&gate, &up));
        assert_ne!(changed[1], down, "{fofs:?}");
    }
    let orthogonal = MoeLoraConfig { up: UpStart::Orthogonal, ..config() };
    let changed = start(&orthogonal);
    assert_eq!((&changed[0], &changed[1]), (&gate, &down));
    assert_ne!(changed[2], up);
    let [_, plain_down, plain_up] = start(&MoeLoraConfig { fofs: Fofs::Off, ..orthogonal });
    assert_eq!(plain_up, changed[2]);
    assert_ne!(plain_down, down);
}

#[test]
fn only_down_matrices_that_learn_have_a_gradient() {
    let device = Default::default();
    for fofs in [Fofs::On, Fofs::Trained, Fofs::Unpartitioned, Fofs::Off] {
        let config = MoeLoraConfig { fofs, up: UpStart::Orthogonal, ..config() };
        let moe: MoeLora<Autodiff<Flex>> =
            config.init(&mut ChaCha8Rng::seed_from_u64(1), &device).unwrap();
        let tokens = Tensor::random([1, 4, 32], Distribution::Normal(0.0, 1.0), &device);
        let gradients = moe.adapt(tokens).tokens.square().sum().backward();
        assert_eq!(moe.down.val().grad(&gradients).is_some(), fofs.learns(), "{fofs:?}");
        assert!(moe.up.val().grad(&gradients).is_some());
    }
}

#[test]
fn kept_experts_say_what_they_said() {
    let moe = mixture::<Flex>();
    let fewer = moe.keeping(&[0, 2, 3]).unwrap();
    assert_eq!((fewer.config().experts, fewer.up.id), (3, moe.up.id));
    let tokens = Tensor::random([1, 7, 32], Distribution::Normal(0.0, 1.0), &Default::default());
    let all = moe.adapt(tokens.clone()).codes.unwrap().outputs();
    let left = fewer.adapt(tokens).codes.unwrap().outputs();
    for (new, old) in [0, 2, 3].into_iter().enumerate() {
        let expected = all.clone().narrow(1, old, 1).into_data();
        same(left.clone().narrow(1, new, 1).into_data(), expected);
    }
}

#[test]
fn kept_experts_go_on_learning() {
    let moe = mixture::<Autodiff<Flex>>().keeping(&[1, 4]).unwrap();
    let tokens = Tensor::random([1, 7, 32], Distribution::Normal(0.0, 1.0), &Default::default());
    let gradients = moe.adapt(tokens).tokens.square().sum().backward();
    assert_eq!(moe.up.val().grad(&gradients).unwrap().dims(), [32, 6]);
    assert_eq!(moe.gate.val().grad(&gradients).unwrap().dims(), [2, 32]);
    assert!(moe.down.val().grad(&gradients).is_none(), "A is frozen");
}

#[test]
fn experts_that_cannot_be_kept_are_refused() {
    let moe = mixture::<Flex>();
    for kept in [&[][..], &[0, 5], &[1, 1, 2], &[2, 1]] {
        assert!(matches!(moe.keeping(kept), Err(MoeLoraError::Kept { .. })), "{kept:?}");
    }
    assert!(matches!(moe.keeping(&[4]), Err(MoeLoraError::TopK { top_k: 2, experts: 1 })));
}

/// A probe's gradient, averaged over tokens, is what the mean gradient of the mixture itself becomes on
/// its way through `B`: so contributions can be weighed without being built.
#[test]
fn a_probe_changes_nothing_and_sees_the_mixtures_gradient() {
    type Ad = Autodiff<Flex>;
    let (moe, device) = (mixture::<Ad>(), Default::default());
    let tokens = Tensor::<Ad, 3>::random([1, 6, 32], Distribution::Normal(0.0, 1.0), &device);
    let toward = Tensor::<Ad, 3>::random([1, 6, 32], Distribution::Normal(0.0, 1.0), &device);
    let probe = Tensor::<Ad, 2>::zeros([6, 15], &device).require_grad();
    let adapted = moe.adapt_probed(tokens.clone(), probe.clone());
    same(adapted.tokens.clone().into_data(), moe.adapt(tokens.clone()).tokens.into_data());

    let through = (adapted.tokens * toward.clone()).sum().backward();
    let (codes, routing) = (adapted.codes.unwrap(), adapted.routing.unwrap());
    let built = codes.mix(routing.weights).detach().require_grad();
    let x = tokens.reshape([6, 32]);
    let blended = blend(built.clone(), x, 0.1).reshape([1, 6, 32]);
    let at_mixture = built.grad(&(blended * toward).sum().backward()).unwrap();
    let expected = at_mixture.mean_dim(0).matmul(codes.up.inner());
    same(probe.grad(&through).unwrap().mean_dim(0).into_data(), expected.into_data());
}
