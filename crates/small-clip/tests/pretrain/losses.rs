//! The terms by numbers that were worked out by hand, and what sentences are true of.

use burn::backend::Flex;
use burn::tensor::Tensor;
use small_clip::{
    CaptionLabel, ImageLabel, Predictions, PretrainLosses, State, Targets, Twins, objective,
};
use synthetic_world::{Category, DefectKind};

type B = Flex;

/// `ln(1 + exp(x))`
fn softplus(x: f64) -> f64 {
    x.exp().ln_1p()
}

fn near(tensor: Tensor<B, 1>, expected: f64) {
    let found = f64::from(tensor.into_scalar());
    assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
}

/// Three pictures of two patches: a sound one, a defective one, and the sound one's twin, a patch of
/// which was replaced.
fn predictions() -> Predictions<B> {
    let device = Default::default();
    let pairs = [[2.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 3.0], [0.0, 0.0, 0.5, 0.0]];
    Predictions {
        pairs: Tensor::from_floats(pairs, &device),
        state: Tensor::from_floats([-1.0, -0.5, 0.25], &device),
        patches: vec![Tensor::from_floats([[-2.0, -3.0], [1.0, -4.0], [-1.0, -5.0]], &device)],
        replaced: vec![Tensor::from_floats([[-1.0, -2.0], [9.0, 9.0], [0.5, -0.5]], &device)],
    }
}

fn targets(twins: Option<Twins<B>>) -> Targets<B> {
    let device = Default::default();
    let pairs = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]];
    Targets {
        pairs: Tensor::from_floats(pairs, &device),
        signs: Tensor::from_floats([-1.0, 1.0, 1.0], &device),
        replaced: Tensor::from_floats([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]], &device),
        supervised: Tensor::from_floats([[1.0], [0.0], [1.0]], &device),
        twins,
    }
}

#[test]
fn every_term_is_what_it_says() {
    let device = Default::default();
    let twins = Twins {
        defective: Tensor::from_ints([2], &device),
        sound: Tensor::from_ints([0], &device),
    };
    let weights = PretrainLosses { pairs: 1.0, state: 2.0, patches: 3.0, replaced: 4.0 };
    let terms = objective(predictions(), &targets(Some(twins)), &weights);

    let falses = softplus(-1.0) + softplus(1.0) + 7.0 * softplus(0.0);
    let pairs = (softplus(-2.0) + softplus(-3.0) + softplus(-0.5)) / 3.0 + falses / 9.0;
    let of_each = (softplus(-1.0) + softplus(0.5) + softplus(-0.25)) / 3.0;
    let state = (of_each + softplus(-1.0 - 0.25)) / 2.0;
    let none = [[-2.0, -3.0], [1.0, -4.0], [-1.0, -5.0]].map(|[a, b]| softplus(a) + softplus(b));
    let some = none.map(|none| -(1.0 - (-none).exp()).ln());
    let of_each = (none[0] + some[1] + some[2]) / 3.0;
    let logit = |picture: usize| none[picture] - some[picture];
    let patches = (of_each + softplus(logit(0) - logit(2))) / 2.0;
    let replaced = softplus(-0.5) + (softplus(-1.0) + softplus(-2.0) + softplus(-0.5)) / 3.0;
    near(terms.pairs, pairs);
    near(terms.state, state);
    near(terms.patches, patches);
    near(terms.replaced, replaced);
    near(terms.total, pairs + 2.0 * state + 3.0 * patches + 4.0 * replaced);
    near(terms.state_accuracy, 2.0 / 3.0);
    near(terms.patch_accuracy, 2.0 / 3.0);
}

#[test]
fn without_twins_only_single_pictures_are_asked() {
    let weights = PretrainLosses { pairs: 0.0, state: 1.0, patches: 0.0, replaced: 0.0 };
    let terms = objective(predictions(), &targets(None), &weights);
    near(terms.total, (softplus(-1.0) + softplus(0.5) + softplus(-0.25)) / 3.0);
}

#[test]
fn a_sentence_is_true_of_what_it_says() {
    let label = |state| ImageLabel { category: Category::Pill, state };
    let scratch = State::With(DefectKind::Scratch);
    let (scratched, whole, changed) = (label(scratch), label(State::Sound), label(State::Damaged));
    let label = |category, state| CaptionLabel { category, state };
    let pill = Some(Category::Pill);
    for (label, of_scratched, of_whole, of_changed) in [
        (label(pill, State::Sound), false, true, false),
        (label(pill, State::Damaged), true, false, true),
        (label(None, State::Damaged), true, false, true),
        (label(Some(Category::Gear), State::Damaged), false, false, false),
        (label(pill, scratch), true, false, false),
        (label(pill, State::With(DefectKind::Crack)), false, false, false),
    ] {
        assert_eq!(label.describes(&scratched), of_scratched, "{label:?}");
        assert_eq!(label.describes(&whole), of_whole, "{label:?}");
        assert_eq!(label.describes(&changed), of_changed, "{label:?}");
    }
}
