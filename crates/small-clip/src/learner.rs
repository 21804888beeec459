//! One step of pretraining after the other, on as many threads as the batch has shards.

use std::thread;
use std::time::Instant;

use burn::backend::Autodiff;
use burn::module::Module;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsAccumulator, GradientsParams, Optimizer};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::PretrainConfig;
use crate::batch::{Shard, ShardNumber};
use crate::captions::Captions;
use crate::model::{Pupil, PupilError, SentenceIds};
use crate::objective::{PretrainTerms, Truth, objective};
use crate::pictures::Pictures;

/// Adam's decays; the second is shorter than usual, for a run of some thousand steps.
const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.98;

/// Adam's guard against division by zero.
const EPSILON: f32 = 1e-8;

/// Pictures measured at once.
const MEASURED_AT_ONCE: usize = 20;

/// A model in training, and what it is taught with.
pub struct PretrainLearner<B: Backend> {
    pub(crate) config: PretrainConfig,
    pub(crate) captions: Captions,
    pub(crate) pupil: Pupil<Autodiff<B>>,
    pub(crate) optimizer: OptimizerAdaptor<Adam, Pupil<Autodiff<B>>, Autodiff<B>>,
    pub(crate) step: usize,
    pub(crate) device: B::Device,
    /// 1 for rows of the token table that learn, `[rows, 1]`.
    learns: Tensor<B, 2>,
}

/// What is known of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PretrainMetrics {
    /// The step, counted from 1.
    pub step: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Pictures and crops per second.
    pub images_per_second: f64,
    /// The terms before the step, unweighted.
    pub losses: PretrainValues,
    /// The terms on held-out pictures, where they were measured behind this step.
    pub held_out: Option<PretrainValues>,
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
    /// Share of pictures whose state the class token told rightly.
    pub state_accuracy: f32,
    /// Share of pictures whose state the last tap's patches told rightly.
    pub patch_accuracy: f32,
}

/// A step that could not be made.
#[derive(Debug, Error)]
pub enum PretrainError {
    /// A model that cannot be built, or sentences that it cannot read.
    #[error(transparent)]
    Pupil(#[from] PupilError),
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

/// Gradients of a shard, and what was measured on the way.
struct Pass {
    /// Pictures that were looked at.
    images: usize,
    gradients: GradientsParams,
    values: PretrainValues,
}

impl<B: Backend> PretrainLearner<B> {
    /// A learner at step 0.
    ///
    /// # Errors
    ///
    /// [`PretrainError::Pupil`] when the sizes cannot be built.
    pub fn new(config: PretrainConfig, device: &B::Device) -> Result<Self, PretrainError> {
        let captions = Captions::new(config.model.context, &config.pictures, config.seed);
        let pupil = Pupil::start(&config, captions.vocabulary(), device)?;
        let optimizer =
            AdamConfig::new().with_beta_1(BETA_1).with_beta_2(BETA_2).with_epsilon(EPSILON).init();
        let learns = captions.vocabulary().learns();
        let rows = learns.len();
        let learns = Tensor::from_data(TensorData::new(learns, [rows, 1]), device);
        Ok(Self { config, captions, pupil, optimizer, step: 0, device: device.clone(), learns })
    }

    /// Steps made.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// The configuration.
    pub fn config(&self) -> &PretrainConfig {
        &self.config
    }

    /// The model as it is.
    pub fn pupil(&self) -> &Pupil<Autodiff<B>> {
        &self.pupil
    }

    /// One step.
    ///
    /// # Errors
    ///
    /// [`PretrainError`] when the loss is no number; the model is then as it was.
    pub fn step(&mut self, pictures: &Pictures) -> Result<PretrainMetrics, PretrainError> {
        let start = Instant::now();
        let step = self.step + 1;
        let passes = self.passes(pictures)?;
        let images: usize = passes.iter().map(|pass| pass.images).sum();
        let mut sum = GradientsAccumulator::new();
        let mut losses = PretrainValues::default();
        for pass in passes {
            losses.add(&pass.values);
            sum.accumulate(&self.pupil, pass.gradients);
        }
        if !losses.total.is_finite() {
            return Err(PretrainError::Diverged { step });
        }
        let gradients = self.without_unknown_words(sum.grads());
        let learning_rate = self.config.learning_rate.at(self.step, self.config.steps);
        self.pupil = self.optimizer.step(learning_rate, self.pupil.clone(), gradients);
        self.step = step;
        let images_per_second = images as f64 / start.elapsed().as_secs_f64().max(f64::EPSILON);
        Ok(PretrainMetrics { step, learning_rate, images_per_second, losses, held_out: None })
    }

    /// The terms on whole pictures as they are, each with plain captions; nothing is learned.
    ///
    /// # Errors
    ///
    /// [`PretrainError::Device`] when the device does not answer.
    pub fn measure(&self, pictures: &Pictures) -> Result<PretrainValues, PretrainError> {
        let pupil = self.pupil.clone().no_grad();
        let (count, mut sum) = (pictures.len(), PretrainValues::default());
        for first in (0..count).step_by(MEASURED_AT_ONCE) {
            let indices = first..(first + MEASURED_AT_ONCE).min(count);
            let share = indices.len() as f32 / count as f32;
            let shard = Shard::whole(&self.config, pictures, &self.captions, indices);
            let terms = self.terms(&pupil, &shard)?;
            sum.add(&self.values(&terms, share)?);
        }
        Ok(sum)
    }

    /// Each shard of the next step on a thread of its own; in their order, whoever is done first.
    fn passes(&self, pictures: &Pictures) -> Result<Vec<Pass>, PretrainError> {
        let lost = || Err(PretrainError::Device { step: self.step + 1 });
        thread::scope(|scope| {
            let running: Vec<_> = (0..self.config.batch.shards)
                .map(|shard| scope.spawn(move || self.pass(pictures, shard)))
                .collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
        })
    }

    fn pass(&self, pictures: &Pictures, shard: usize) -> Result<Pass, PretrainError> {
        let number = ShardNumber { step: self.step, shard };
        let shard = Shard::draw(&self.config, pictures, &self.captions, number);
        if shard.is_empty() {
            return Err(PretrainError::Empty { step: self.step + 1 });
        }
        let share = 1.0 / self.config.batch.shards as f32;
        // A graph of its own, so that no thread waits for another's.
        let pupil = self.pupil.clone().fork(&self.device);
        let terms = self.terms(&pupil, &shard)?;
        let values = self.values(&terms, share)?;
        let gradients = terms.total.mul_scalar(share).backward();
        let gradients = GradientsParams::from_grads(gradients, &pupil);
        Ok(Pass { images: shard.len(), gradients, values })
    }

    fn terms(
        &self,
        pupil: &Pupil<Autodiff<B>>,
        shard: &Shard,
    ) -> Result<PretrainTerms<Autodiff<B>>, PretrainError> {
        let shape = [shard.len(), 3, shard.side, shard.side];
        let images = TensorData::new(shard.pixels.clone(), shape);
        let images = Tensor::from_data(images, &self.device);
        let answers = pupil.answer(images, &shard.corners, &SentenceIds::of(shard))?;
        Ok(objective(answers, &Truth::of(shard, &self.device), &self.config.losses))
    }

    /// What was measured, times a share, in one transfer.
    fn values(
        &self,
        terms: &PretrainTerms<Autodiff<B>>,
        share: f32,
    ) -> Result<PretrainValues, PretrainError> {
        let lost = PretrainError::Device { step: self.step + 1 };
        let PretrainTerms { total, pairs, state, patches, replaced, .. } = terms;
        let (accuracy, patch_accuracy) = (&terms.state_accuracy, &terms.patch_accuracy);
        let all = [total, pairs, state, patches, replaced, accuracy, patch_accuracy];
        let all = Tensor::cat(all.map(Clone::clone).to_vec(), 0).mul_scalar(share);
        let values = all.try_into_data().ok().and_then(|data| data.to_vec::<f32>().ok());
        match values.as_deref() {
            Some(&[total, pairs, state, patches, replaced, state_accuracy, patch_accuracy]) => {
                Ok(PretrainValues {
                    total,
                    pairs,
                    state,
                    patches,
                    replaced,
                    state_accuracy,
                    patch_accuracy,
                })
            }
            _ => Err(lost),
        }
    }

    /// Words that mean nothing keep the rows that they were drawn with.
    fn without_unknown_words(&self, mut gradients: GradientsParams) -> GradientsParams {
        let id = self.pupil.text.token_embedding().id;
        if let Some(gradient) = gradients.remove::<B, 2>(id) {
            gradients.register::<B, 2>(id, gradient * self.learns.clone());
        }
        gradients
    }
}

impl PretrainValues {
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
