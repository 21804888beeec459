//! A run of pretraining: its checkpoints, its pictures, and what its log says of a step.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use burn::backend::Autodiff;
use burn::tensor::backend::Backend;
use conditions::{Condition, Conditions, Purpose};
use moeclip_train::{
    CheckpointError, CheckpointFile, CheckpointFormat, CheckpointedRun, LoggedStep, Scalar,
    Trainer, TrainingData, with_parameters,
};
use serde::{Deserialize, Serialize};

use crate::batch::Shard;
use crate::learner::{
    PretrainError, PretrainLearner, PretrainReport, PretrainValues, Pretraining, VALUE,
};
use crate::{Pictures, PretrainConfig};

/// Steps between two looks at held-out pictures.
const LOOK_EVERY: usize = 500;

/// What is known of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainMetrics {
    /// The step, counted from 1.
    pub step: usize,
    /// RequireGrad rate.
    pub learning_rate: f64,
    /// Pictures and crops per second.
    pub images_per_second: f64,
    /// When it ended, in seconds since 1970; 0 in logs that do not say it.
    #[serde(default)]
    pub unix_seconds: f64,
    /// The terms before the step, unweighted.
    pub losses: PretrainValues,
    /// The terms on held-out pictures, where they were measured behind this step.
    pub held_out: Option<PretrainValues>,
}

/// What is learned from, and what never is.
#[derive(Debug, Clone, Copy)]
pub struct PretrainPictures<'a> {
    /// What is learned from.
    pub training: &'a Pictures,
    /// What is measured now and then, and behind the last step.
    pub held_out: &'a Pictures,
}

/// How checkpoints are told from others.
pub(crate) const FORMAT: CheckpointFormat = CheckpointFormat {
    name: "moeclip-pretraining",
    version: None,
    first: "first.",
    second: "second.",
};

/// Keys of what a checkpoint says of its run.
const CONFIG: &str = "config";
const CONDITIONS: &str = "conditions";

/// A checkpoint that was found whole.
#[derive(Debug)]
pub struct PretrainCheckpoint {
    file: CheckpointFile,
    step: usize,
}

impl PretrainCheckpoint {
    /// Steps made.
    pub fn step(&self) -> usize {
        self.step
    }
}

/// Everything that decides a run of pretraining.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainRun {
    /// Its description.
    pub config: PretrainConfig,
    /// What every purpose asks, of which kernels and numbers version count here.
    pub shared: Conditions,
}

impl PretrainRun {
    /// What a checkpoint says of its run: the description, and all else that decides it.
    pub(crate) fn metadata(&self) -> serde_json::Result<[(&'static str, String); 2]> {
        let shared = self.shared.clone().of(Purpose::Pretraining);
        Ok([
            (CONFIG, serde_json::to_string(&self.config)?),
            (CONDITIONS, serde_json::to_string(&shared)?),
        ])
    }
}

impl CheckpointedRun for PretrainRun {
    type Checkpoint = PretrainCheckpoint;

    fn open(path: &Path) -> Result<PretrainCheckpoint, CheckpointError> {
        let file = CheckpointFile::open(path, FORMAT)?;
        let step = file.json("step")?;
        Ok(PretrainCheckpoint { file, step })
    }

    fn step(checkpoint: &PretrainCheckpoint) -> usize {
        checkpoint.step
    }

    /// Only `steps` and what follows from it, the learning rate, may differ. Checkpoints of older programs
    /// have the description alone.
    fn require(&self, checkpoint: &PretrainCheckpoint) -> Result<(), CheckpointError> {
        let file = &checkpoint.file;
        let shared: Conditions = file.json_if_any(CONDITIONS)?.unwrap_or_default();
        let config: serde_json::Value = file.json(CONFIG)?;
        let then = shared.with(Condition::Pretraining, &config);
        let now = self.shared.clone().with(Condition::Pretraining, &self.config);
        match then.first_difference(&now.of(Purpose::Pretraining)).map(Box::new) {
            None => Ok(()),
            Some(difference) => {
                Err(CheckpointError::OtherRun { file: file.path().into(), difference })
            }
        }
    }
}

impl<B: Backend> TrainingData<B, Pretraining<B>> for PretrainPictures<'_> {
    type Record = PretrainMetrics;
    type Error = PretrainError;

    fn next_batch(
        &mut self,
        learner: &PretrainLearner<B>,
    ) -> Result<Option<Vec<Shard>>, PretrainError> {
        learner.draw(self.training, learner.steps()).map(Some)
    }

    fn record(
        &mut self,
        learner: &mut PretrainLearner<B>,
        report: PretrainReport,
        took: Duration,
    ) -> Result<PretrainMetrics, PretrainError> {
        let PretrainReport { step, images, learning_rate, losses } = report;
        let images_per_second = images as f64 / took.as_secs_f64().max(f64::EPSILON);
        let unix_seconds =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let is_last = step == learner.config.steps;
        let held_out = match step.is_multiple_of(LOOK_EVERY) || is_last {
            true => Some(learner.measure(self.held_out, step)?),
            false => None,
        };
        Ok(PretrainMetrics {
            step,
            learning_rate,
            images_per_second,
            unix_seconds,
            losses,
            held_out,
        })
    }
}

impl LoggedStep for PretrainMetrics {
    const LOSSES: &'static [&'static str] = &["total", "pairs", "state", "patches", "replaced"];

    fn step(&self) -> usize {
        self.step
    }

    fn epoch(&self) -> Option<usize> {
        None
    }

    fn unix_seconds(&self) -> f64 {
        self.unix_seconds
    }

    fn scalars(&self) -> Vec<Scalar> {
        let mut scalars = self.losses.scalars("loss");
        let scalar = |name: &str, value| Scalar { name: name.into(), value: Some(value) };
        scalars.push(scalar("learning-rate", self.learning_rate));
        scalars.push(scalar("images-per-second", self.images_per_second));
        // The same names whether it was measured or not: a table's columns do not change.
        let mut held_out = self.held_out.unwrap_or_default().scalars("held-out");
        if self.held_out.is_none() {
            held_out.iter_mut().for_each(|scalar| scalar.value = None);
        }
        scalars.append(&mut held_out);
        scalars
    }
}

impl<B: Backend> Pretraining<B> {
    /// The learner as it stood at a checkpoint of its run.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when the checkpoint does not fit the model.
    pub fn restore(
        mut self,
        checkpoint: &PretrainCheckpoint,
    ) -> Result<PretrainLearner<B>, CheckpointError> {
        let PretrainCheckpoint { file, step } = checkpoint;
        let value = |path: &str, shape: &[usize]| file.tensor(&format!("{VALUE}{path}"), shape);
        self.model = with_parameters::<Autodiff<B>, _, _>(self.model, &self.device, value)?;
        let device = self.device.clone();
        Trainer::resume(self, *step, file, &device)
    }
}
