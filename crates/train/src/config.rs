//! How a model is trained; the paper's values are the default.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{KeptEpoch, Pruning};

/// Weights of the terms between experts; the others count once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossWeights {
    /// Of the ETF loss.
    pub etf: f64,
    /// Of the balance loss.
    pub balance: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { etf: 0.01, balance: 0.01 }
    }
}

/// What is computed again in the backward pass instead of being kept: memory for time. Gradients are the
/// same to the bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// The insides of frozen blocks, which are most of the memory.
    #[default]
    Blocks,
    /// These, and what Burn's balanced checkpointing picks among the operations of what is trained:
    /// those that cost little time.
    Balanced,
}

/// Everything that decides a training run besides model and data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of the start, the order of the images and their augmentation.
    pub seed: u64,
    /// Passes over the images.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Learning rate over time.
    pub learning_rate: StepDecay,
    /// Adam's decay of the mean gradient.
    pub beta_1: f32,
    /// Adam's decay of the mean squared gradient.
    pub beta_2: f32,
    /// Adam's guard against division by zero.
    pub epsilon: f32,
    /// Weights of the losses.
    pub losses: LossWeights,
    /// Share of the images of every class and label that is never trained on, 0 or more and under 1:
    /// what `keep` and `patience` go by.
    pub held_out: f64,
    /// Which epoch's adapters the run ends with.
    pub keep: KeptEpoch,
    /// Epochs without a lower loss on held-out images after which the run ends; 0 for never.
    pub patience: usize,
    /// What is computed again in the backward pass.
    pub recompute: Recompute,
    /// When experts are dropped.
    pub prune: Pruning,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 20,
            batch_size: 2,
            learning_rate: StepDecay::default(),
            beta_1: 0.5,
            beta_2: 0.999,
            epsilon: 1e-8,
            losses: LossWeights::default(),
            held_out: 0.0,
            keep: KeptEpoch::Last,
            patience: 0,
            recompute: Recompute::Blocks,
            prune: Pruning::default(),
        }
    }
}

/// A setting that no run can have; the line names it and what it must be.
#[derive(Debug, Error, PartialEq)]
#[error("{field} = {value} is not usable; it must be {must}")]
pub struct TrainConfigError {
    /// The setting.
    pub field: &'static str,
    /// What was given.
    pub value: f64,
    /// What it must be.
    pub must: &'static str,
}

impl TrainConfig {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first [`TrainConfigError`] found.
    pub fn check(&self) -> Result<(), TrainConfigError> {
        let LossWeights { etf, balance } = self.losses;
        let decay = |beta: f32| (0.0..1.0).contains(&beta);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let weight = |value: f64| value.is_finite() && value >= 0.0;
        let (rate, epsilon) = (self.learning_rate.initial, f64::from(self.epsilon));
        let (beta_1, beta_2) = (self.beta_1, self.beta_2);
        let held_out = self.held_out;
        let best = self.keep == KeptEpoch::Best;
        let chooses = best || self.patience > 0;
        let Pruning { below, every } = self.prune;
        let (epochs, batch) = (self.epochs as f64, self.batch_size as f64);
        let rules = [
            ("epochs", epochs, epochs >= 1.0, "at least 1"),
            ("batch_size", batch, batch >= 1.0, "at least 1"),
            ("learning_rate.initial", rate, positive(rate), "a positive number"),
            ("beta_1", f64::from(beta_1), decay(beta_1), "at least 0 and under 1"),
            ("beta_2", f64::from(beta_2), decay(beta_2), "at least 0 and under 1"),
            ("epsilon", epsilon, positive(epsilon), "a positive number"),
            ("losses.etf", etf, weight(etf), "0 or more"),
            ("losses.balance", balance, weight(balance), "0 or more"),
            ("held_out", held_out, (0.0..1.0).contains(&held_out), "0 or more and under 1"),
            ("held_out", held_out, held_out > 0.0 || !chooses, "over 0 for keep or patience"),
            ("prune.below", below, (0.0..1.0).contains(&below), "0 or more and under 1"),
            (
                "prune.below",
                below,
                below == 0.0 || !best,
                "0 with keep = best, of one epoch's experts",
            ),
            ("prune.every", every as f64, every >= 1, "at least 1"),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((field, value, _, must)) => Err(TrainConfigError { field, value, must }),
            None => Ok(()),
        }
    }
}

/// A learning rate that is halved at given steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDecay {
    /// Before the first milestone.
    pub initial: f64,
    /// Steps (counted from 0) from which on it is halved once more.
    pub milestones: Vec<usize>,
}

impl Default for StepDecay {
    /// The paper's: 5e-4, halved at steps 16000 and 32000.
    fn default() -> Self {
        Self { initial: 5e-4, milestones: vec![16_000, 32_000] }
    }
}

impl StepDecay {
    /// The rate at a step, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        let passed = self.milestones.iter().filter(|milestone| step >= **milestone).count();
        self.initial * 0.5f64.powi(passed as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut TrainConfig)) -> &'static str {
        let mut config = TrainConfig::default();
        change(&mut config);
        config.check().unwrap_err().field
    }

    #[test]
    fn the_papers_values_are_accepted() {
        assert_eq!(TrainConfig::default().check(), Ok(()));
    }

    #[test]
    fn every_rule_names_its_field() {
        assert_eq!(refused(|c| c.epochs = 0), "epochs");
        assert_eq!(refused(|c| c.batch_size = 0), "batch_size");
        assert_eq!(refused(|c| c.learning_rate.initial = f64::NAN), "learning_rate.initial");
        assert_eq!(refused(|c| c.beta_1 = 1.0), "beta_1");
        assert_eq!(refused(|c| c.beta_2 = -0.1), "beta_2");
        assert_eq!(refused(|c| c.epsilon = 0.0), "epsilon");
        assert_eq!(refused(|c| c.losses.etf = -1.0), "losses.etf");
        assert_eq!(refused(|c| c.losses.balance = f64::INFINITY), "losses.balance");
        assert_eq!(refused(|c| c.held_out = 1.0), "held_out");
        assert_eq!(refused(|c| c.patience = 2), "held_out");
        assert_eq!(refused(|c| c.keep = KeptEpoch::Best), "held_out");
        assert_eq!(refused(|c| c.prune.below = 1.0), "prune.below");
        assert_eq!(refused(|c| c.prune.every = 0), "prune.every");
        let with_best = |c: &mut TrainConfig| {
            (c.keep, c.held_out, c.prune.below) = (KeptEpoch::Best, 0.1, 0.1);
        };
        assert_eq!(refused(with_best), "prune.below");
    }

    #[test]
    fn it_halves_at_the_milestones() {
        let schedule = StepDecay::default();
        let rates = [0, 15_999, 16_000, 31_999, 32_000].map(|step| schedule.at(step));
        assert_eq!(rates, [5e-4, 5e-4, 2.5e-4, 2.5e-4, 1.25e-4]);
    }
}
