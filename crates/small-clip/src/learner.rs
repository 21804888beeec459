//! Training of the small CLIP: a batch is as many shards as there are threads, each with a graph of its
//! own, and a checkpoint has every parameter of both towers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::thread;

use burn::backend::Autodiff;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsAccumulator, GradientsParams};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use moeclip_train::{
    Backward, CheckpointFormat, SavedState, Scalar, Trainable, Trainer, named_parameters,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::PretrainConfig;
use crate::batch::{Shard, ShardNumber};
use crate::captions::Captions;
use crate::model::{ClipModel, ClipModelError, SentenceIds};
use crate::objective::{PretrainTerms, Targets, objective};
use crate::pictures::Pictures;
use crate::run::{FORMAT, PretrainRun};

/// Adam's decays; the second is shorter than usual, for a run of some thousand steps.
const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.98;

/// Adam's guard against division by zero.
const EPSILON: f32 = 1e-8;

/// Pictures measured at once.
const MEASURED_AT_ONCE: usize = 20;

/// What the name of a parameter begins with in a checkpoint.
pub(crate) const VALUE: &str = "value.";

/// A trainer of the small CLIP.
pub type PretrainLearner<B> = Trainer<B, Pretraining<B>>;

/// The small CLIP in training, and what it is taught with.
pub struct Pretraining<B: Backend> {
    pub(crate) config: PretrainConfig,
    pub(crate) captions: Captions,
    pub(crate) model: ClipModel<Autodiff<B>>,
    pub(crate) device: B::Device,
    /// 1 for rows of the token table that learn, `[rows, 1]`.
    learns: Tensor<B, 2>,
}

/// The terms on the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainValues {
    /// What was minimised.
    pub total: f32,
    /// Of sentences and pictures.
    pub pairs: f32,
    /// Of the two states.
    pub state: f32,
    /// Of patches.
    pub patches: f32,
    /// Of replaced patches.
    pub replaced: f32,
    /// Share of pictures whose state the class token predicts rightly.
    pub state_accuracy: f32,
    /// Share of pictures whose state the last tap's patches predict rightly.
    pub patch_accuracy: f32,
}

/// A step that could not be made.
#[derive(Debug, Error)]
pub enum PretrainError {
    /// A model that cannot be built, or sentences that it cannot read.
    #[error(transparent)]
    ClipModel(#[from] ClipModelError),
    /// The loss left the numbers.
    #[error("step {step}: the loss is not finite; lower learning_rate.peak")]
    Diverged {
        /// The step.
        step: usize,
    },
    /// A shard without both states.
    #[error("step {step}: no pictures for a shard; raise pictures.count")]
    Empty {
        /// The step.
        step: usize,
    },
    /// A thread or device that did not answer.
    #[error("step {step}: the device gave no numbers; check its memory and driver")]
    Device {
        /// The step.
        step: usize,
    },
}

/// What is known of a step before it is timed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PretrainReport {
    /// The step, counted from 1.
    pub step: usize,
    /// Pictures and crops that it saw.
    pub images: usize,
    /// RequireGrad rate.
    pub learning_rate: f64,
    /// The terms before the step, unweighted.
    pub losses: PretrainValues,
}

/// Gradients of a shard, and what was measured on the way.
struct ShardBackward {
    /// Pictures that were looked at.
    images: usize,
    gradients: GradientsParams,
    values: PretrainValues,
}

impl<B: Backend> Trainable<B> for Pretraining<B> {
    type Parameters = ClipModel<Autodiff<B>>;
    /// A shard for each thread.
    type Batch = Vec<Shard>;
    type Report = PretrainReport;
    type Error = PretrainError;
    type Run = PretrainRun;

    const FORMAT: CheckpointFormat = FORMAT;

    fn adam(&self) -> AdamConfig {
        AdamConfig::new().with_beta_1(BETA_1).with_beta_2(BETA_2).with_epsilon(EPSILON)
    }

    fn learning_rate(&self, step: usize) -> f64 {
        self.config.learning_rate.at(step, self.config.steps)
    }

    fn parameters(&self) -> &ClipModel<Autodiff<B>> {
        &self.model
    }

    fn set_parameters(&mut self, model: ClipModel<Autodiff<B>>) {
        self.model = model;
    }

    fn backward(
        &mut self,
        step: usize,
        batch: Vec<Shard>,
    ) -> Result<Backward<PretrainReport>, PretrainError> {
        let learning_rate = self.learning_rate(step);
        let step = step + 1;
        let (mut images, mut losses) = (0, PretrainValues::default());
        let mut sum = GradientsAccumulator::new();
        for shard in self.shards_backward(step, &batch)? {
            images += shard.images;
            losses.add(&shard.values);
            sum.accumulate(&self.model, shard.gradients);
        }
        if !losses.total.is_finite() {
            return Err(PretrainError::Diverged { step });
        }
        let gradients = Some(self.without_unknown_words(sum.grads()));
        Ok(Backward { gradients, report: PretrainReport { step, images, learning_rate, losses } })
    }

    fn saved(&self, step: usize, run: &PretrainRun) -> serde_json::Result<SavedState> {
        let parameters = named_parameters::<Autodiff<B>, _>(&self.model).into_iter();
        let metadata = run.metadata()?.into_iter().chain([("step", step.to_string())]);
        Ok(SavedState {
            parameters: parameters.map(|(path, data)| (format!("{VALUE}{path}"), data)).collect(),
            tensors: BTreeMap::new(),
            metadata: metadata.map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }
}

impl<B: Backend> Pretraining<B> {
    /// A model before its first step.
    ///
    /// # Errors
    ///
    /// [`PretrainError::ClipModel`] when the sizes cannot be built.
    pub fn new(config: PretrainConfig, device: &B::Device) -> Result<Self, PretrainError> {
        let captions = Captions::new(config.model.context, &config.pictures, config.seed);
        let model = ClipModel::start(&config, captions.vocabulary(), device)?;
        let learns = captions.vocabulary().learns();
        let rows = learns.len();
        let learns = Tensor::from_data(TensorData::new(learns, [rows, 1]), device);
        Ok(Self { config, captions, model, device: device.clone(), learns })
    }

    /// The configuration.
    pub fn config(&self) -> &PretrainConfig {
        &self.config
    }

    /// The model as it is.
    pub fn model(&self) -> &ClipModel<Autodiff<B>> {
        &self.model
    }

    /// The batch of a step, counted from 0; each shard is drawn on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`PretrainError::Empty`] when the pictures do not fill a shard.
    pub fn draw(&self, pictures: &Pictures, step: usize) -> Result<Vec<Shard>, PretrainError> {
        let shards = self.on_threads(step + 1, 0..self.config.batch.shards, |shard| {
            let number = ShardNumber { step, shard };
            Ok(Shard::draw(&self.config, pictures, &self.captions, number))
        })?;
        if shards.iter().any(Shard::is_empty) {
            return Err(PretrainError::Empty { step: step + 1 });
        }
        Ok(shards)
    }

    /// The terms on whole pictures as they are, each with plain captions; nothing is learned. `step` is for
    /// messages.
    ///
    /// # Errors
    ///
    /// [`PretrainError::Device`] when the device does not answer.
    pub fn measure(
        &self,
        pictures: &Pictures,
        step: usize,
    ) -> Result<PretrainValues, PretrainError> {
        let model = self.model.clone().no_grad();
        let (count, mut sum) = (pictures.len(), PretrainValues::default());
        for first in (0..count).step_by(MEASURED_AT_ONCE) {
            let indices = first..(first + MEASURED_AT_ONCE).min(count);
            let share = indices.len() as f32 / count as f32;
            let shard = Shard::whole(&self.config, pictures, &self.captions, indices);
            let terms = self.terms(&model, &shard)?;
            sum.add(&values(&terms, share).ok_or(PretrainError::Device { step })?);
        }
        Ok(sum)
    }

    /// Forward and backward of each shard on a thread of its own; in their order, whoever is done first.
    fn shards_backward(
        &self,
        step: usize,
        batch: &[Shard],
    ) -> Result<Vec<ShardBackward>, PretrainError> {
        let share = 1.0 / batch.len().max(1) as f32;
        self.on_threads(step, 0..batch.len(), |index| {
            self.shard_backward(step, &batch[index], share)
        })
    }

    fn shard_backward(
        &self,
        step: usize,
        shard: &Shard,
        share: f32,
    ) -> Result<ShardBackward, PretrainError> {
        // A graph of its own, so that no thread waits for another's.
        let model = self.model.clone().fork(&self.device);
        let terms = self.terms(&model, shard)?;
        let values = values(&terms, share).ok_or(PretrainError::Device { step })?;
        let gradients = terms.total.mul_scalar(share).backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        Ok(ShardBackward { images: shard.len(), gradients, values })
    }

    /// Does the work of each shard on a thread of its own; results are in the order of the shards.
    fn on_threads<R: Send>(
        &self,
        step: usize,
        shards: Range<usize>,
        work: impl Fn(usize) -> Result<R, PretrainError> + Sync,
    ) -> Result<Vec<R>, PretrainError>
    where
        Self: Sync,
    {
        let (work, lost) = (&work, || Err(PretrainError::Device { step }));
        thread::scope(|scope| {
            let running: Vec<_> = shards.map(|shard| scope.spawn(move || work(shard))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
        })
    }

    fn terms(
        &self,
        model: &ClipModel<Autodiff<B>>,
        shard: &Shard,
    ) -> Result<PretrainTerms<Autodiff<B>>, PretrainError> {
        let shape = [shard.len(), 3, shard.side, shard.side];
        let images = TensorData::new(shard.pixels.clone(), shape);
        let images = Tensor::from_data(images, &self.device);
        let predictions = model.forward(images, &shard.corners, &SentenceIds::of(shard))?;
        Ok(objective(predictions, &Targets::of(shard, &self.device), &self.config.losses))
    }

    /// Words that mean nothing keep the rows that they were drawn with.
    fn without_unknown_words(&self, mut gradients: GradientsParams) -> GradientsParams {
        let id = self.model.text.token_embedding().id;
        if let Some(gradient) = gradients.remove::<B, 2>(id) {
            gradients.register::<B, 2>(id, gradient * self.learns.clone());
        }
        gradients
    }
}

/// What was measured, times a share, in one transfer; `None` when the device gives no numbers.
fn values<B: Backend>(terms: &PretrainTerms<B>, share: f32) -> Option<PretrainValues> {
    let PretrainTerms { total, pairs, state, patches, replaced, .. } = terms;
    let (accuracy, patch_accuracy) = (&terms.state_accuracy, &terms.patch_accuracy);
    let all = [total, pairs, state, patches, replaced, accuracy, patch_accuracy];
    let all = Tensor::cat(all.map(Clone::clone).to_vec(), 0).mul_scalar(share);
    let values = all.try_into_data().ok().and_then(|data| data.to_vec::<f32>().ok())?;
    let [total, pairs, state, patches, replaced, state_accuracy, patch_accuracy] =
        <[f32; 7]>::try_from(values).ok()?;
    Some(PretrainValues { total, pairs, state, patches, replaced, state_accuracy, patch_accuracy })
}

impl PretrainValues {
    pub(crate) fn scalars(&self, group: &str) -> Vec<Scalar> {
        let named = [
            ("total", self.total),
            ("pairs", self.pairs),
            ("state", self.state),
            ("patches", self.patches),
            ("replaced", self.replaced),
            ("state-accuracy", self.state_accuracy),
            ("patch-accuracy", self.patch_accuracy),
        ];
        let scalar = |(name, value): (&str, f32)| Scalar {
            name: format!("{group}/{name}"),
            value: Some(f64::from(value)),
        };
        named.map(scalar).to_vec()
    }

    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.pairs += other.pairs;
        self.state += other.state;
        self.patches += other.patches;
        self.replaced += other.replaced;
        self.state_accuracy += other.state_accuracy;
        self.patch_accuracy += other.patch_accuracy;
    }
}
