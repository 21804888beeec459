//! A run of training a method: its batches, its checkpoints, and what its log says of a step.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use burn::backend::Autodiff;
use burn::tensor::{TensorData, backend::Backend};
use conditions::{Condition, Conditions, Purpose};
use moeclip::Provenance;
use moeclip_data::{Batch, Batches, ImageDataset, LoaderOptions, epoch_order};
use moeclip_train::{
    CheckpointError, CheckpointFile, CheckpointFormat, CheckpointedRun, LoggedStep, Scalar,
    Trainer, TrainingData, peak_memory, with_parameters,
};
use serde::{Deserialize, Serialize};

use super::{MethodReport, MethodTrainError, MethodTraining, Recipe, RunPlace, TrainedMethod};

/// How checkpoints are told from others.
pub(super) const FORMAT: CheckpointFormat = CheckpointFormat {
    name: "anomaly-method-checkpoint",
    version: Some("1"),
    first: "optimizer_state_dict.first.",
    second: "optimizer_state_dict.second.",
};

/// Keys of what a checkpoint says of its run.
const RUN: &str = "run";
const STEP: &str = "step";

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodRun {
    /// The method, as it is typed.
    pub method: String,
    /// Its settings.
    pub model: serde_json::Value,
    /// How it is trained.
    pub training: Recipe,
    /// Backend and device, as the caller calls them.
    pub backend: String,
    /// Precision of the frozen part, as the caller calls it.
    pub precision: String,
    /// Fingerprint of the samples in their order: images, masks, labels, prompt names.
    pub data: String,
    /// Number of samples.
    pub samples: usize,
    /// What every purpose asks: normalisation, numbers version, JPEG decoder, kernels.
    #[serde(flatten)]
    pub shared: Conditions,
    /// Code version, CLIP and auxiliary set.
    #[serde(skip)]
    pub provenance: Provenance,
}

impl MethodRun {
    /// What a file of its weights says of it, after so many steps.
    ///
    /// # Errors
    ///
    /// What JSON cannot hold.
    pub fn metadata(&self, step: usize) -> serde_json::Result<BTreeMap<String, String>> {
        let provenance = Provenance { steps: step, ..self.provenance.clone() };
        let pairs = [
            (RUN, serde_json::to_string(self)?),
            (STEP, step.to_string()),
            ("method", self.method.clone()),
            ("settings", serde_json::to_string(&self.model)?),
            ("provenance", serde_json::to_string(&provenance)?),
        ];
        Ok(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// The run as conditions: two of them are the same when every step of both is.
    fn conditions(&self) -> serde_json::Result<Conditions> {
        let text = serde_json::to_string(self)?;
        let run: Conditions = serde_json::from_str(&text)?;
        let Provenance { clip_sha256, clip, data, .. } = &self.provenance;
        let provenance =
            serde_json::json!({ "clip_sha256": clip_sha256, "clip": clip, "data": data });
        Ok(run.with(Condition::Provenance, &provenance).of(Purpose::Training))
    }
}

/// A checkpoint that was found whole.
#[derive(Debug)]
pub struct MethodCheckpoint {
    file: CheckpointFile,
    step: usize,
    run: MethodRun,
}

impl MethodCheckpoint {
    /// Steps made.
    pub fn step(&self) -> usize {
        self.step
    }
}

impl CheckpointedRun for MethodRun {
    type Checkpoint = MethodCheckpoint;

    fn open(path: &Path) -> Result<MethodCheckpoint, CheckpointError> {
        let file = CheckpointFile::open(path, FORMAT)?;
        let mut run: MethodRun = file.json(RUN)?;
        run.provenance = file.json("provenance")?;
        Ok(MethodCheckpoint { step: file.json(STEP)?, run, file })
    }

    fn step(checkpoint: &MethodCheckpoint) -> usize {
        checkpoint.step
    }

    /// Everything must be the same, the number of epochs too: rates may follow from it.
    fn require(&self, checkpoint: &MethodCheckpoint) -> Result<(), CheckpointError> {
        let file = &checkpoint.file;
        let unread = |error: serde_json::Error| file.broken(&error.to_string());
        let then = checkpoint.run.conditions().map_err(unread)?;
        let now = self.conditions().map_err(unread)?;
        match then.first_difference(&now).map(Box::new) {
            None => Ok(()),
            Some(difference) => {
                Err(CheckpointError::OtherRun { file: file.path().into(), difference })
            }
        }
    }
}

impl<B: Backend, M: TrainedMethod> MethodTraining<B, M> {
    /// The trainer as it stood at a checkpoint of its run.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when the checkpoint does not fit the method.
    pub fn restore(
        mut self,
        checkpoint: &MethodCheckpoint,
    ) -> Result<Trainer<B, Self>, CheckpointError> {
        let MethodCheckpoint { file, step, .. } = checkpoint;
        let settings = &self.settings;
        let value = |path: &str, shape: &[usize]| -> Result<TensorData, CheckpointError> {
            file.tensor(&M::weight_name(settings, path), shape)
        };
        self.learned = with_parameters::<Autodiff<B>, _, _>(self.learned, &self.device, value)?;
        let device = self.device.clone();
        Trainer::resume(self, *step, file, &device)
    }
}

/// What is known of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MethodStep {
    /// The step, from 1.
    pub step: usize,
    /// The epoch that it belongs to, from 1, all stages counted.
    pub epoch: usize,
    /// The largest learning rate of a weight.
    pub learning_rate: f64,
    /// The losses before the step, by name.
    pub losses: BTreeMap<String, f32>,
    /// Images per second, loading included.
    pub images_per_second: f64,
    /// The most memory that this process ever had; `None` where the system does not say.
    pub peak_bytes: Option<u64>,
    /// When it ended, in seconds since 1970.
    pub unix_seconds: f64,
}

impl LoggedStep for MethodStep {
    const LOSSES: &'static [&'static str] = &["total"];

    fn step(&self) -> usize {
        self.step
    }

    fn epoch(&self) -> Option<usize> {
        Some(self.epoch)
    }

    fn unix_seconds(&self) -> f64 {
        self.unix_seconds
    }

    fn scalars(&self) -> Vec<Scalar> {
        let scalar = |name: String, value: f64| Scalar { name, value: Some(value) };
        let losses = self.losses.iter();
        let mut scalars: Vec<Scalar> =
            losses.map(|(name, value)| scalar(format!("loss/{name}"), f64::from(*value))).collect();
        scalars.push(scalar("learning-rate".into(), self.learning_rate));
        scalars.push(scalar("images-per-second".into(), self.images_per_second));
        scalars
    }
}

/// Epochs of shuffled batches.
pub struct MethodEpochs<'a, B: Backend> {
    dataset: &'a ImageDataset,
    device: &'a B::Device,
    /// The rest of the epoch under way.
    epoch: Option<Batches<B>>,
}

impl<'a, B: Backend> MethodEpochs<'a, B> {
    /// Of the images of a set.
    pub fn new(dataset: &'a ImageDataset, device: &'a B::Device) -> Self {
        Self { dataset, device, epoch: None }
    }
}

impl<B: Backend, M: TrainedMethod> TrainingData<B, MethodTraining<B, M>> for MethodEpochs<'_, B> {
    type Record = MethodStep;
    type Error = MethodTrainError;

    fn next_batch(
        &mut self,
        trainer: &Trainer<B, MethodTraining<B, M>>,
    ) -> Result<Option<Batch<B>>, MethodTrainError> {
        if let Some(batch) = self.epoch.as_mut().and_then(Iterator::next) {
            return Ok(Some(batch?));
        }
        let place = trainer.place(trainer.steps());
        let RunPlace { stage_step, epoch_steps, batch_size, seed, .. } = place;
        let epoch = place.epoch as u64;
        let order = epoch_order(seed, epoch, self.dataset.samples().len());
        let options = LoaderOptions::new(batch_size).start_at(stage_step % epoch_steps.max(1));
        let batches =
            Batches::start(&self.dataset.at_epoch(epoch), order, options, self.device.clone())?;
        Ok(self.epoch.insert(batches).next().transpose()?)
    }

    fn record(
        &mut self,
        trainer: &mut Trainer<B, MethodTraining<B, M>>,
        report: MethodReport,
        took: Duration,
    ) -> Result<MethodStep, MethodTrainError> {
        let MethodReport { step, images, losses } = report;
        let epoch = trainer.place(step - 1).epoch + 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(MethodStep {
            step,
            epoch,
            learning_rate: moeclip_train::Trainable::learning_rate(&**trainer, step - 1),
            losses,
            images_per_second: images as f64 / took.as_secs_f64().max(f64::EPSILON),
            peak_bytes: peak_memory(),
            unix_seconds: since.map_or(0.0, |since| since.as_secs_f64()),
        })
    }
}
