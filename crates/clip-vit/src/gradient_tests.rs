//! The written-out gradient against the same block under plain autodiff, and the frozen tower against
//! a tracked one.

use burn::backend::{Autodiff, Flex, NdArray};
use burn::module::{AutodiffModule, Module};
use burn::tensor::{Distribution, Tolerance};

use super::*;
use crate::{
    ClipSpecBuilder, Frozen, FrozenLayers, Precision, RandomWeights, TextBackbone, TextTower,
    VisionBackbone, VisionTower, end_of_text,
};

type Ad<B> = Autodiff<B>;

fn spec(activation: Activation) -> crate::ClipSpec {
    let builder = ClipSpecBuilder::new().vision(7, 3, 48, 3).text(40, 2).tokens(12, 64).embed(16);
    let builder = builder.vision_heads(6).text_heads(5).activation(activation);
    builder.build().unwrap()
}

/// Within 1e-4 in relative L2, the tolerance of a stage.
fn close(a: Tensor<impl Backend, 3>, b: Tensor<impl Backend, 3>) {
    let (a, b) = (a.into_data(), b.into_data());
    let pairs = || a.iter::<f64>().zip(b.iter::<f64>());
    let distance: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = pairs().map(|(_, b)| b.powi(2)).sum();
    let error = (distance / norm).sqrt();
    assert!(error < 1e-4, "off by {error}");
}

fn check_block<B: Backend>(block: &ResidualBlock<B>) {
    let device = Default::default();
    let draw = || Tensor::<B, 3>::random([2, 10, 48], Distribution::Normal(0.0, 1.0), &device);
    let (input, output_gradient) = (draw(), draw());
    let ours = block.input_gradient(input.clone(), output_gradient.clone());

    let tracked: ResidualBlock<Ad<B>> = AutodiffModule::from_inner(block.clone());
    let input = Tensor::<Ad<B>, 3>::from_inner(input).require_grad();
    let output = tracked.no_grad().forward(input.clone());
    let gradients = (output * Tensor::from_inner(output_gradient)).sum().backward();
    close(ours, input.grad(&gradients).unwrap());
}

fn check<B: Backend>() {
    for activation in [Activation::QuickGelu, Activation::Gelu] {
        let device = Default::default();
        let weights = RandomWeights::new(3);
        let tower = VisionTower::<B>::load(&spec(activation), &weights, Precision::F32, &device);
        let block = tower.unwrap().frozen_layer(1).clone();
        for visibility in [Visibility::Causal, Visibility::All] {
            for attention in [
                AttentionKind::QueryKey,
                AttentionKind::ValueValue,
                AttentionKind::ValueValueAcrossBatch,
            ] {
                let mut block = block.clone();
                block.visibility = visibility;
                block.attend_by(attention);
                check_block(&block);
            }
        }
    }
}

#[test]
fn the_written_out_gradient_is_autodiffs() {
    check::<Flex>();
    check::<NdArray>();
}

#[test]
fn a_frozen_tower_computes_what_a_tracked_one_does() {
    let device = Default::default();
    let (spec, weights) = (spec(Activation::QuickGelu), RandomWeights::new(5));
    let tower = VisionTower::<Flex>::load(&spec, &weights, Precision::F32, &device).unwrap();
    let tracked: VisionTower<Ad<Flex>> = AutodiffModule::from_inner(tower.clone());
    let tracked = tracked.no_grad();
    let images = Tensor::random([1, 3, 28, 35], Distribution::Default, &device);
    let run = |backbone: &dyn VisionBackbone<Ad<Flex>>| {
        let tokens = backbone.embed(Tensor::from_inner(images.clone())).detach().require_grad();
        let out = backbone.layer(1, backbone.layer(0, tokens.clone()));
        let out = backbone.post_norm(out);
        let gradients = out.clone().powi_scalar(3).sum().backward();
        (out.inner(), tokens.grad(&gradients).unwrap())
    };
    let (frozen, tracked) = (run(&Frozen::new(tower)), run(&tracked));
    close(frozen.0, tracked.0);
    close(frozen.1, tracked.1);
}

/// Gradient of learned tokens in the middle of two prompts, of which only the first places are read.
fn prompt_gradient<B: Backend>(text: &impl TextBackbone<Ad<B>>) -> Tensor<Ad<B>, 3> {
    let prompts =
        [vec![1, 2, 3, 4, 9, 63, 0, 0, 0, 0, 0, 0], vec![1, 2, 3, 63, 0, 0, 0, 0, 0, 0, 0, 0]];
    let tokens = text.look_up(&prompts).unwrap();
    let [count, _, width] = tokens.dims();
    let learned = tokens.clone().narrow(1, 1, 2).detach().require_grad();
    let rest = tokens.clone().narrow(1, 3, 4);
    let tokens = Tensor::cat(vec![tokens.narrow(1, 0, 1), learned.clone(), rest], 1);
    assert_eq!(tokens.dims(), [count, 7, width], "places behind the ends are left out");
    let features = text.finish(text.layers(text.add_positions(tokens)), &end_of_text(&prompts));
    let gradients = text.project(features).powi_scalar(3).sum().backward();
    Tensor::from_inner(learned.grad(&gradients).unwrap())
}

fn check_prompts<B: Backend>() {
    let (spec, weights) = (spec(Activation::Gelu), RandomWeights::new(9));
    let text = TextTower::<B>::load(&spec, &weights, Precision::F32, &Default::default()).unwrap();
    let tracked: TextTower<Ad<B>> = AutodiffModule::from_inner(text.clone());
    let tracked = prompt_gradient(&tracked.no_grad()).inner();
    close(prompt_gradient(&Frozen::new(text)).inner(), tracked);
}

#[test]
fn learned_prompts_get_autodiffs_gradient_through_a_frozen_text_tower() {
    check_prompts::<Flex>();
    check_prompts::<NdArray>();
}

#[test]
fn later_tokens_do_not_change_a_prompts_features() {
    let device = Default::default();
    let (spec, weights) = (spec(Activation::Gelu), RandomWeights::new(7));
    let text = TextTower::<Flex>::load(&spec, &weights, Precision::F32, &device).unwrap();
    let prompt = |rest: i64| {
        let mut row = vec![1, 5, 9, 63];
        row.resize(12, rest);
        row
    };
    let features = text.encode(&[prompt(0), prompt(8)]).unwrap();
    let first = features.clone().narrow(0, 0, 1).into_data();
    first.assert_approx_eq::<f32>(&features.narrow(0, 1, 1).into_data(), Tolerance::absolute(1e-6));
    assert!(text.encode(&[vec![1; 11]]).is_err(), "a row of another length");
    assert!(text.encode(&[vec![64; 12]]).is_err(), "an id past the table");
}
