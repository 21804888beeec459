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
mod learner;
mod model;
mod objective;
mod pictures;
mod rate;
mod replaced;
mod run;
mod scale;
mod start;
mod view;
mod vocabulary;

pub use batch::{Shard, ShardNumber, TwinPlaces};
pub use captions::{CaptionPair, Captions, Claim, Facts, Sentence, State};
pub use config::{BatchSettings, PictureSettings, PretrainConfig, PretrainLosses, SmallClip};
pub use learner::{PretrainError, PretrainLearner, PretrainReport, PretrainValues, Pretraining};
pub use model::{Answers, Pupil, PupilError, SentenceIds};
pub use objective::{PretrainTerms, Truth, Twins, objective};
pub use pictures::Pictures;
pub use rate::WarmCosine;
pub use run::{PretrainCheckpoint, PretrainMetrics, PretrainPictures, PretrainRun};
pub use vocabulary::Vocabulary;
