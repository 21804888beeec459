//! Training of MoECLIP: what is minimised, by whom, and how fast.
//!
//! [`Learner`] owns a model whose frozen CLIP lies on the inner backend; one [`Learner::step`] is
//! forward, losses, backward, Adam, and [`fit`] is a whole run of them. [`Checkpoints`] make a run
//! that was killed end as if it had not been. [`parity`] proves the same code against the
//! reference's goldens.

mod ablation;
mod checkpoint;
mod config;
mod experiment;
mod fit;
mod learner;
mod objective;
pub mod parity;
mod partition;
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
pub use config::{LossWeights, TrainConfig, TrainConfigError};
pub use experiment::{AuxiliarySet, Experiment, ExperimentError, ModelSettings};
pub use fit::{Ending, Extent, FitError, Position, check_images, fit, fit_watched};
pub use learner::{Learner, StepReport, TrainError, train_batch};
pub use objective::{LossTerms, LossValues, Objective};
pub use partition::{PartitionError, measured_partition};
pub use scaling::LossScaling;
pub use schedule::Halving;
pub use state::{Moments, TrainState};
