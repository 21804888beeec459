//! A run under way: where it is saved and logged, and what happens behind each of its steps.

use std::path::Path;

use anomaly_methods::training::{MethodRun, MethodStep, MethodTraining, TrainedMethod};
use burn::tensor::backend::Backend;
use moeclip_train::{CheckpointError, Checkpoints, Resumed, RunLog, Trainer};

use super::MethodTrainRequest;
use crate::{InspectError, Warning, Watcher};

/// A run before its first step of this sitting.
pub(super) struct BegunRun<B: Backend, M: TrainedMethod> {
    pub(super) trainer: Trainer<B, MethodTraining<B, M>>,
    pub(super) saving: MethodSaving,
}

impl<B: Backend, M: TrainedMethod> BegunRun<B, M> {
    /// Opens the folder of checkpoints, and takes the run up where it is to go on.
    pub(super) fn open(
        request: &MethodTrainRequest,
        run: MethodRun,
        method: MethodTraining<B, M>,
        watch: &mut dyn Watcher,
    ) -> Result<Self, InspectError> {
        let Some(policy) = request.checkpoints.clone() else {
            return Ok(Self { trainer: method.start(), saving: MethodSaving(None) });
        };
        if !request.resume {
            let saving = MethodSaving(Some(Checkpoints::start(policy, run)?));
            return Ok(Self { trainer: method.start(), saving });
        }
        let Resumed { checkpoints, checkpoint, damaged } = Checkpoints::resume(policy, run)?;
        for error in damaged {
            watch.warn(Warning::Checkpoint { reason: format!("passed over: {error}") });
        }
        let trainer = match &checkpoint {
            Some(checkpoint) => method.restore(checkpoint)?,
            None => method.start(),
        };
        watch.report(&format!("resumed after step {}", trainer.steps()));
        Ok(Self { trainer, saving: MethodSaving(Some(checkpoints)) })
    }
}

/// Where a run is saved, if it is.
pub(super) struct MethodSaving(Option<Checkpoints<MethodRun>>);

impl MethodSaving {
    fn after_step<B: Backend, M: TrainedMethod>(
        &mut self,
        trainer: &Trainer<B, MethodTraining<B, M>>,
    ) -> Option<CheckpointError> {
        self.0.as_mut()?.after_step(trainer).err()
    }

    /// Saves a checkpoint now: the run has ended, and may be taken up or made longer.
    pub(super) fn at_end<B: Backend, M: TrainedMethod>(
        &mut self,
        trainer: &Trainer<B, MethodTraining<B, M>>,
        watch: &mut dyn Watcher,
    ) {
        if let Some(Err(error)) = self.0.as_mut().map(|checkpoints| checkpoints.save(trainer)) {
            watch.warn(Warning::Checkpoint { reason: error.to_string() });
        }
    }
}

pub(super) fn open_log(
    request: &MethodTrainRequest,
    step: usize,
) -> Result<Option<RunLog<MethodStep>>, InspectError> {
    let beside = request.checkpoints.as_ref().map(|policy| policy.folder.join("log"));
    let Some(folder) = request.log.clone().or(beside) else { return Ok(None) };
    let log = |folder: &Path| match request.resume {
        true => RunLog::resume(folder, step),
        false => RunLog::start(folder),
    };
    Ok(Some(log(&folder)?))
}

/// What happens behind each step of a sitting.
pub(super) struct Sitting {
    pub(super) log: Option<RunLog<MethodStep>>,
    pub(super) first: Option<MethodStep>,
    pub(super) last: Option<MethodStep>,
}

impl Sitting {
    pub(super) fn take<B: Backend, M: TrainedMethod>(
        &mut self,
        step: &MethodStep,
        trainer: &Trainer<B, MethodTraining<B, M>>,
        saving: &mut MethodSaving,
        watch: &mut dyn Watcher,
    ) {
        let loss = step.losses.get("total").copied().unwrap_or(f32::NAN);
        let (epoch, speed) = (step.epoch, step.images_per_second);
        watch.advance(format!("epoch {epoch}  loss {loss:.3}  {speed:.2} images/s"));
        self.first.get_or_insert_with(|| step.clone());
        self.last = Some(step.clone());
        // The log first: a checkpoint that is there has its steps in the log.
        if let Some(Err(error)) = self.log.as_mut().map(|log| log.step(step)) {
            let reason = format!("{error}; the log ends before step {}", step.step);
            watch.warn(Warning::Log { reason });
            self.log = None;
        }
        if let Some(error) = saving.after_step(trainer) {
            watch.warn(Warning::Checkpoint { reason: error.to_string() });
        }
    }
}
