//! What pretraining minimises. None of it knows where a defect is.
//!
//! - pairs: is this sentence true of this picture? The sigmoid loss of Zhai et al. 2023 (SigLIP), with
//!   true and false pairs weighed alike: several sentences of a batch may be true of one picture.
//! - state: which of the two sentences of a picture, which differ in the state alone? Half of the
//!   pictures have a twin from which they differ in the defect alone.
//! - patches: a picture is defective if one of its patches is (noisy or), read from each tap: what the
//!   caption says of the whole becomes a feature of patches.
//! - replaced: which patches were replaced by something else? Self-supervised, on normal pictures.

use burn::tensor::{Tensor, TensorData, backend::Backend};

use super::PretrainLosses;
use super::batch::Shard;
use super::model::Answers;

/// Keeps the logarithm of "at least one" from minus infinity.
const LEAST: f64 = 1e-6;

/// The terms, each `[1]` and unweighted, and how often the state was right.
#[derive(Debug, Clone)]
pub struct PretrainTerms<B: Backend> {
    /// What is minimised: the weighted sum.
    pub total: Tensor<B, 1>,
    /// Of sentences and pictures.
    pub pairs: Tensor<B, 1>,
    /// Of the two states.
    pub state: Tensor<B, 1>,
    /// Of patches, mean over taps.
    pub patches: Tensor<B, 1>,
    /// Of replaced patches, mean over taps.
    pub replaced: Tensor<B, 1>,
    /// Share of pictures whose state the class token told rightly.
    pub state_accuracy: Tensor<B, 1>,
    /// Share of pictures whose state the last tap's patches told rightly.
    pub patch_accuracy: Tensor<B, 1>,
}

/// What is true, in tensors.
#[derive(Debug, Clone)]
pub struct Truth<B: Backend> {
    /// 1 where a sentence is true of a picture: `[pictures, sentences]`.
    pub pairs: Tensor<B, 2>,
    /// 1 for a defective picture, -1 for a normal one: `[pictures]`.
    pub signs: Tensor<B, 1>,
    /// 1 where a patch was replaced: `[all pictures, patches]`.
    pub replaced: Tensor<B, 2>,
    /// 1 for pictures of which that is told: `[all pictures, 1]`.
    pub told: Tensor<B, 2>,
}

impl<B: Backend> Truth<B> {
    /// The truth about a shard.
    pub fn of(shard: &Shard, device: &B::Device) -> Self {
        let (all, captioned) = (shard.len(), shard.facts.len());
        let claims = || {
            let normal = shard.captions.iter().map(|pair| pair.normal.claim);
            normal.chain(shard.captions.iter().map(|pair| pair.defective.claim))
        };
        let truth = shard.facts.iter().flat_map(|facts| {
            claims().map(move |claim| if claim.is_true_of(facts) { 1.0_f32 } else { 0.0 })
        });
        let truth =
            TensorData::new(truth.collect::<Vec<f32>>(), [captioned, 2 * shard.captions.len()]);
        let sign = |defect: bool| if defect { 1.0_f32 } else { -1.0 };
        let signs = shard.facts.iter().map(|facts| sign(facts.defect.is_some()));
        let patches = shard.replaced.len() / all.max(1);
        Self {
            pairs: Tensor::from_data(truth, device),
            signs: Tensor::from_data(
                TensorData::new(signs.collect::<Vec<f32>>(), [captioned]),
                device,
            ),
            replaced: Tensor::from_data(
                TensorData::new(shard.replaced.clone(), [all, patches]),
                device,
            ),
            told: Tensor::from_data(TensorData::new(shard.told.clone(), [all, 1]), device),
        }
    }
}

/// The terms of a shard.
pub fn objective<B: Backend>(
    answers: Answers<B>,
    truth: &Truth<B>,
    weights: &PretrainLosses,
) -> PretrainTerms<B> {
    let Answers { pairs, state, patches, replaced } = answers;
    let right =
        |logits: Tensor<B, 1>| (logits * truth.signs.clone()).greater_elem(0.0).float().mean();
    let last = patches.last().map(|logits| right(some_patch(logits.clone())));
    let state_accuracy = right(state.clone());
    let pairs = pair_loss(pairs, truth.pairs.clone());
    let state = softplus((state * truth.signs.clone()).neg()).mean();
    let patch_losses = patches.into_iter().map(|logits| patch_loss(logits, truth.signs.clone()));
    let patches = mean(patch_losses.collect());
    let replaced_losses = replaced.into_iter().map(|logits| replaced_loss(logits, truth));
    let replaced = mean(replaced_losses.collect());
    let total = pairs.clone() * weights.pairs
        + state.clone() * weights.state
        + patches.clone() * weights.patches
        + replaced.clone() * weights.replaced;
    let patch_accuracy = last.unwrap_or_else(|| total.zeros_like());
    PretrainTerms { total, pairs, state, patches, replaced, state_accuracy, patch_accuracy }
}

/// Sigmoid loss of sentences and pictures.
fn pair_loss<B: Backend>(logits: Tensor<B, 2>, truth: Tensor<B, 2>) -> Tensor<B, 1> {
    let all = truth.ones_like();
    balanced(logits, truth, all)
}

/// Binary cross-entropy, the mean over what is true and the mean over what is not weighed alike: both
/// are rare somewhere, and a small term moves nothing. `counted` is 1 for what has a say.
fn balanced<B: Backend>(
    logits: Tensor<B, 2>,
    truth: Tensor<B, 2>,
    counted: Tensor<B, 2>,
) -> Tensor<B, 1> {
    let falses = truth.clone().neg().add_scalar(1.0) * counted.clone();
    let weighed = |losses: Tensor<B, 2>, which: Tensor<B, 2>| {
        (losses * which.clone()).sum() / which.sum().add_scalar(LEAST)
    };
    let trues = truth * counted;
    weighed(softplus(logits.clone().neg()), trues) + weighed(softplus(logits), falses)
}

/// A picture is defective if one of its patches is: the chance that none is, is the product of theirs.
fn patch_loss<B: Backend>(logits: Tensor<B, 2>, signs: Tensor<B, 1>) -> Tensor<B, 1> {
    let none = softplus(logits).sum_dim(1).squeeze_dim::<1>(1);
    let some = none.clone().neg().exp().neg().add_scalar(1.0 + LEAST).log().neg();
    let is_defective = signs.add_scalar(1.0).div_scalar(2.0);
    (some * is_defective.clone() + none * is_defective.neg().add_scalar(1.0)).mean()
}

/// Positive where it is likelier that some patch is defective than that none is.
fn some_patch<B: Backend>(logits: Tensor<B, 2>) -> Tensor<B, 1> {
    softplus(logits).sum_dim(1).squeeze_dim::<1>(1).sub_scalar(std::f64::consts::LN_2)
}

/// Over the patches of pictures of which it is told.
fn replaced_loss<B: Backend>(logits: Tensor<B, 2>, truth: &Truth<B>) -> Tensor<B, 1> {
    let counted = truth.told.clone().expand(truth.replaced.dims());
    balanced(logits, truth.replaced.clone(), counted)
}

fn mean<B: Backend>(losses: Vec<Tensor<B, 1>>) -> Tensor<B, 1> {
    Tensor::cat(losses, 0).mean()
}

/// `ln(1 + exp(x))` without overflow.
fn softplus<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let falling = x.clone().abs().neg().exp().log1p();
    x.clamp_min(0.0) + falling
}
