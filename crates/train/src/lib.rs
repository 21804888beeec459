//! Training of MoECLIP: what is minimised, by whom, and how fast.
//!
//! [`Learner`] owns a model whose frozen CLIP lies on the inner backend; one [`Learner::step`] is
//! forward, losses, backward, Adam, and [`fit`] is a whole run of them. [`parity`] proves the same
//! code against the reference's goldens.

mod config;
mod fit;
mod learner;
mod objective;
pub mod parity;
mod schedule;

pub use config::{LossWeights, TrainConfig, TrainConfigError};
pub use fit::{Ending, Extent, FitError, check_images, fit};
pub use learner::{Learner, StepReport, TrainError, train_batch};
pub use objective::{LossTerms, LossValues, Objective};
pub use schedule::Halving;
