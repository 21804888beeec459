//! Checkpoints of a run, so that one that was killed anywhere ends with the same bytes as one that
//! was not.
//!
//! [`Checkpoints::after_step`] saves at the cadence of its [`CheckpointPolicy`], in the middle of an
//! epoch too; [`Checkpoints::resume`] finds the newest whole one of the same run, and
//! [`crate::Trainer::resume`] takes it up. Nothing else is needed: order and augmentation follow
//! from seed, epoch and index.

mod adapters;
mod error;
mod file;
mod folder;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::backend::Backend;

use crate::{SavedState, TrainConfigError, Trainable, Trainer};
use folder::CheckpointFolder;

pub use adapters::{Checkpoint, RunDescription, TrainState};
pub(crate) use adapters::{FORMAT, Metrics, saved};
pub use error::CheckpointError;
pub(crate) use file::UPDATES;
pub use file::{CheckpointFile, CheckpointFormat, write_checkpoint};

/// When checkpoints are saved, where, and how many are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointPolicy {
    /// Where they lie; made where it is absent.
    pub folder: PathBuf,
    /// How many are kept.
    pub keep: usize,
    /// One whenever the steps made are a multiple of this.
    pub every_steps: Option<usize>,
    /// One whenever this has passed since the last.
    pub every: Option<Duration>,
}

impl CheckpointPolicy {
    /// Every ten minutes, of which the last three are kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let every = Some(Duration::from_secs(600));
        Self { folder: folder.into(), keep: 3, every_steps: None, every }
    }

    fn check(&self) -> Result<(), TrainConfigError> {
        let rules = [("keep", Some(self.keep)), ("every_steps", self.every_steps)];
        match rules.into_iter().find(|(_, value)| *value == Some(0)) {
            Some((field, _)) => Err(TrainConfigError { field, value: 0.0, must: "at least 1" }),
            None => Ok(()),
        }
    }
}

/// What decides a run, and how its checkpoints are read. One of a run that differs in anything that the
/// next step depends on is refused.
pub trait CheckpointedRun {
    /// A checkpoint that was found whole.
    type Checkpoint;

    /// Opens a checkpoint and proves that it is whole.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when it is not.
    fn open(path: &Path) -> Result<Self::Checkpoint, CheckpointError>;

    /// Steps made at a checkpoint.
    fn step(checkpoint: &Self::Checkpoint) -> usize;

    /// Refuses a checkpoint of another run.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::OtherRun`] naming the first key that differs.
    fn require(&self, checkpoint: &Self::Checkpoint) -> Result<(), CheckpointError>;
}

/// The checkpoints of one run; its folder is held until this is dropped.
#[derive(Debug)]
pub struct Checkpoints<R: CheckpointedRun = RunDescription> {
    policy: CheckpointPolicy,
    run: R,
    folder: CheckpointFolder,
    /// Steps whose checkpoint was found damaged: they count for nothing.
    damaged: BTreeSet<usize>,
    saved: Instant,
}

/// A run that is taken up again.
#[derive(Debug)]
pub struct Resumed<R: CheckpointedRun = RunDescription> {
    /// Where it goes on saving.
    pub checkpoints: Checkpoints<R>,
    /// The newest whole one, to be taken up; `None` where there is none at all and
    /// the run starts at step 0.
    pub checkpoint: Option<R::Checkpoint>,
    /// What is wrong with newer ones, newest first. To be told: the steps since are made again.
    pub damaged: Vec<CheckpointError>,
}

impl<R: CheckpointedRun> Checkpoints<R> {
    /// A folder for a run that starts at step 0.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when the policy is unusable, the folder cannot be written, another run
    /// holds it, or it holds checkpoints.
    pub fn start(policy: CheckpointPolicy, run: R) -> Result<Self, CheckpointError> {
        let checkpoints = Self::open(policy, run)?;
        match checkpoints.folder.steps()?.last() {
            Some(step) => Err(CheckpointError::Occupied { newest: checkpoints.folder.file(*step) }),
            None => Ok(checkpoints),
        }
    }

    /// The folder of a run that was ended, and its newest whole checkpoint.
    ///
    /// # Errors
    ///
    /// As [`Checkpoints::start`], except that there may be checkpoints; then also when none is whole
    /// or the newest whole one is of another run.
    pub fn resume(policy: CheckpointPolicy, run: R) -> Result<Resumed<R>, CheckpointError> {
        let mut checkpoints = Self::open(policy, run)?;
        let steps = checkpoints.folder.steps()?;
        let mut damaged = Vec::new();
        for step in steps.iter().rev() {
            match checkpoints.whole(*step) {
                Ok(checkpoint) => {
                    checkpoints.run.require(&checkpoint)?;
                    return Ok(Resumed { checkpoints, checkpoint: Some(checkpoint), damaged });
                }
                Err(error) => {
                    checkpoints.damaged.insert(*step);
                    damaged.push(error);
                }
            }
        }
        match damaged.into_iter().next() {
            None => Ok(Resumed { checkpoints, checkpoint: None, damaged: Vec::new() }),
            Some(newest) => {
                Err(CheckpointError::NoneWhole { count: steps.len(), newest: newest.into() })
            }
        }
    }

    /// Saves a checkpoint if one is due; returns where. To be called after every step.
    ///
    /// # Errors
    ///
    /// As [`Checkpoints::save`]; training may go on, and the next try is at the next due time.
    pub fn after_step<B: Backend>(
        &mut self,
        trainer: &Trainer<B, impl Trainable<B, Run = R>>,
    ) -> Result<Option<PathBuf>, CheckpointError> {
        let CheckpointPolicy { every_steps, every, .. } = self.policy;
        let by_steps = every_steps.is_some_and(|every| trainer.steps().is_multiple_of(every));
        let by_time = every.is_some_and(|every| self.saved.elapsed() >= every);
        if by_steps || by_time { self.save(trainer).map(Some) } else { Ok(None) }
    }

    /// Saves a checkpoint, then removes those that are too many; returns where it lies.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when it cannot be written (older ones then stay), when a parameter is not
    /// finite, or when it was saved and an older one cannot be removed. The trainer is as it was.
    pub fn save<B: Backend>(
        &mut self,
        trainer: &Trainer<B, impl Trainable<B, Run = R>>,
    ) -> Result<PathBuf, CheckpointError> {
        // A disk that is full now is not asked again before the next is due.
        self.saved = Instant::now();
        let step = trainer.steps();
        let path = self.folder.file(step);
        let unsaid = |error: serde_json::Error| CheckpointError::NotSaved {
            file: path.clone(),
            reason: error.to_string(),
        };
        let state = trainer.saved_state(&self.run).map_err(unsaid)?;
        if let Some(name) = state.not_finite() {
            return Err(CheckpointError::NotFinite { step, name: name.into() });
        }
        let failed = |error| CheckpointError::not_saved(&path, error);
        let unfinished = self.folder.unfinished(step).map_err(failed)?;
        let SavedState { mut parameters, mut tensors, metadata } = state;
        tensors.append(&mut parameters);
        write_checkpoint(&unfinished, &tensors, metadata).map_err(failed)?;
        self.folder.adopt(&unfinished, step).map_err(failed)?;
        self.damaged.remove(&step);
        self.prune(step)?;
        Ok(path)
    }

    fn open(policy: CheckpointPolicy, run: R) -> Result<Self, CheckpointError> {
        policy.check()?;
        let folder = CheckpointFolder::open(&policy.folder)?;
        Ok(Self { policy, run, folder, damaged: BTreeSet::new(), saved: Instant::now() })
    }

    /// The checkpoint of a step, if it is whole and what its name says.
    fn whole(&self, step: usize) -> Result<R::Checkpoint, CheckpointError> {
        let file = self.folder.file(step);
        let checkpoint = R::open(&file)?;
        let stands = R::step(&checkpoint);
        if stands == step {
            return Ok(checkpoint);
        }
        Err(CheckpointError::Damaged { file, reason: format!("it is of step {stands}") })
    }

    /// Keeps the last checkpoints up to a step. Later ones are damaged, or they would have been
    /// resumed from; their steps are made again.
    fn prune(&self, newest: usize) -> Result<(), CheckpointError> {
        let counts = |step: &usize| *step <= newest && !self.damaged.contains(step);
        let steps: Vec<usize> = self.folder.steps()?.into_iter().filter(counts).collect();
        for step in steps.iter().rev().skip(self.policy.keep) {
            let file = self.folder.file(*step);
            let gone = fs::remove_file(&file);
            gone.map_err(|source| CheckpointError::NotRemoved { file, source })?;
        }
        Ok(())
    }
}
