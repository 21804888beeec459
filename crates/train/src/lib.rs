//! Training of MoECLIP: what is minimised, by whom, and how fast.
//!
//! A [`Trainer`] trains whatever is [`Trainable`]: one step is forward, backward and Adam, and [`train`]
//! is a run of them. [`Checkpoints`] make a run that was killed end as if it had not been. [`Learner`] is
//! the trainer of MoECLIP's adapters, whose frozen CLIP lies on the inner backend, and [`fit`] its run.

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
mod parameters;
mod partition;
mod pass;
mod pruning;
mod scaling;
mod schedule;
mod state;
mod trainer;

pub use ablation::{
    AblationError, Cell, CellMethod, Failure, Grid, Ingredients, Measured, PlannedRun, Published,
    RunFolder, Standing,
};
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointFile, CheckpointFormat, CheckpointPolicy,
    CheckpointedRun, Checkpoints, Resumed, RunDescription, write_checkpoint,
};
pub use config::{LossWeights, Recompute, TrainConfig, TrainConfigError};
pub use experiment::overlay;
pub use experiment::{AuxiliarySet, Experiment, ExperimentError, ModelSettings};
pub use fit::{
    AuxiliaryImages, Ending, Extent, FitError, Position, check_images, fit, fit_watched,
};
pub use held_out::{BestEpoch, KeptEpoch, Outcome};
pub use learner::{AdapterTraining, Learner, TrainError};
pub use log::{LogError, LoggedStep, RunLog, logged_steps};
pub use memory::peak_memory;
pub use metrics::{HeldOutMetrics, LossValues, Scalar, StepMetrics, StepReport, TapMetrics};
pub use objective::{BatchValues, ExpertLoad, LossTerms, Objective, TapTerms};
pub use parameters::{AdamMoments, AdamOptimizer, named_parameters, with_parameters};
pub use partition::{PartitionError, measured_partition};
pub use pass::{BatchPass, TrainedModel, train_batch};
pub use pruning::{ExpertLoads, Pruning};
pub use scaling::LossScaling;
pub use schedule::Halving;
pub use state::TrainState;
pub use trainer::{Backward, SavedState, Trainable, Trainer, TrainingData, train};
