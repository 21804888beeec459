//! Training of MoECLIP: what is minimised, by whom, and how fast.
//!
//! [`Learner`] owns a model whose frozen CLIP lies on the inner backend; one [`Learner::step`] is
//! forward, losses, backward, Adam, and [`fit`] is a whole run of them. [`Checkpoints`] make a run
//! that was killed end as if it had not been.

mod ablation;
mod checkpoint;
mod config;
mod experiment;
mod fit;
mod held_out;
mod learner;
mod log;
mod memory;
mod metrics;
mod objective;
mod partition;
mod pass;
mod pruning;
mod scaling;
mod schedule;
mod state;

pub use ablation::{
    AblationError, Cell, Failure, Grid, Ingredients, Measured, Method, PlannedRun, Published,
    RunFolder, Standing,
};
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointPolicy, Checkpoints, Resumed, RunDescription,
};
pub use config::{LossWeights, Recompute, TrainConfig, TrainConfigError};
pub use experiment::overlay;
pub use experiment::{AuxiliarySet, Experiment, ExperimentError, ModelSettings};
pub use fit::{
    AuxiliaryImages, Ending, Extent, FitError, Position, check_images, fit, fit_watched,
};
pub use held_out::{BestEpoch, KeptEpoch, Outcome};
pub use learner::{Learner, TrainError};
pub use log::{LogError, RunLog, logged_steps};
pub use memory::peak_memory;
pub use metrics::{HeldOutMetrics, LossValues, Scalar, StepMetrics, StepReport, TapMetrics};
pub use objective::{BatchValues, ExpertLoad, LossTerms, Objective, TapTerms};
pub use partition::{PartitionError, measured_partition};
pub use pass::{BatchPass, TrainedModel, train_batch};
pub use pruning::{ExpertLoads, Pruning};
pub use scaling::LossScaling;
pub use schedule::Halving;
pub use state::{Moments, TrainState};

/// What other trainings of this workspace share with this one.
#[doc(hidden)]
pub mod shared {
    pub use crate::checkpoint::{CheckpointFolder, ContentDigest};
    pub use crate::log::plot::{Curve, drawn};
    pub use crate::log::{LoggedStep, replace, steps, write_line, write_plot};
    pub use crate::state::{AdamRecord, Path as ModulePath};
}
