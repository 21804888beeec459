//! The one trainer: forward and backward of a batch by the method that is trained, a step of Adam, and
//! again. A method says what only it knows in [`Trainable`]; steps, moments, checkpoints and logs are the
//! same for all.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Deref};
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::optim::{AdamConfig, GradientsParams, Optimizer};
use burn::tensor::{TensorData, backend::Backend};

use crate::checkpoint::{CheckpointFile, CheckpointFormat, UPDATES};
use crate::parameters::{
    AdamOptimizer, MovedAlike, OptimizerState, decayed, movements, place_moments, read_moments,
};
use crate::{CheckpointError, CheckpointedRun, LoggedStep, StopReason};

/// A method that can be trained. To add one is to implement this beside its model: what it learns from,
/// how a batch becomes gradients, and what of it a checkpoint must hold.
pub trait Trainable<B: Backend> {
    /// What Adam moves.
    type Parameters: AutodiffModule<Autodiff<B>>;
    /// What a step learns from.
    type Batch;
    /// What is known of a step that was made.
    type Report;
    /// Why a step cannot be made.
    type Error;
    /// What a checkpoint is resumed by only if it is the same: settings, data, code.
    type Run: CheckpointedRun;

    /// How its checkpoints are told from others, and what they call moments.
    const FORMAT: CheckpointFormat;

    /// Settings of Adam.
    fn adam(&self) -> AdamConfig;

    /// The learning rate of a step, counted from 0.
    fn learning_rate(&self, step: usize) -> f64;

    /// How one parameter is moved, by its path in the parameters, where they are not all moved alike; `None`
    /// where it stays.
    fn movement(&self, step: usize, _path: &str) -> Option<Movement> {
        Some(Movement { learning_rate: self.learning_rate(step), decay: 0.0 })
    }

    /// The parameters as they are.
    fn parameters(&self) -> &Self::Parameters;

    /// Takes the parameters that a step has made.
    fn set_parameters(&mut self, parameters: Self::Parameters);

    /// Forward and backward of the batch of a step, counted from 0.
    ///
    /// # Errors
    ///
    /// When no step can be made; the parameters stay as they are.
    fn backward(
        &mut self,
        step: usize,
        batch: Self::Batch,
    ) -> Result<Backward<Self::Report>, Self::Error>;

    /// What follows a step, counted from 1: a method that changes which parameters there are changes their
    /// moments with them.
    ///
    /// # Errors
    ///
    /// When the method cannot go on; the step itself was made.
    fn after_step(
        &mut self,
        _step: usize,
        _report: &Self::Report,
        _adam: &mut AdamOptimizer<Self::Parameters, B>,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    /// All that the step after `step` depends on, but for Adam's moments.
    ///
    /// # Errors
    ///
    /// What JSON cannot hold.
    fn saved(&self, step: usize, run: &Self::Run) -> serde_json::Result<SavedState>;
}

/// How a step moves a parameter that has a gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Movement {
    /// What Adam's step is multiplied by.
    pub learning_rate: f64,
    /// How much of the parameter is taken away beforehand, times the learning rate: AdamW's weight decay.
    pub decay: f64,
}

/// What forward and backward of a batch give.
pub struct Backward<R> {
    /// Gradients of the loss; `None` for a step that moves nothing.
    pub gradients: Option<GradientsParams>,
    /// What is known of the step.
    pub report: R,
}

/// What a method has become, on the host, by names that last.
#[derive(Debug, Clone, Default)]
pub struct SavedState {
    /// Its parameters, f32; not saved when one of them is not finite.
    pub parameters: BTreeMap<String, TensorData>,
    /// Further tensors.
    pub tensors: BTreeMap<String, TensorData>,
    /// All else as text, most of it JSON.
    pub metadata: BTreeMap<String, String>,
}

impl SavedState {
    /// The first parameter that holds NaN or infinity.
    pub(crate) fn not_finite(&self) -> Option<&str> {
        let finite = |data: &TensorData| data.iter::<f32>().all(f32::is_finite);
        let found = self.parameters.iter().find(|(_, data)| !finite(data));
        found.map(|(name, _)| name.as_str())
    }
}

/// A method in training: it, Adam's moments, and how many steps were made.
pub struct Trainer<B: Backend, T: Trainable<B>> {
    pub(crate) method: T,
    pub(crate) adam: AdamOptimizer<T::Parameters, B>,
    pub(crate) step: usize,
}

/// Questions to the method are asked of its trainer.
impl<B: Backend, T: Trainable<B>> Deref for Trainer<B, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.method
    }
}

impl<B: Backend, T: Trainable<B>> Trainer<B, T> {
    /// A trainer at step 0.
    pub fn start(method: T) -> Self {
        let adam = method.adam().init();
        Self { method, adam, step: 0 }
    }

    /// A trainer where a checkpoint stands, whose parameters the method already has.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when its moments are not of these parameters.
    pub fn resume(
        method: T,
        step: usize,
        checkpoint: &CheckpointFile,
        device: &B::Device,
    ) -> Result<Self, CheckpointError> {
        let updates = checkpoint.updates()?;
        let find = |path: &str, shape: &[usize]| {
            let Some(updates) = updates.get(path) else { return Ok(None) };
            let moment = |prefix| checkpoint.tensor(&format!("{prefix}{path}"), shape);
            let (first, second) = (moment(T::FORMAT.first)?, moment(T::FORMAT.second)?);
            Ok(Some(OptimizerState { updates: *updates, first, second }))
        };
        let moments = place_moments::<B, _>(method.parameters(), device, find)?;
        let (placed, stored) = (moments.len(), updates.len());
        if placed != stored {
            let reason = format!("{placed} of its {stored} optimiser moments belong to this model");
            return Err(CheckpointError::Damaged { file: checkpoint.path().into(), reason });
        }
        let adam = method.adam().init().load_record(moments);
        Ok(Self { method, adam, step })
    }

    /// Steps made.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// One step on a batch: forward, backward, Adam.
    ///
    /// # Errors
    ///
    /// As [`Trainable::backward`] and [`Trainable::after_step`].
    pub fn step(&mut self, batch: T::Batch) -> Result<T::Report, T::Error> {
        let Backward { gradients, report } = self.method.backward(self.step, batch)?;
        if let Some(gradients) = gradients {
            let (method, step) = (&self.method, self.step);
            let parameters = method.parameters().clone();
            let movement = |path: &str| method.movement(step, path);
            let moved = moved(&mut self.adam, parameters, gradients, movement);
            self.method.set_parameters(moved);
        }
        self.step += 1;
        self.method.after_step(self.step, &report, &mut self.adam)?;
        Ok(report)
    }

    /// All that the next step depends on besides what decides the run.
    pub(crate) fn saved_state(&self, run: &T::Run) -> serde_json::Result<SavedState> {
        let mut state = self.method.saved(self.step, run)?;
        let mut updates = BTreeMap::new();
        for (path, moments) in self.moments() {
            state.tensors.insert(format!("{}{path}", T::FORMAT.first), moments.first);
            state.tensors.insert(format!("{}{path}", T::FORMAT.second), moments.second);
            updates.insert(path, moments.updates);
        }
        let mut say = |key: &str, text: String| state.metadata.insert(key.to_owned(), text);
        say(UPDATES, serde_json::to_string(&updates)?);
        say("format", T::FORMAT.name.to_owned());
        if let Some(version) = T::FORMAT.version {
            say("version", version.to_owned());
        }
        Ok(state)
    }

    /// Adam's moments by the path of their parameter.
    pub(crate) fn moments(&self) -> BTreeMap<String, OptimizerState> {
        read_moments::<B, _>(self.method.parameters(), self.adam.to_record())
    }
}

/// The parameters behind a step of Adam, each moved as `movement` says of its path; those that are moved alike
/// are moved together.
pub fn moved<B: Backend, M: AutodiffModule<Autodiff<B>>>(
    adam: &mut AdamOptimizer<M, B>,
    parameters: M,
    gradients: GradientsParams,
    movement: impl Fn(&str) -> Option<Movement>,
) -> M {
    let groups = movements::<B, _>(&parameters, gradients, movement);
    groups.into_iter().fold(parameters, |parameters, MovedAlike { movement, gradients }| {
        let Movement { learning_rate, decay } = movement;
        let parameters = match decay {
            0.0 => parameters,
            decay => decayed::<B, _>(parameters, &gradients, 1.0 - learning_rate * decay),
        };
        adam.step(learning_rate, parameters, gradients)
    })
}

/// What a run learns from, step after step, and what its log says of each.
pub trait TrainingData<B: Backend, T: Trainable<B>> {
    /// A line of the log.
    type Record: LoggedStep;
    /// Why there is no batch, or no step.
    type Error: From<T::Error>;

    /// The batch of the trainer's next step; `None` when more steps would not improve it.
    ///
    /// # Errors
    ///
    /// When the batch cannot be read.
    fn next_batch(&mut self, trainer: &Trainer<B, T>) -> Result<Option<T::Batch>, Self::Error>;

    /// What the log says of the step that was made, which took so long with its batch; now and then held-out
    /// data is measured for it.
    ///
    /// # Errors
    ///
    /// When held-out data cannot be measured.
    fn record(
        &mut self,
        trainer: &mut Trainer<B, T>,
        report: T::Report,
        took: Duration,
    ) -> Result<Self::Record, Self::Error>;
}

/// Steps from where the trainer stands until `steps` are made, or until `watch` breaks; it sees the trainer
/// as each step left it.
///
/// # Errors
///
/// When a step fails or has no batch; the trainer keeps what it has learned.
pub fn train<B: Backend, T: Trainable<B>, D: TrainingData<B, T>>(
    trainer: &mut Trainer<B, T>,
    data: &mut D,
    steps: usize,
    mut watch: impl FnMut(&Trainer<B, T>, &D::Record) -> ControlFlow<()>,
) -> Result<StopReason, D::Error> {
    let mut start = Instant::now();
    while trainer.steps() < steps {
        let Some(batch) = data.next_batch(trainer)? else { return Ok(StopReason::OutOfPatience) };
        let report = trainer.step(batch)?;
        let record = data.record(trainer, report, start.elapsed())?;
        start = Instant::now();
        if watch(trainer, &record).is_break() {
            return Ok(StopReason::Interrupted);
        }
    }
    Ok(StopReason::Complete)
}
