//! Golden files of PyTorch references: a model, its inputs and what must come out of every stage, and
//! how far from that a stage may be that was computed here.

mod golden;
mod report;

use std::error::Error;
use std::path::PathBuf;

use clip_vit::{PromptError, WeightError};
use thiserror::Error;

pub use golden::{Golden, HostValues};
pub use report::{Comparison, GRADIENT, ParityReport, ParityRow, STAGE};

/// A golden that could not be run; one that runs and differs is a [`ParityReport`].
#[derive(Debug, Error)]
pub enum GoldenError {
    /// The golden's configuration is unusable.
    #[error("{}: metadata \"config\" {reason}; write the golden again", file.display())]
    Config {
        /// The golden.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The golden has no CLIP and none was given.
    #[error("{}: brings no CLIP along; give the checkpoint it was made with: --clip FILE", file.display())]
    NoClip {
        /// The golden.
        file: PathBuf,
    },
    /// The checkpoint is not the golden's CLIP.
    #[error("{}: is another CLIP than the golden {} was made with; give the one it names", clip.display(), file.display())]
    OtherClip {
        /// The checkpoint.
        clip: PathBuf,
        /// The golden.
        file: PathBuf,
    },
    /// The golden has neither images nor the name of one.
    #[error("{}: has no in.images and names no image; write the golden again", file.display())]
    NoImage {
        /// The golden.
        file: PathBuf,
    },
    /// An expected tensor that no stage makes.
    #[error("{}: {name} is of no known stage; this version cannot check it", file.display())]
    Unknown {
        /// The golden.
        file: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of the golden that is not of the shape that its method asks for.
    #[error("{}: {name} is {shape:?}; write the golden again", file.display())]
    Shape {
        /// The golden.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A weight is missing or unusable.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The prompts do not fit the tower.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// The method itself cannot be run.
    #[error("{}: {source}", file.display())]
    Method {
        /// The golden.
        file: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}
