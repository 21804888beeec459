//! How long a method is trained and in what batches, and where a run stands in that.

use burn::optim::AdamConfig;
use serde::{Deserialize, Serialize};

use crate::MethodError;

/// How long a method is trained, and in what batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recipe {
    /// One stage after the other; Adam starts anew at each.
    pub stages: Vec<TrainingStage>,
    /// Decay of Adam's mean gradient.
    pub beta_1: f32,
    /// Decay of Adam's mean squared gradient.
    pub beta_2: f32,
    /// Decides the start, the order of images and all that is drawn.
    pub seed: u64,
}

/// A part of a run, in which the method decides which weights are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrainingStage {
    /// Passes over the images.
    pub epochs: usize,
    /// Images of a step.
    pub batch_size: usize,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunPlace {
    /// Steps made in all stages.
    pub step: usize,
    /// The stage, from 0.
    pub stage: usize,
    /// Steps made in this stage.
    pub stage_step: usize,
    /// Steps of this stage.
    pub stage_steps: usize,
    /// Steps of an epoch of this stage.
    pub epoch_steps: usize,
    /// Images of a step.
    pub batch_size: usize,
    /// The epoch of the next step, from 0, those of earlier stages counted.
    pub epoch: usize,
    /// The run's seed.
    pub seed: u64,
}

impl Recipe {
    /// Stages with the betas that the authors of all methods here chose: 0.5 and 0.999.
    pub fn new(stages: Vec<TrainingStage>, seed: u64) -> Self {
        Self { stages, beta_1: 0.5, beta_2: 0.999, seed }
    }

    /// Where a run of so many images stands after so many steps.
    pub fn place(&self, images: usize, step: usize) -> RunPlace {
        let (mut stage, mut stage_step, mut epoch) = (0, step, 0);
        let at = |stage: usize| self.stages.get(stage).copied().unwrap_or_default();
        while stage + 1 < self.stages.len() && stage_step >= at(stage).steps(images) {
            stage_step -= at(stage).steps(images);
            epoch += at(stage).epochs;
            stage += 1;
        }
        let TrainingStage { batch_size, .. } = at(stage);
        let (stage_steps, epoch_steps) = (at(stage).steps(images), at(stage).epoch_steps(images));
        epoch += stage_step / epoch_steps.max(1);
        let seed = self.seed;
        RunPlace { step, stage, stage_step, stage_steps, epoch_steps, batch_size, epoch, seed }
    }

    /// Adam as PyTorch has it, with these betas.
    pub fn adam(&self) -> AdamConfig {
        AdamConfig::new().with_beta_1(self.beta_1).with_beta_2(self.beta_2).with_epsilon(1e-8)
    }

    /// Steps of all stages over so many images.
    pub fn steps(&self, images: usize) -> usize {
        self.stages.iter().map(|stage| stage.steps(images)).sum()
    }

    /// Refuses a recipe that no run can have.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] names the first such key.
    pub fn check(&self) -> Result<(), MethodError> {
        let at_least_one = || "must be at least 1".to_owned();
        if self.stages.is_empty() || self.stages.iter().any(|stage| stage.epochs == 0) {
            return Err(MethodError::Settings { key: "epochs", reason: at_least_one() });
        }
        if self.stages.iter().any(|stage| stage.batch_size == 0) {
            return Err(MethodError::Settings { key: "batch-size", reason: at_least_one() });
        }
        let betas = [("beta-1", self.beta_1), ("beta-2", self.beta_2)];
        match betas.into_iter().find(|(_, beta)| !(0.0..1.0).contains(beta)) {
            None => Ok(()),
            Some((key, _)) => {
                Err(MethodError::Settings { key, reason: "must be at least 0 and under 1".into() })
            }
        }
    }
}

impl Default for TrainingStage {
    /// One pass, image by image.
    fn default() -> Self {
        Self { epochs: 1, batch_size: 1 }
    }
}

impl TrainingStage {
    fn epoch_steps(self, images: usize) -> usize {
        images.div_ceil(self.batch_size.max(1))
    }

    fn steps(self, images: usize) -> usize {
        self.epochs * self.epoch_steps(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_within_its_stage() {
        let stage = |epochs, batch_size| TrainingStage { epochs, batch_size };
        let recipe = Recipe::new(vec![stage(2, 4), stage(3, 2)], 7);
        let place = |step| {
            let RunPlace { stage, stage_step, stage_steps, epoch, .. } = recipe.place(10, step);
            [stage, stage_step, stage_steps, epoch]
        };
        assert_eq!(place(0), [0, 0, 6, 0]);
        assert_eq!(place(5), [0, 5, 6, 1]);
        assert_eq!(place(6), [1, 0, 15, 2]);
        assert_eq!(place(20), [1, 14, 15, 4]);
        assert_eq!(place(21), [1, 15, 15, 5], "behind the last step it stays in the last stage");
        assert_eq!(recipe.steps(10), 21);
    }

    #[test]
    fn a_recipe_that_no_run_can_have_is_refused_by_its_key() {
        let good = Recipe::new(vec![TrainingStage::default()], 0);
        let key = |recipe: Recipe| recipe.check().unwrap_err().to_string();
        assert!(good.check().is_ok());
        assert_eq!(key(Recipe { stages: vec![], ..good.clone() }), "epochs: must be at least 1");
        let zero = Recipe::new(vec![TrainingStage { batch_size: 0, epochs: 1 }], 0);
        assert_eq!(key(zero), "batch-size: must be at least 1");
        let betas = Recipe { beta_2: 1.0, ..good };
        assert_eq!(key(betas), "beta-2: must be at least 0 and under 1");
    }
}
