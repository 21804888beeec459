//! A small CLIP of one's own, from made-up pictures and sentences about them alone.
//!
//! The benchmarks' CLIP weighs 890 MB. For a whole method that runs in minutes, [`Pretraining`]
//! teaches both towers of a small one on pictures of the auxiliary half of [`synthetic_world`]:
//! [`Captions`] say what a crop shows and whether something is wrong with it, [`objective`] says what is
//! minimised. No mask is a target: a CLIP that saw masks would leave adapters nothing to do.

mod batch;
mod captions;
mod config;
mod export;
mod initial_weights;
mod learner;
mod model;
mod objective;
mod pictures;
mod run;

pub use batch::{Shard, ShardNumber, TwinPlaces};
pub use captions::{CaptionLabel, CaptionPair, Captions, ImageLabel, Sentence, State, Vocabulary};
pub use config::{
    BatchSettings, PictureSettings, PretrainConfig, PretrainLosses, SmallClip, WarmCosine,
};
pub use learner::{PretrainError, PretrainLearner, PretrainReport, PretrainValues, Pretraining};
pub use model::{ClipModel, ClipModelError, Predictions, SentenceIds};
pub use objective::{PretrainTerms, Targets, Twins, objective};
pub use pictures::Pictures;
pub use run::{PretrainCheckpoint, PretrainMetrics, PretrainPictures, PretrainRun};
