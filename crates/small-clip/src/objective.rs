//! What pretraining minimises. None of it knows where a defect is.
//!
//! - pairs: is this sentence true of this picture? The sigmoid loss of Zhai et al. 2023 (SigLIP), with
//!   true and false pairs weighed alike: several sentences of a batch may be true of one picture.
//! - state: which of the two sentences of a picture, which differ in the state alone? And of which of two
//!   pictures, which differ in the state alone, is the defective sentence true?
//! - patches: the same two questions, where a picture is defective if one of its patches is (noisy or),
//!   read from each tap: what the caption says of the whole becomes a feature of patches.
//! - replaced: which patches were replaced by something else? Self-supervised, on normal pictures.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::PretrainLosses;
use crate::batch::{Shard, TwinPlaces};
use crate::model::Predictions;

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
    /// Share of pictures whose state the class token predicts rightly.
    pub state_accuracy: Tensor<B, 1>,
    /// Share of pictures whose state the last tap's patches predict rightly.
    pub patch_accuracy: Tensor<B, 1>,
}

/// What is true, in tensors.
#[derive(Debug, Clone)]
pub struct Targets<B: Backend> {
    /// 1 where a sentence is true of a picture: `[pictures, sentences]`.
    pub pairs: Tensor<B, 2>,
    /// 1 for a defective picture, -1 for a normal one: `[pictures]`.
    pub signs: Tensor<B, 1>,
    /// 1 where a patch was replaced: `[pictures, patches]`.
    pub replaced: Tensor<B, 2>,
    /// 1 for pictures of which that is a target: `[pictures, 1]`.
    pub supervised: Tensor<B, 2>,
    /// Pictures that differ in the state alone, where there are any.
    pub twins: Option<Twins<B>>,
}

/// Places of pictures that differ in the state alone.
#[derive(Debug, Clone)]
pub struct Twins<B: Backend> {
    /// Of those that something is wrong with: `[twins]`.
    pub defective: Tensor<B, 1, Int>,
    /// Of the others: `[twins]`.
    pub sound: Tensor<B, 1, Int>,
}

impl<B: Backend> Targets<B> {
    /// The targets of a shard.
    pub fn of(shard: &Shard, device: &B::Device) -> Self {
        let pictures = shard.len();
        let captions = || {
            let normal = shard.captions.iter().map(|pair| pair.normal.label);
            normal.chain(shard.captions.iter().map(|pair| pair.defective.label))
        };
        let targets = shard.labels.iter().flat_map(|image| {
            captions().map(move |caption| if caption.describes(image) { 1.0_f32 } else { 0.0 })
        });
        let targets =
            TensorData::new(targets.collect::<Vec<f32>>(), [pictures, 2 * shard.captions.len()]);
        let sign = |defect: bool| if defect { 1.0_f32 } else { -1.0 };
        let signs = shard.labels.iter().map(|label| sign(label.state.is_defective()));
        let patches = shard.replaced.len() / pictures.max(1);
        Self {
            pairs: Tensor::from_data(targets, device),
            signs: Tensor::from_data(
                TensorData::new(signs.collect::<Vec<f32>>(), [pictures]),
                device,
            ),
            replaced: Tensor::from_data(
                TensorData::new(shard.replaced.clone(), [pictures, patches]),
                device,
            ),
            supervised: Tensor::from_data(
                TensorData::new(shard.supervised.clone(), [pictures, 1]),
                device,
            ),
            twins: (!shard.twins.is_empty()).then(|| Twins::at(&shard.twins, device)),
        }
    }
}

impl<B: Backend> Twins<B> {
    fn at(places: &[TwinPlaces], device: &B::Device) -> Self {
        let tensor = |place: fn(&TwinPlaces) -> usize| {
            let places: Vec<i64> = places.iter().map(|twins| place(twins) as i64).collect();
            let count = places.len();
            Tensor::from_data(TensorData::new(places, [count]), device)
        };
        Self { defective: tensor(|twins| twins.defective), sound: tensor(|twins| twins.sound) }
    }
}

/// The terms of a shard.
pub fn objective<B: Backend>(
    predictions: Predictions<B>,
    targets: &Targets<B>,
    weights: &PretrainLosses,
) -> PretrainTerms<B> {
    let Predictions { pairs, state, patches, replaced } = predictions;
    let right =
        |logits: Tensor<B, 1>| (logits * targets.signs.clone()).greater_elem(0.0).float().mean();
    let patches: Vec<NoisyOr<B>> = patches.into_iter().map(NoisyOr::of).collect();
    let last = patches.last().map(|some| right(some.logits()));
    let state_accuracy = right(state.clone());
    let pairs = pair_loss(pairs, targets.pairs.clone());
    let one = softplus((state.clone() * targets.signs.clone()).neg()).mean();
    let state = with_twins(one, state, targets);
    let patch_losses = patches.into_iter().map(|some| {
        let logits = some.logits();
        with_twins(some.loss(targets.signs.clone()), logits, targets)
    });
    let patches = mean(patch_losses.collect());
    let replaced_losses = replaced.into_iter().map(|logits| replaced_loss(logits, targets));
    let replaced = mean(replaced_losses.collect());
    let total = pairs.clone() * weights.pairs
        + state.clone() * weights.state
        + patches.clone() * weights.patches
        + replaced.clone() * weights.replaced;
    let patch_accuracy = last.unwrap_or_else(|| total.zeros_like());
    PretrainTerms { total, pairs, state, patches, replaced, state_accuracy, patch_accuracy }
}

/// Sigmoid loss of sentences and pictures.
fn pair_loss<B: Backend>(logits: Tensor<B, 2>, targets: Tensor<B, 2>) -> Tensor<B, 1> {
    let all = targets.ones_like();
    balanced(logits, targets, all)
}

/// Binary cross-entropy, the mean over what is true and the mean over what is not weighed alike: both
/// are rare somewhere, and a small term moves nothing. `counted` is 1 for what has a say.
fn balanced<B: Backend>(
    logits: Tensor<B, 2>,
    targets: Tensor<B, 2>,
    counted: Tensor<B, 2>,
) -> Tensor<B, 1> {
    let falses = targets.clone().neg().add_scalar(1.0) * counted.clone();
    let weighed = |losses: Tensor<B, 2>, which: Tensor<B, 2>| {
        (losses * which.clone()).sum() / which.sum().add_scalar(LEAST)
    };
    let trues = targets * counted;
    weighed(softplus(logits.clone().neg()), trues) + weighed(softplus(logits), falses)
}

/// A loss of single pictures, and that of twins where there are any: which of the two is defective? All
/// that has nothing to do with the state is the same in both.
fn with_twins<B: Backend>(
    of_each: Tensor<B, 1>,
    logits: Tensor<B, 1>,
    targets: &Targets<B>,
) -> Tensor<B, 1> {
    let Some(Twins { defective, sound }) = targets.twins.clone() else { return of_each };
    let behind = logits.clone().select(0, sound) - logits.select(0, defective);
    (of_each + softplus(behind).mean()).div_scalar(2.0)
}

/// A picture is defective if one of its patches is: the chance that none is, is the product of theirs.
struct NoisyOr<B: Backend> {
    /// Minus the logarithm of the chance that no patch is: `[pictures]`.
    none: Tensor<B, 1>,
    /// Minus the logarithm of the chance that some patch is: `[pictures]`.
    some: Tensor<B, 1>,
}

impl<B: Backend> NoisyOr<B> {
    /// From the patches' logits, `[pictures, patches]`.
    fn of(logits: Tensor<B, 2>) -> Self {
        let none = softplus(logits).sum_dim(1).squeeze_dim::<1>(1);
        let some = none.clone().neg().exp().neg().add_scalar(1.0 + LEAST).log().neg();
        Self { none, some }
    }

    /// Of the picture, `[pictures]`.
    fn logits(&self) -> Tensor<B, 1> {
        self.none.clone() - self.some.clone()
    }

    fn loss(self, signs: Tensor<B, 1>) -> Tensor<B, 1> {
        let is_defective = signs.add_scalar(1.0).div_scalar(2.0);
        let is_sound = is_defective.clone().neg().add_scalar(1.0);
        (self.some * is_defective + self.none * is_sound).mean()
    }
}

/// Over the patches of pictures of which it is a target.
fn replaced_loss<B: Backend>(logits: Tensor<B, 2>, targets: &Targets<B>) -> Tensor<B, 1> {
    let counted = targets.supervised.clone().expand(targets.replaced.dims());
    balanced(logits, targets.replaced.clone(), counted)
}

fn mean<B: Backend>(losses: Vec<Tensor<B, 1>>) -> Tensor<B, 1> {
    Tensor::cat(losses, 0).mean()
}

/// `ln(1 + exp(x))` without overflow.
fn softplus<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let falling = x.clone().abs().neg().exp().log1p();
    x.clamp_min(0.0) + falling
}
