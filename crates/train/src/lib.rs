//! Training of MoECLIP: what is minimised, by whom, and how fast.
//!
//! A [`Trainer`] trains whatever is [`Trainable`]: one step is forward, backward and Adam, and [`train`]
//! is a run of them. [`Checkpoints`] make a run that was killed end as if it had not been. [`Learner`] is
//! the trainer of MoECLIP's adapters, whose frozen CLIP lies on the inner backend, and [`fit`] its run.

mod ablation;
mod checkpoint;
mod config;
mod experiment;
mod experts;
mod fit;
mod gradients;
mod learner;
mod log;
mod metrics;
mod objective;
mod parameters;
mod scaling;
mod trainer;

pub use ablation::{
    AblationError, Cell, CellMethod, Failure, Grid, Measured, PlannedRun, Published, RunFolder,
    RunInputs, RunStatus,
};
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointFile, CheckpointFormat, CheckpointPolicy,
    CheckpointedRun, Checkpoints, Resumed, RunDescription, TrainState, write_checkpoint,
};
pub use config::{LossWeights, Recompute, StepDecay, TrainConfig, TrainConfigError};
pub use experiment::{AuxiliarySet, Experiment, ExperimentError, ModelSettings, overlay};
pub use experts::{ExpertLoads, PartitionError, Pruning, measured_partition};
pub use fit::{
    AuxiliaryImages, BestEpoch, FinalAdapters, FitError, KeptEpoch, Position, RunLength,
    StopReason, TrainError, check_images, fit, fit_watched,
};
pub use gradients::{ForwardOutput, TrainedModel, forward_batch};
pub use learner::{AdapterTraining, Learner};
pub use log::{LogError, LoggedStep, RunLog, logged_steps};
pub use metrics::{
    HeldOutMetrics, LossValues, Scalar, StepMetrics, StepReport, TapMetrics, peak_memory,
};
pub use objective::{BatchValues, ExpertLoad, LossTerms, Objective, TapTerms};
pub use parameters::{AdamOptimizer, OptimizerState, named_parameters, with_parameters};
pub use scaling::LossScaling;
pub use trainer::{Backward, Movement, SavedState, Trainable, Trainer, TrainingData, moved, train};
