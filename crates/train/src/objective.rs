//! What training minimises (arXiv 2603.03101): segmentation of every map, the image as a whole, and
//! what keeps the experts apart and busy.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, backend::Backend};
use moeclip::{Features, MapResampler, TextFeatures, TrainingMaps};
use moeclip_losses::{balance, dice, etf, focal, image_cross_entropy};
use serde::Serialize;

use crate::LossWeights;

/// The loss of a batch and how its terms weigh.
#[derive(Debug, Clone)]
pub struct Objective<B: Backend> {
    resampler: MapResampler<B>,
    weights: LossWeights,
}

/// The terms of a loss, each `[1]`.
#[derive(Debug, Clone)]
pub struct LossTerms<B: Backend> {
    /// Focal and both dice losses, summed over taps and scales.
    pub segmentation: Tensor<B, 1>,
    /// Cross-entropy of the image head.
    pub image: Tensor<B, 1>,
    /// ETF loss, summed over taps, unweighted.
    pub etf: Tensor<B, 1>,
    /// Balance loss, summed over taps, unweighted.
    pub balance: Tensor<B, 1>,
    /// What is minimised.
    pub total: Tensor<B, 1>,
}

/// The terms of a loss on the host.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LossValues {
    /// What is minimised.
    pub total: f32,
    /// Focal and both dice losses, summed over taps and scales.
    pub segmentation: f32,
    /// Cross-entropy of the image head.
    pub image: f32,
    /// ETF loss, summed over taps, unweighted.
    pub etf: f32,
    /// Balance loss, summed over taps, unweighted.
    pub balance: f32,
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
        let segmentation = self.segmentation(features, text, masks);
        let difference = (features.image.clone() * text.difference()).sum_dim(1).squeeze_dim(1);
        let image = image_cross_entropy(difference, labels);
        let zero = || Tensor::zeros([1], &segmentation.device());
        let taps = || features.taps.iter();
        let etf = taps()
            .filter_map(|tap| tap.codes.clone())
            .fold(zero(), |sum, seen| sum + etf(seen.codes, seen.up, seen.experts));
        let balance = taps()
            .filter_map(|tap| tap.routing.as_ref())
            .fold(zero(), |sum, routing| sum + balance(routing.probabilities.clone()));
        let between = etf.clone().mul_scalar(self.weights.etf)
            + balance.clone().mul_scalar(self.weights.balance);
        let total = segmentation.clone() + image.clone() + between;
        LossTerms { segmentation, image, etf, balance, total }
    }

    fn segmentation(
        &self,
        features: &Features<B>,
        text: &TextFeatures<B>,
        masks: Tensor<B, 4>,
    ) -> Tensor<B, 1> {
        let TrainingMaps { normal, abnormal } =
            self.resampler.training_maps(&features.patches, text);
        let normal_mask = masks.clone().neg().add_scalar(1.0);
        focal(normal.clone(), abnormal.clone(), masks.clone())
            + dice(normal, normal_mask)
            + dice(abnormal, masks)
    }
}

impl<B: Backend> LossTerms<B> {
    /// The terms on the host, in one transfer; `None` when the device gives no numbers.
    pub fn values(&self) -> Option<LossValues> {
        let terms = [&self.total, &self.segmentation, &self.image, &self.etf, &self.balance];
        let all = Tensor::cat(terms.into_iter().map(|term| term.clone().detach()).collect(), 0);
        let values = all.try_into_data().ok()?.convert::<f32>().into_vec::<f32>().ok()?;
        let [total, segmentation, image, etf, balance] = values.try_into().ok()?;
        Some(LossValues { total, segmentation, image, etf, balance })
    }
}

impl LossValues {
    /// The values by name, as files keep them: `loss.total` and so on.
    pub fn named(&self) -> BTreeMap<String, f32> {
        let Self { total, segmentation, image, etf, balance } = *self;
        let named = [
            ("total", total),
            ("segmentation", segmentation),
            ("image", image),
            ("etf", etf),
            ("balance", balance),
        ];
        named.into_iter().map(|(name, value)| (format!("loss.{name}"), value)).collect()
    }
}
