//! What training minimises (arXiv 2603.03101): segmentation of every map, the image as a whole, and
//! what keeps the experts apart and busy.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::module::AutodiffModule;
use burn::tensor::{Int, Tensor, backend::Backend};
use moe_lora::{Adapted, Routing};
use moeclip::{Features, MapResampler, TextFeatures, TrainingMaps};
use moeclip_losses::{balance, dice, etf, focal, image_cross_entropy, output_cosines, similarity};

use crate::{LossValues, LossWeights, TapMetrics};

/// The loss of a batch and how its terms weigh.
#[derive(Debug, Clone)]
pub struct Objective<B: Backend> {
    resampler: MapResampler<B>,
    weights: LossWeights,
}

/// The terms of a loss, each `[1]`, and what the experts did on the way.
#[derive(Debug, Clone)]
pub struct LossTerms<B: Backend> {
    /// Focal loss, summed over taps and scales.
    pub focal: Tensor<B, 1>,
    /// Both dice losses, summed over taps and scales.
    pub dice: Tensor<B, 1>,
    /// Cross-entropy of the image head.
    pub image: Tensor<B, 1>,
    /// ETF loss, summed over taps, unweighted.
    pub etf: Tensor<B, 1>,
    /// Balance loss, summed over taps, unweighted.
    pub balance: Tensor<B, 1>,
    /// What is minimised.
    pub total: Tensor<B, 1>,
    /// What the experts behind each tap did, outside the graph.
    pub taps: Vec<TapTerms<B>>,
}

/// What the experts behind a tap did.
#[derive(Debug, Clone)]
pub struct TapTerms<B: Backend> {
    /// Who was asked; `None` without a router.
    pub load: Option<ExpertLoad<B>>,
    /// Mean cosine between two experts' outputs, `[1]`; `None` without experts.
    pub similarity: Option<Tensor<B, 1>>,
}

/// How a batch's tokens were shared out among the experts; each sums to 1.
#[derive(Debug, Clone)]
pub struct ExpertLoad<B: Backend> {
    /// Of the routing probability: `[experts]`.
    pub probability: Tensor<B, 1>,
    /// Of the choices that tokens made: `[experts]`.
    pub selected: Tensor<B, 1>,
}

impl<B: Backend> Objective<B> {
    /// An objective on maps resampled this way.
    pub fn new(resampler: MapResampler<B>, weights: LossWeights) -> Self {
        Self { resampler, weights }
    }

    /// # Shapes
    ///
    /// - text: one row per image
    /// - masks: `[batch, 1, image_size, image_size]`, 1 where anomalous
    /// - labels: `[batch]`, 1 where the image is anomalous
    pub fn forward(
        &self,
        features: &Features<B>,
        text: &TextFeatures<B>,
        masks: Tensor<B, 4>,
        labels: Tensor<B, 1>,
    ) -> LossTerms<B> {
        let Segmentation { focal, dice } = self.segmentation(features, text, masks);
        let difference = (features.image.clone() * text.difference()).sum_dim(1).squeeze_dim(1);
        let image = image_cross_entropy(difference, labels);
        let zero = || Tensor::zeros([1], &focal.device());
        let taps: Vec<TapLoss<B>> = features.taps.iter().map(TapLoss::of).collect();
        let etf = taps.iter().filter_map(|tap| tap.etf.clone()).fold(zero(), |sum, of| sum + of);
        let balance =
            taps.iter().filter_map(|tap| tap.balance.clone()).fold(zero(), |sum, of| sum + of);
        let between = etf.clone().mul_scalar(self.weights.etf)
            + balance.clone().mul_scalar(self.weights.balance);
        let total = focal.clone() + dice.clone() + image.clone() + between;
        let taps = taps.into_iter().map(|tap| tap.terms).collect();
        LossTerms { focal, dice, image, etf, balance, total, taps }
    }

    fn segmentation(
        &self,
        features: &Features<B>,
        text: &TextFeatures<B>,
        masks: Tensor<B, 4>,
    ) -> Segmentation<B> {
        let TrainingMaps { normal, abnormal } =
            self.resampler.training_maps(&features.patches, text);
        let normal_mask = masks.clone().neg().add_scalar(1.0);
        Segmentation {
            focal: focal(normal.clone(), abnormal.clone(), masks.clone()),
            dice: dice(normal, normal_mask) + dice(abnormal, masks),
        }
    }
}

/// The losses of the maps.
struct Segmentation<B: Backend> {
    focal: Tensor<B, 1>,
    dice: Tensor<B, 1>,
}

/// The losses between the experts of a tap; `None` where it has none.
struct TapLoss<B: Backend> {
    etf: Option<Tensor<B, 1>>,
    balance: Option<Tensor<B, 1>>,
    terms: TapTerms<B>,
}

impl<B: Backend> TapLoss<B> {
    /// The cosines are the ETF loss's own, so the similarity costs one more sum over them.
    fn of(tap: &Adapted<B>) -> Self {
        let cosines =
            tap.codes.clone().map(|seen| output_cosines(seen.codes, seen.up, seen.experts));
        let similarity = cosines.clone().map(|cosines| similarity(cosines.detach()));
        let load = tap.routing.as_ref().map(ExpertLoad::of);
        Self {
            etf: cosines.map(etf),
            balance: tap.routing.as_ref().map(|routing| balance(routing.probabilities.clone())),
            terms: TapTerms { load, similarity },
        }
    }
}

impl<B: Backend> ExpertLoad<B> {
    fn of(routing: &Routing<B>) -> Self {
        let chosen = routing.ranking.clone().lower_elem(routing.top_k as i64).int();
        let counts: Tensor<B, 1, Int> = chosen.sum_dim(0).squeeze_dim(0);
        let [tokens, _] = routing.ranking.dims();
        let choices = (tokens * routing.top_k).max(1) as f64;
        Self {
            probability: routing.probabilities.clone().detach().mean_dim(0).squeeze_dim(0),
            selected: counts.float().div_scalar(choices),
        }
    }
}

impl<B: Backend, C: CheckpointStrategy> Objective<Autodiff<B, C>> {
    /// The same objective in a graph that decides in another way what it keeps.
    pub(crate) fn in_graph<D: CheckpointStrategy>(&self) -> Objective<Autodiff<B, D>> {
        let resampler = MapResampler::from_inner(self.resampler.valid());
        Objective { resampler, weights: self.weights }
    }
}

impl<B: Backend> LossTerms<B> {
    /// All loss of the maps, `[1]`.
    pub fn segmentation(&self) -> Tensor<B, 1> {
        self.focal.clone() + self.dice.clone()
    }

    /// Everything on the host, in one transfer; `layers` are those of the taps. `None` when the
    /// device gives no numbers.
    pub fn values(&self, layers: &[usize]) -> Option<BatchValues> {
        let Self { focal, dice, image, etf, balance, total, taps } = self;
        let losses = [total, focal, dice, image, etf, balance].into_iter();
        let parts = losses.chain(taps.iter().flat_map(TapTerms::parts));
        let all = Tensor::cat(parts.map(|part| part.clone().detach()).collect(), 0);
        let mut values =
            all.try_into_data().ok()?.convert::<f32>().into_vec::<f32>().ok()?.into_iter();
        let mut next = || values.next();
        let losses = LossValues {
            total: next()?,
            focal: next()?,
            dice: next()?,
            image: next()?,
            etf: next()?,
            balance: next()?,
        };
        let taps = taps.iter().zip(layers).map(|(tap, layer)| tap.read(*layer, &mut next));
        Some(BatchValues { losses, taps: taps.collect::<Option<_>>()? })
    }
}

/// What came of a batch, on the host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchValues {
    /// Its losses.
    pub losses: LossValues,
    /// What the experts did, tap by tap.
    pub taps: Vec<TapMetrics>,
}

impl BatchValues {
    /// Weighs every number.
    pub(crate) fn scale(&mut self, weight: f32) {
        self.losses.scale(weight);
        self.taps.iter_mut().for_each(|tap| tap.scale(weight));
    }

    /// Adds the numbers of another part of the same batch.
    pub(crate) fn add(&mut self, other: &Self) {
        self.losses.add(other.losses);
        if self.taps.is_empty() {
            self.taps.clone_from(&other.taps);
            return;
        }
        self.taps.iter_mut().zip(&other.taps).for_each(|(tap, other)| tap.add(other));
    }
}

impl<B: Backend> TapTerms<B> {
    /// Its tensors, in the order in which [`TapTerms::read`] takes their values.
    fn parts(&self) -> impl Iterator<Item = &Tensor<B, 1>> {
        let load = self.load.iter().flat_map(|load| [&load.probability, &load.selected]);
        load.chain(self.similarity.iter())
    }

    fn read(&self, layer: usize, next: &mut impl FnMut() -> Option<f32>) -> Option<TapMetrics> {
        let experts = self.load.as_ref().map_or(0, |load| load.probability.dims()[0]);
        let mut shares = || (0..experts).map(|_| next()).collect::<Option<Vec<f32>>>();
        let (probability, selected) = (shares()?, shares()?);
        let similarity = match self.similarity {
            Some(_) => Some(next()?),
            None => None,
        };
        Some(TapMetrics { layer, experts: Vec::new(), probability, selected, similarity })
    }
}
