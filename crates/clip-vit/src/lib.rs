//! CLIP's two towers in Burn: sizes and presets, tokenizer, and every weight format a user may hold.
//!
//! The image tower stands behind [`VisionBackbone`], the text tower behind [`TextBackbone`]. Both hand
//! out single layers, so a model may change tokens between them, and one that is no CLIP may take their
//! place. [`Frozen`] puts a tower that is never trained under an autodiff graph: each layer becomes one
//! operation that remembers its input only.
//!
//! ```
//! use burn::backend::Flex;
//! use burn::tensor::{Distribution, Tensor};
//! use clip_vit::{ClipSpecBuilder, Precision, RandomWeights, VisionTower};
//!
//! let spec = ClipSpecBuilder::new().vision(14, 4, 64, 2).embed(32).build()?;
//! let device = Default::default();
//! let tower = VisionTower::<Flex>::load(&spec, &RandomWeights::new(1), Precision::F32, &device)?;
//! let images = Tensor::random([1, 3, 70, 70], Distribution::Default, &device);
//! assert_eq!(tower.encode(images).dims(), [1, 32]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attention;
mod backbone;
mod block;
mod fast;
mod frozen;
mod gradient;
mod loader;
mod named;
mod source;
pub mod spec;
mod text;
pub mod tokenizer;
mod vision;
pub mod weights;

pub use attention::AttentionKind;
pub use backbone::{ImageTextBackbone, JointEmbedding, TextBackbone, VisionBackbone, end_of_text};
pub use block::ResidualBlock;
pub use fast::fastest_precision;
pub use frozen::{Frozen, FrozenLayer, FrozenLayers};
pub use named::NamedWeights;
pub use source::{PrefixedSource, RandomWeights, WeightSource};
pub use spec::{
    Activation, ClipSpec, ClipSpecBuilder, Normalisation, Preset, SpecError, TextSpec, VisionSpec,
};
pub use text::{PromptError, TextTower};
pub use vision::{PositionResize, VisionTower};
pub use weights::{ClipCheckpoint, Precision, TensorFile, WeightError};
