//! A control: what the plain statistics of a picture say of it. Where these tell defects, the world gives
//! them away, and nothing that is measured on it means much.

use std::collections::BTreeMap;

use anomaly::{AnomalyMap, DetectError, Detection, Detector, ImageInput, ScoreRule};
use anyhow::Context;
use burn::tensor::{Tensor, backend::Backend};
use moeclip_data::{Batches, ImageDataset, LoaderOptions};

/// Mean, deviation, lowest and highest grey value, and density of edges.
const FEATURES: usize = 5;

type Features = [f64; FEATURES];

/// Steps down the logistic loss and their length; the loss is convex and its features have unit deviation.
const DESCENTS: usize = 500;
const RATE: f64 = 0.5;

/// Pictures looked at together.
const BATCH: usize = 8;

/// Logistic regression on the statistics of pictures; it says nothing of where.
pub(super) struct PictureStatistics {
    input: ImageInput,
    luma: [f32; 3],
    weights: Features,
}

/// A picture that is learned from.
struct Example {
    features: Features,
    is_anomalous: bool,
}

impl PictureStatistics {
    /// Learns from labelled pictures; `luma` makes one grey value of the three normalised channels. Each
    /// category is looked at by itself: what a defect changes counts, not what a category looks like.
    pub(super) fn fit<B: Backend>(
        images: &ImageDataset,
        input: ImageInput,
        luma: [f32; 3],
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let order = (0..images.samples().len()).collect();
        let options = LoaderOptions::new(BATCH);
        let mut categories: BTreeMap<String, Vec<Example>> = BTreeMap::new();
        for batch in Batches::<B>::start(images, order, options, device.clone())? {
            let batch = batch?;
            let labels: Vec<i64> = batch.labels.into_data().iter().collect();
            let features = of_images(batch.images, luma)?;
            for ((features, label), class) in features.into_iter().zip(labels).zip(batch.classes) {
                let example = Example { features, is_anomalous: label > 0 };
                categories.entry(class).or_default().push(example);
            }
        }
        categories.values_mut().for_each(|examples| centre(examples));
        let examples: Vec<Example> = categories.into_values().flatten().collect();
        Ok(Self {
            input,
            luma,
            weights: regression(&examples).context("no pictures to learn from")?,
        })
    }
}

impl<B: Backend> Detector<B> for PictureStatistics {
    fn input(&self) -> ImageInput {
        self.input
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::MapMax
    }

    /// The map is the picture's score everywhere.
    fn detect(&mut self, images: Tensor<B, 4>, _: &str) -> Result<Vec<Detection>, DetectError> {
        let [_, _, _, size] = images.dims();
        let detection = |features: Features| {
            let score = dot(&self.weights, &features) as f32;
            let map = AnomalyMap { size, values: vec![score; size * size] };
            Detection::new(map, score, ScoreRule::MapMax)
        };
        Ok(of_images(images, self.luma)?.into_iter().map(detection).collect())
    }
}

/// The statistics of each of `images`, `[batch, 3, size, size]`.
fn of_images<B: Backend>(
    images: Tensor<B, 4>,
    luma: [f32; 3],
) -> Result<Vec<Features>, DetectError> {
    let [_, channels, _, size] = images.dims();
    let values = images
        .try_into_data()
        .map_err(|error| DetectError::Device { reason: error.to_string() })?;
    let values: Vec<f32> = values.iter().collect();
    let grey = |image: &[f32]| -> Vec<f64> {
        let planes: Vec<&[f32]> = image.chunks_exact(size * size).collect();
        let pixel = |at: usize| planes.iter().zip(luma).map(move |(plane, part)| plane[at] * part);
        (0..size * size).map(|at| f64::from(pixel(at).sum::<f32>())).collect()
    };
    let images = values.chunks_exact(channels * size * size);
    Ok(images.map(|image| features(&grey(image), size)).collect())
}

fn features(grey: &[f64], size: usize) -> Features {
    let count = grey.len() as f64;
    let mean = grey.iter().sum::<f64>() / count;
    let variance = grey.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let lowest = grey.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = grey.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let across =
        grey.chunks_exact(size).flat_map(|row| row.windows(2)).map(|pair| pair[1] - pair[0]);
    let down = grey.iter().zip(&grey[size..]).map(|(above, below)| below - above);
    let edges = across.chain(down).map(f64::abs).sum::<f64>() / (2.0 * count);
    [mean, variance.sqrt(), lowest, highest, edges]
}

/// Takes the mean of a category from its pictures.
fn centre(examples: &mut [Example]) {
    let count = examples.len() as f64;
    for feature in 0..FEATURES {
        let mean = examples.iter().map(|example| example.features[feature]).sum::<f64>() / count;
        examples.iter_mut().for_each(|example| example.features[feature] -= mean);
    }
}

/// Weights of the features of centred examples, by logistic regression.
fn regression(examples: &[Example]) -> Option<Features> {
    if examples.is_empty() {
        return None;
    }
    let count = examples.len() as f64;
    let deviation = |feature: usize| {
        let squares = examples.iter().map(|example| example.features[feature].powi(2));
        (squares.sum::<f64>() / count).sqrt().max(f64::MIN_POSITIVE)
    };
    let deviations: Features = std::array::from_fn(deviation);
    let (mut weights, mut bias) = ([0.0; FEATURES], 0.0);
    for _ in 0..DESCENTS {
        let (mut slope, mut bias_slope) = ([0.0; FEATURES], 0.0);
        for Example { features, is_anomalous } in examples {
            let unit: Features = std::array::from_fn(|i| features[i] / deviations[i]);
            let chance = 1.0 / (1.0 + (-bias - dot(&weights, &unit)).exp());
            let error = chance - f64::from(*is_anomalous);
            slope.iter_mut().zip(unit).for_each(|(slope, unit)| *slope += error * unit / count);
            bias_slope += error / count;
        }
        weights.iter_mut().zip(slope).for_each(|(weight, slope)| *weight -= RATE * slope);
        bias -= RATE * bias_slope;
    }
    Some(std::array::from_fn(|i| weights[i] / deviations[i]))
}

fn dot(a: &Features, b: &Features) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_the_statistics_it_should() {
        let grey = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let found = features(&grey, 3);
        let expected = [1.0 / 3.0, 2.0_f64.sqrt() / 3.0, 0.0, 1.0, 3.0 / 18.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
        }
    }

    #[test]
    fn what_a_defect_changes_is_learned_and_what_a_category_looks_like_is_not() {
        let example = |mean: f64, edges: f64, is_anomalous| Example {
            features: [mean, 0.0, 0.0, 0.0, edges],
            is_anomalous,
        };
        // The darker category has more defects; in both they have more edges.
        let mut dark = vec![
            example(0.1, 0.2, false),
            example(0.1, 0.4, true),
            example(0.12, 0.5, true),
            example(0.08, 0.4, true),
        ];
        let mut bright = vec![
            example(0.9, 1.2, false),
            example(0.88, 1.1, false),
            example(0.92, 1.2, false),
            example(0.9, 1.5, true),
        ];
        centre(&mut dark);
        centre(&mut bright);
        let weights = regression(&dark.into_iter().chain(bright).collect::<Vec<_>>()).unwrap();
        assert!(weights[4] > 0.0, "{weights:?}");
        assert!(weights[0].abs() * 0.1 < weights[4] * 0.3, "{weights:?}");
        assert!(regression(&[]).is_none());
    }
}
