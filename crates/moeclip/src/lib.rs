//! MoECLIP (arXiv 2603.03101): zero-shot anomaly detection with a frozen CLIP and mixtures of LoRA
//! experts in its token stream.
//!
//! The whole model is [`MoeClip::forward`]. [`MoeClipDetector`] turns images and class names into
//! maps and scores; training drives the same forward under autodiff.

mod adapter_file;
mod adapters;
mod config;
mod detector;
mod frozen_clip;
mod maps;
mod model;
mod prompts;
mod state;
mod text;

pub use adapter_file::{
    AdapterFile, AdapterFileError, AdapterFormat, Assumed, Provenance, write_adapter, write_authors,
};
pub use adapters::{AdapterError, Adapters, TapAdapter};
pub use config::{ConfigError, MoeClipConfig};
pub use detector::{
    AnomalyMap, DetectError, Detection, Detector, Domain, MoeClipDetector, image_score,
};
pub use frozen_clip::{FrozenClip, FrozenClipError};
pub use maps::MapResampler;
pub use model::{Features, MoeClip};
pub use prompts::{ClassPrompts, PromptBook, PromptEncoder, PromptSet};
pub use state::{NamedTensor, gradients, weights};
pub use text::{TextFeatures, TextProjection};
