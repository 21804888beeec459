//! A whole run of training adapters: epochs of shuffled, augmented batches, one step each.
//! [`KeptEpoch`] says which epoch a run keeps: the last, or the best on a held-out part of the
//! auxiliary set; never one that did well on a test.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use burn::tensor::{TensorData, backend::Backend};
use moeclip::{Chosen, ConfigError};
use moeclip_data::{Batch, Batches, Counts, DataError, ImageDataset, LoaderOptions, epoch_order};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    AdapterTraining, HeldOutMetrics, Learner, StepMetrics, StepReport, TrainConfigError,
    TrainingData, peak_memory, train,
};

/// A run that ended before its last step.
#[derive(Debug, Error)]
pub enum FitError {
    /// A step failed.
    #[error(transparent)]
    Step(#[from] TrainError),
    /// An image could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Images that a run cannot learn from.
    #[error("{reason}; training needs anomalous images with masks and normal ones")]
    Unusable {
        /// What is wrong with them.
        reason: String,
    },
}

/// A step that could not be made.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A setting that no run can have.
    #[error(transparent)]
    Config(#[from] TrainConfigError),
    /// An image of a class without prompts.
    #[error("class {class:?} has no prompts here; encode every class before training")]
    Class {
        /// The class.
        class: String,
    },
    /// The loss left the numbers.
    #[error("step {step}: the loss is {loss}; lower learning_rate or check the weights")]
    Diverged {
        /// The step.
        step: usize,
        /// What was found.
        loss: f32,
    },
    /// Gradients that no factor on the loss makes finite.
    #[error(
        "step {step}: gradients are not finite however the loss is scaled; use --precision f32"
    )]
    Overflow {
        /// The step.
        step: usize,
    },
    /// Experts that cannot be dropped.
    #[error(transparent)]
    Model(#[from] ConfigError),
    /// The device did not give its numbers back.
    #[error("step {step}: the device gave no loss; check its memory and driver")]
    Device {
        /// The step.
        step: usize,
    },
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// All steps are done.
    Complete,
    /// The observer asked to stop.
    Interrupted,
    /// Held-out images did not improve for as many epochs as the run's patience allows.
    OutOfPatience,
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLength {
    /// Steps in one epoch.
    pub steps_per_epoch: usize,
    /// Steps in the whole run.
    pub steps: usize,
}

impl RunLength {
    /// The extent of a run over `images`, ended early by `limit` where given.
    pub fn new(images: usize, batch_size: usize, epochs: usize, limit: Option<usize>) -> Self {
        let steps_per_epoch = images.div_ceil(batch_size.max(1));
        let all = steps_per_epoch * epochs;
        Self { steps_per_epoch, steps: limit.map_or(all, |limit| limit.min(all)) }
    }

    /// How many epochs so many steps are.
    pub fn epochs(&self, step: usize) -> f64 {
        step as f64 / self.steps_per_epoch.max(1) as f64
    }

    /// Where a run stands after so many steps.
    pub fn position(&self, step: usize) -> Position {
        let each = self.steps_per_epoch.max(1);
        Position { step, epoch: step / each, batch: step % each }
    }
}

/// Where a run stands: what it has made, and what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Steps made.
    pub step: usize,
    /// The epoch of the next step, from 0.
    pub epoch: usize,
    /// Its batch within that epoch, from 0.
    pub batch: usize,
}

/// The images of a run.
#[derive(Debug, Clone)]
pub struct AuxiliaryImages {
    /// What is trained on.
    pub training: ImageDataset,
    /// What never is, and is measured behind every epoch.
    pub held_out: Option<ImageDataset>,
}

/// Refuses images that a run cannot learn from.
///
/// # Errors
///
/// [`FitError::Unusable`] when a kind of image is absent or an anomalous one has no mask.
pub fn check_images(counts: Counts) -> Result<(), FitError> {
    let Counts { normal, anomalous, anomalous_without_mask } = counts;
    let unusable = |reason: String| Err(FitError::Unusable { reason });
    match (normal, anomalous, anomalous_without_mask) {
        (0, 0, _) => unusable("there are no images".into()),
        (0, _, _) => unusable(format!("all {anomalous} images are anomalous")),
        (_, 0, _) => unusable(format!("all {normal} images are normal")),
        (_, _, 0) => Ok(()),
        (_, _, bare) => unusable(format!("{bare} of {anomalous} anomalous images have no mask")),
    }
}

/// Runs from where the learner stands to the end of the extent, or until `observe` breaks; it sees
/// every step.
///
/// # Errors
///
/// [`FitError`] when an image cannot be read or a step fails; the learner keeps what it has learned.
pub fn fit<B: Backend>(
    learner: &mut Learner<B>,
    images: &AuxiliaryImages,
    extent: RunLength,
    device: &B::Device,
    mut observe: impl FnMut(&StepMetrics) -> ControlFlow<()>,
) -> Result<StopReason, FitError> {
    fit_watched(learner, images, extent, device, |_, metrics| observe(metrics))
}

/// As [`fit`]; `watch` sees the learner as each step left it, to save checkpoints of it.
///
/// # Errors
///
/// As [`fit`].
pub fn fit_watched<B: Backend>(
    learner: &mut Learner<B>,
    images: &AuxiliaryImages,
    extent: RunLength,
    device: &B::Device,
    watch: impl FnMut(&Learner<B>, &StepMetrics) -> ControlFlow<()>,
) -> Result<StopReason, FitError> {
    check_images(Counts::of(images.training.samples()))?;
    let mut data = ImageEpochs { images, extent, device, epoch: None };
    train(learner, &mut data, extent.steps, watch)
}

/// Epochs of shuffled, augmented batches.
struct ImageEpochs<'a, B: Backend> {
    images: &'a AuxiliaryImages,
    extent: RunLength,
    device: &'a B::Device,
    /// The rest of the epoch under way.
    epoch: Option<Batches<B>>,
}

impl<B: Backend> TrainingData<B, AdapterTraining<B>> for ImageEpochs<'_, B> {
    type Record = StepMetrics;
    type Error = FitError;

    fn next_batch(&mut self, learner: &Learner<B>) -> Result<Option<Batch<B>>, FitError> {
        if let Some(batch) = self.epoch.as_mut().and_then(Iterator::next) {
            return Ok(Some(batch?));
        }
        let Position { epoch, batch, .. } = self.extent.position(learner.steps());
        if learner.is_out_of_patience(epoch) {
            return Ok(None);
        }
        let dataset = &self.images.training;
        let order = epoch_order(learner.config().seed, epoch as u64, dataset.samples().len());
        let options = LoaderOptions::new(learner.config().batch_size).start_at(batch);
        let dataset = dataset.at_epoch(epoch as u64);
        let batches = Batches::start(&dataset, order, options, self.device.clone())?;
        let batch = self.epoch.insert(batches).next();
        Ok(batch.transpose()?)
    }

    fn record(
        &mut self,
        learner: &mut Learner<B>,
        report: StepReport,
        took: Duration,
    ) -> Result<StepMetrics, FitError> {
        let epoch = self.extent.position(report.step - 1).epoch + 1;
        let images_per_second = report.images as f64 / took.as_secs_f64().max(f64::EPSILON);
        let unix_seconds =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let ends_epoch = report.step.is_multiple_of(self.extent.steps_per_epoch);
        let peak_bytes = peak_memory();
        let held_out = if ends_epoch { self.end_epoch(learner, epoch)? } else { None };
        Ok(StepMetrics { epoch, report, images_per_second, peak_bytes, unix_seconds, held_out })
    }
}

impl<B: Backend> ImageEpochs<'_, B> {
    /// Measures the held-out images, if there are any.
    fn end_epoch(
        &self,
        learner: &mut Learner<B>,
        epoch: usize,
    ) -> Result<Option<HeldOutMetrics>, FitError> {
        let Some(held_out) = &self.images.held_out else { return Ok(None) };
        let order = (0..held_out.samples().len()).collect();
        let options = LoaderOptions::new(learner.config().batch_size);
        let batches = Batches::start(held_out, order, options, self.device.clone())?;
        let metrics = learner.measure(batches)?;
        learner.end_epoch(epoch, &metrics);
        Ok(Some(metrics))
    }
}

/// Which epoch's adapters a run ends with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptEpoch {
    /// The last, as in the paper.
    #[default]
    Last,
    /// The one with the lowest detection loss on held-out images.
    Best,
}

/// The epoch that did best on held-out images so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// From 1.
    pub epoch: usize,
    /// Steps made when it ended.
    pub step: usize,
    /// Its detection loss there, without the terms between experts.
    pub loss: f32,
    /// Images that were held out.
    pub images: usize,
    /// Its adapters by the names of the authors' checkpoints; empty where the run keeps the last
    /// epoch and only its patience needs to know of the best.
    #[serde(skip)]
    pub weights: BTreeMap<String, TensorData>,
}

/// The adapters that a run ends with.
#[derive(Debug, Clone, PartialEq)]
pub struct FinalAdapters {
    /// By the names of the authors' checkpoints.
    pub weights: BTreeMap<String, TensorData>,
    /// Which epoch they are of, and why.
    pub chosen: Chosen,
}

impl BestEpoch {
    /// Whether an epoch beats this one; the first of equals stays.
    pub fn is_beaten_by(&self, held_out: &HeldOutMetrics) -> bool {
        held_out.losses.detection() < self.loss
    }

    /// Why this epoch is kept, for the file of its adapters.
    pub fn chosen(&self) -> Chosen {
        let Self { epoch, step, loss, images, .. } = self;
        let because = format!("lowest loss on {images} held-out images: {loss}");
        Chosen { epochs: *epoch as f64, steps: *step, because }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(normal: usize, anomalous: usize, anomalous_without_mask: usize) -> String {
        let counts = Counts { normal, anomalous, anomalous_without_mask };
        check_images(counts).unwrap_err().to_string()
    }

    #[test]
    fn images_to_learn_from_are_of_both_kinds_and_have_masks() {
        assert!(refused(0, 0, 0).contains("no images"));
        assert!(refused(0, 3, 0).contains("all 3 images are anomalous"));
        assert!(refused(4, 0, 0).contains("all 4 images are normal"));
        assert!(refused(4, 3, 2).contains("2 of 3 anomalous images have no mask"));
        let counts = Counts { normal: 1, anomalous: 2, anomalous_without_mask: 0 };
        assert!(check_images(counts).is_ok());
    }

    #[test]
    fn a_position_is_what_comes_next() {
        let extent = RunLength::new(5, 2, 4, None);
        assert_eq!(extent.position(0), Position { step: 0, epoch: 0, batch: 0 });
        assert_eq!(extent.position(2), Position { step: 2, epoch: 0, batch: 2 });
        assert_eq!(extent.position(3), Position { step: 3, epoch: 1, batch: 0 });
    }

    #[test]
    fn the_last_batch_may_be_small_and_a_limit_ends_early() {
        let extent = RunLength::new(5, 2, 4, None);
        assert_eq!(extent, RunLength { steps_per_epoch: 3, steps: 12 });
        assert_eq!(RunLength::new(5, 2, 4, Some(7)).steps, 7);
        assert_eq!(RunLength::new(5, 2, 4, Some(99)).steps, 12);
    }
}
