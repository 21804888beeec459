//! Saving a run on the way, and taking it up again where it was ended.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use burn::tensor::backend::Backend;
use clap::Args;
use moeclip_train::{
    Checkpoint, CheckpointError, CheckpointPolicy, Checkpoints, Learner, Resumed, RunDescription,
};

/// When a run is saved, and whether it is taken up.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Checkpoints")]
pub(crate) struct CheckpointArgs {
    /// Folder for checkpoints of the run, from which --resume goes on
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoints: Option<PathBuf>,
    /// Steps between two checkpoints
    #[arg(long, value_name = "STEPS", requires = "checkpoints")]
    pub(crate) checkpoint_every: Option<usize>,
    /// Minutes between two checkpoints; 10 where nothing else is said
    #[arg(long, value_name = "MINUTES", requires = "checkpoints")]
    pub(crate) checkpoint_minutes: Option<u64>,
    /// Checkpoints that are kept (3)
    #[arg(long, value_name = "N", requires = "checkpoints")]
    pub(crate) keep: Option<usize>,
    /// Take up the run whose checkpoints lie there; it ends with the same bytes as one that was
    /// never stopped
    #[arg(long, requires = "checkpoints")]
    pub(crate) resume: bool,
}

/// Where a run is saved, if it is, and what it goes on from.
#[derive(Default)]
pub(super) struct Saving {
    checkpoints: Option<Checkpoints>,
    pub(super) from: Option<Checkpoint>,
}

impl CheckpointArgs {
    /// When the run is saved, if it is.
    pub(super) fn policy(&self) -> anyhow::Result<Option<CheckpointPolicy>> {
        let Some(folder) = &self.checkpoints else { return Ok(None) };
        if self.checkpoint_minutes == Some(0) {
            bail!("--checkpoint-minutes 0: use 1 or more, or --checkpoint-every 1");
        }
        let mut policy = CheckpointPolicy::new(folder);
        policy.every_steps = self.checkpoint_every;
        policy.keep = self.keep.unwrap_or(policy.keep);
        let minutes =
            self.checkpoint_minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
        if minutes.is_some() || self.checkpoint_every.is_some() {
            policy.every = minutes;
        }
        Ok(Some(policy))
    }

    /// Opens the folder; says on stderr where the run goes on, and what had to be passed over.
    pub(super) fn open(&self, run: RunDescription) -> anyhow::Result<Saving> {
        let Some(policy) = self.policy()? else { return Ok(Saving::default()) };
        if !self.resume {
            let checkpoints = Some(Checkpoints::start(policy, run)?);
            return Ok(Saving { checkpoints, from: None });
        }
        let Resumed { checkpoints, checkpoint, damaged } = Checkpoints::resume(policy, run)?;
        for error in damaged {
            eprintln!("warning: passed over: {error}");
        }
        match &checkpoint {
            Some(checkpoint) => {
                eprintln!("note: resumed after step {}", checkpoint.position().step)
            }
            None => eprintln!("note: there is no checkpoint yet; the run starts at its first step"),
        }
        Ok(Saving { checkpoints: Some(checkpoints), from: checkpoint })
    }
}

impl Saving {
    /// Saves a checkpoint if one is due. A full disk is for telling, and survived.
    pub(super) fn after_step<B: Backend>(
        &mut self,
        learner: &Learner<B>,
    ) -> Option<CheckpointError> {
        self.checkpoints.as_mut()?.after_step(learner).err()
    }

    /// Saves a checkpoint now: the run has ended, and may be taken up or made longer.
    pub(super) fn at_end<B: Backend>(&mut self, learner: &Learner<B>) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        if let Err(error) = checkpoints.save(learner) {
            eprintln!("warning: {error}");
        }
    }
}
