//! What is known of a step: one value, from which every log, table and picture is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The terms of a loss on the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LossValues {
    /// What is minimised.
    pub total: f32,
    /// Focal loss, summed over taps and scales.
    pub focal: f32,
    /// Both dice losses, summed over taps and scales.
    pub dice: f32,
    /// Cross-entropy of the image head (the paper's anomaly classification, "ac").
    pub image: f32,
    /// ETF loss, summed over taps, unweighted.
    pub etf: f32,
    /// Balance loss, summed over taps, unweighted.
    pub balance: f32,
}

impl LossValues {
    /// The values by name, as files keep them: `loss/total` and so on.
    pub fn named(&self) -> BTreeMap<String, f32> {
        let terms = self.terms().into_iter();
        terms.map(|(term, value)| (format!("loss/{term}"), value)).collect()
    }

    /// What the model is used for, without the terms between its experts.
    pub fn detection(&self) -> f32 {
        self.focal + self.dice + self.image
    }

    /// Weighs every term.
    pub(crate) fn scale(&mut self, weight: f32) {
        self.terms_mut().into_iter().for_each(|term| *term *= weight);
    }

    /// Adds the terms of another part of the same images.
    pub(crate) fn add(&mut self, mut other: Self) {
        let others = other.terms_mut();
        self.terms_mut().into_iter().zip(others).for_each(|(term, other)| *term += *other);
    }

    fn terms(&self) -> [(&'static str, f32); 6] {
        let Self { total, focal, dice, image, etf, balance } = *self;
        [
            ("total", total),
            ("focal", focal),
            ("dice", dice),
            ("image", image),
            ("etf", etf),
            ("balance", balance),
        ]
    }

    fn terms_mut(&mut self) -> [&mut f32; 6] {
        let Self { total, focal, dice, image, etf, balance } = self;
        [total, focal, dice, image, etf, balance]
    }
}

/// What the experts behind one layer did in a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TapMetrics {
    /// The layer, counted from 1.
    pub layer: usize,
    /// The numbers that the experts started with, where some were dropped; empty where all are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experts: Vec<usize>,
    /// Each expert's share of the routing probability; they sum to 1. Empty without a router.
    pub probability: Vec<f32>,
    /// Each expert's share of the choices that tokens made; they sum to 1. Empty without a router.
    pub selected: Vec<f32>,
    /// Mean cosine between two experts' outputs; `None` without experts.
    pub similarity: Option<f32>,
}

impl TapMetrics {
    /// Weighs every number.
    pub(crate) fn scale(&mut self, weight: f32) {
        let shares = self.probability.iter_mut().chain(&mut self.selected);
        shares.chain(&mut self.similarity).for_each(|value| *value *= weight);
    }

    /// Adds the numbers of another part of the same batch.
    pub(crate) fn add(&mut self, other: &Self) {
        let shares = self.probability.iter_mut().chain(&mut self.selected);
        let others = other.probability.iter().chain(&other.selected).chain(&other.similarity);
        shares.chain(&mut self.similarity).zip(others).for_each(|(value, other)| *value += other);
    }
}

/// What one step of a learner did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: usize,
    /// Images that it saw.
    pub images: usize,
    /// The rate it used.
    pub learning_rate: f64,
    /// The losses before the step.
    pub losses: LossValues,
    /// What the experts did, tap by tap.
    pub taps: Vec<TapMetrics>,
}

/// How an epoch did on images that were never trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOutMetrics {
    /// How many they are.
    pub images: usize,
    /// Their mean losses, unaugmented, with the adapters as the epoch left them.
    pub losses: LossValues,
}

/// A step in its run, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// The epoch that it belongs to, from 1.
    pub epoch: usize,
    /// What it did.
    #[serde(flatten)]
    pub report: StepReport,
    /// Images over the time since the step before, reading them included.
    pub images_per_second: f64,
    /// Most memory that the process has held so far, in bytes, without a GPU's; `None` where the
    /// system does not say.
    pub peak_bytes: Option<u64>,
    /// When it ended, in seconds since 1970.
    pub unix_seconds: f64,
    /// Behind the last step of an epoch, where images are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOutMetrics>,
}

/// A number and the name that it has in every log.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// As in `loss/total` or `layer-6/selected/expert-1`.
    pub name: String,
    /// Its value; `None` where a step does not have it.
    pub value: Option<f64>,
}

impl StepMetrics {
    /// Every number of the step but its place in the run, always in the same order.
    pub fn scalars(&self) -> Vec<Scalar> {
        let StepReport { learning_rate, losses, taps, .. } = &self.report;
        let mut scalars = loss_scalars("loss", losses);
        scalars.push(scalar("learning-rate", *learning_rate));
        scalars.push(scalar("images-per-second", self.images_per_second));
        let peak = self.peak_bytes.map(|bytes| bytes as f64);
        scalars.push(Scalar { name: "peak-memory-bytes".into(), value: peak });
        scalars.extend(taps.iter().flat_map(tap_scalars));
        scalars.extend(held_out_scalars(self.held_out.as_ref()));
        scalars
    }
}

fn scalar(name: impl Into<String>, value: f64) -> Scalar {
    Scalar { name: name.into(), value: Some(value) }
}

/// The same names whether there are such images or not: a table's columns do not change.
fn held_out_scalars(held_out: Option<&HeldOutMetrics>) -> Vec<Scalar> {
    let losses = held_out.map(|held_out| held_out.losses);
    let mut scalars = loss_scalars("held-out", &losses.unwrap_or_default());
    if losses.is_none() {
        scalars.iter_mut().for_each(|scalar| scalar.value = None);
    }
    scalars
}

fn loss_scalars(group: &str, losses: &LossValues) -> Vec<Scalar> {
    let terms = losses.terms().into_iter();
    terms.map(|(term, value)| scalar(format!("{group}/{term}"), value.into())).collect()
}

fn tap_scalars(tap: &TapMetrics) -> Vec<Scalar> {
    let of_experts = |what: &'static str, shares: &[f32]| {
        let numbered = shares.iter().enumerate();
        let named = numbered.map(|(place, share)| {
            let expert = 1 + tap.experts.get(place).unwrap_or(&place);
            scalar(format!("layer-{}/{what}/expert-{expert}", tap.layer), f64::from(*share))
        });
        named.collect::<Vec<_>>()
    };
    let mut scalars = of_experts("probability", &tap.probability);
    scalars.extend(of_experts("selected", &tap.selected));
    let similarity = tap.similarity.map(f64::from);
    scalars.extend(similarity.map(|cos| scalar(format!("layer-{}/similarity", tap.layer), cos)));
    scalars
}

/// Most memory that this process has held so far, in bytes; `None` where the system does not say.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A step whose numbers all differ.
    pub(crate) fn step(step: usize) -> StepMetrics {
        let value = step as f32;
        let losses = LossValues {
            total: 10.0 / value,
            focal: 1.0 / value,
            dice: 5.0 / value,
            image: 0.7,
            etf: 0.1,
            balance: 0.01,
        };
        let tap = TapMetrics {
            layer: 6,
            experts: Vec::new(),
            probability: vec![0.25, 0.75],
            selected: vec![0.5, 0.5],
            similarity: Some(-0.3),
        };
        let report = StepReport { step, images: 2, learning_rate: 5e-4, losses, taps: vec![tap] };
        StepMetrics {
            epoch: 1,
            report,
            images_per_second: 1.5,
            peak_bytes: Some(1 << 30),
            unix_seconds: 1e9 + f64::from(value),
            held_out: None,
        }
    }

    #[test]
    fn every_number_has_a_name_of_its_own() {
        let scalars = step(4).scalars();
        let names: std::collections::BTreeSet<_> = scalars.iter().map(|s| &s.name).collect();
        assert_eq!((scalars.len(), names.len()), (20, 20));
        let value = |name: &str| scalars.iter().find(|s| s.name == name)?.value;
        assert_eq!(value("loss/total"), Some(2.5));
        assert_eq!(value("layer-6/probability/expert-2"), Some(0.75));
        assert_eq!(value("layer-6/similarity"), Some(f64::from(-0.3f32)));
        assert_eq!(value("held-out/total"), None);
    }

    #[test]
    fn experts_keep_their_numbers_when_others_are_dropped() {
        let mut step = step(4);
        step.report.taps[0].experts = vec![0, 3];
        let names: Vec<String> = step.scalars().into_iter().map(|scalar| scalar.name).collect();
        assert!(names.contains(&"layer-6/probability/expert-4".into()), "{names:?}");
        assert!(!names.contains(&"layer-6/probability/expert-2".into()), "{names:?}");
    }

    #[test]
    fn a_step_comes_back_from_json() {
        let text = serde_json::to_string(&step(3)).unwrap();
        assert!(text.contains(r#""epoch":1,"step":3"#), "{text}");
        assert_eq!(serde_json::from_str::<StepMetrics>(&text).unwrap(), step(3));
    }
}
