//! MoECLIP (arXiv 2603.03101): zero-shot anomaly detection with a frozen CLIP and mixtures of LoRA
//! experts in its token stream.
//!
//! The whole model is [`MoeClip::forward`]. [`MoeClipDetector`] turns images and class names into
//! maps and scores; training drives the same forward under autodiff. Where a file of adapters has been
//! calibrated, `anomaly::Calibration::judge` says whether a detection is anomalous.
//!
//! ```
//! use burn::backend::Flex;
//! use burn::tensor::{Distribution, Tensor};
//! use clip_vit::{ClipSpecBuilder, Precision, RandomWeights};
//! use moeclip::{
//!     Adapters, Detector, Domain, FrozenClip, MoeClip, MoeClipConfig, MoeClipDetector, PromptSet,
//! };
//!
//! // A real detector opens `ClipCheckpoint` and `AdapterFile` instead of drawing weights.
//! let clip = ClipSpecBuilder::new().vision(14, 4, 64, 4).text(64, 1).embed(32).build()?;
//! let (source, device) = (RandomWeights::new(1), Default::default());
//! let config = MoeClipConfig { image_size: 84, ..MoeClipConfig::for_clip(&clip) };
//! let frozen = FrozenClip::<Flex>::load(
//!     &clip, &source, &PromptSet::default(), ["nut"], Precision::F32, &device,
//! )?;
//! let adapters = Adapters::init(&config, &clip, 0, &device)?;
//! let model = MoeClip::new(frozen.tower, adapters, config, &device)?;
//! let mut detector = MoeClipDetector::new(model, frozen.book, Domain::Industrial, &device);
//!
//! let images = Tensor::random([1, 3, 84, 84], Distribution::Default, &device);
//! let detections = detector.detect(images, "nut")?;
//! assert_eq!(detections[0].map.values.len(), 84 * 84);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adapter_file;
mod adapters;
mod clip_detector;
mod config;
mod detector;
mod energy;
mod explain;
mod frozen_clip;
mod maps;
mod model;
mod prompt_cache;
mod prompts;
mod state;
mod text;

// What a user of this crate needs of the contract.
pub use anomaly::{AnomalyMap, DetectError, Detection, Detector, Domain};

pub use adapter_file::{
    AdapterFile, AdapterFileError, AdapterFormat, Assumed, Chosen, Provenance, write_adapter,
    write_authors,
};
pub use adapters::{AdapterError, Adapters, TapAdapter};
pub use clip_detector::{ClipDetector, PlainClip};
pub use config::{ConfigError, MoeClipConfig, Partition};
pub use detector::{MoeClipDetector, image_score};
pub use energy::{ChannelEnergy, EnergyError};
pub use explain::{ExplainError, Explainer};
pub use frozen_clip::{FrozenClip, FrozenClipError};
pub use maps::{MapResampler, TrainingMaps};
pub use model::{Features, MoeClip};
pub use moe_lora::{Fofs, Mixture, UpStart};
pub use paa_adapter::{ImageHeadKind, ScaleWeighting};
pub use prompt_cache::{PromptCache, PromptCacheError, PromptOrigin};
pub use prompts::{ClassPrompts, PromptBook, PromptEncoder, PromptSet};
pub use state::{NamedTensor, gradients, weights};
pub use text::{TextFeatures, TextProjection};
