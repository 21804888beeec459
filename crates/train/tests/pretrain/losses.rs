//! The terms by numbers that were worked out by hand, and what sentences are true of.

use burn::backend::Flex;
use burn::tensor::Tensor;
use moeclip_data::synthetic::{Category, DefectKind};
use moeclip_train::pretrain::{Answers, Claim, Facts, PretrainLosses, Truth, objective};

type B = Flex;

/// `ln(1 + exp(x))`
fn softplus(x: f64) -> f64 {
    x.exp().ln_1p()
}

fn near(tensor: Tensor<B, 1>, expected: f64) {
    let found = f64::from(tensor.into_scalar());
    assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
}

#[test]
fn every_term_is_what_it_says() {
    let device = Default::default();
    // One normal and one defective picture, two patches each, and a third without captions.
    let answers = Answers::<B> {
        pairs: Tensor::from_floats([[2.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 3.0]], &device),
        state: Tensor::from_floats([-1.0, -0.5], &device),
        patches: vec![Tensor::from_floats([[-2.0, -3.0], [1.0, -4.0]], &device)],
        replaced: vec![Tensor::from_floats([[-1.0, -2.0], [9.0, 9.0], [0.5, -0.5]], &device)],
    };
    let truth = Truth::<B> {
        pairs: Tensor::from_floats([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]], &device),
        signs: Tensor::from_floats([-1.0, 1.0], &device),
        replaced: Tensor::from_floats([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]], &device),
        told: Tensor::from_floats([[1.0], [0.0], [1.0]], &device),
    };
    let weights = PretrainLosses { pairs: 1.0, state: 2.0, patches: 3.0, replaced: 4.0 };
    let terms = objective(answers, &truth, &weights);

    let falses = softplus(-1.0) + softplus(1.0) + 4.0 * softplus(0.0);
    let pairs = (softplus(-2.0) + softplus(-3.0)) / 2.0 + falses / 6.0;
    let state = (softplus(-1.0) + softplus(0.5)) / 2.0;
    let none = [softplus(-2.0) + softplus(-3.0), softplus(1.0) + softplus(-4.0)];
    let patches = (none[0] - (1.0 - (-none[1]).exp()).ln()) / 2.0;
    let replaced = softplus(-0.5) + (softplus(-1.0) + softplus(-2.0) + softplus(-0.5)) / 3.0;
    near(terms.pairs, pairs);
    near(terms.state, state);
    near(terms.patches, patches);
    near(terms.replaced, replaced);
    near(terms.total, pairs + 2.0 * state + 3.0 * patches + 4.0 * replaced);
    near(terms.state_accuracy, 0.5);
    near(terms.patch_accuracy, 1.0);
}

#[test]
fn a_sentence_is_true_of_what_it_says() {
    let scratched = Facts { category: Category::Pill, defect: Some(DefectKind::Scratch) };
    let whole = Facts { category: Category::Pill, defect: None };
    let claim = |category, is_defective, defect| Claim { category, is_defective, defect };
    let pill = Some(Category::Pill);
    for (claim, of_scratched, of_whole) in [
        (claim(pill, false, None), false, true),
        (claim(pill, true, None), true, false),
        (claim(None, true, None), true, false),
        (claim(Some(Category::Gear), true, None), false, false),
        (claim(pill, true, Some(DefectKind::Scratch)), true, false),
        (claim(pill, true, Some(DefectKind::Crack)), false, false),
    ] {
        assert_eq!(claim.is_true_of(&scratched), of_scratched, "{claim:?}");
        assert_eq!(claim.is_true_of(&whole), of_whole, "{claim:?}");
    }
}
