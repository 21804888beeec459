//! Every weight file a user may hold, told by content: opened, checked, read and written.
//!
//! [`TensorFile`] reads any of the formats as named tensors. [`ClipCheckpoint`] reads one as a
//! CLIP: it gives the tensors the names of open_clip, whatever the file calls them, infers the
//! sizes, and refuses a file that is not exactly one CLIP. [`mod@write`] writes what this project keeps.
//!
//! Nothing in a file is ever executed: a pickle is read as data, by a small machine that knows only
//! what `torch.save` writes.

mod bytes;
mod checkpoint;
mod config;
mod decode;
mod detect;
mod dtype;
mod error;
mod expected;
mod file;
mod finder;
mod format;
mod infer;
mod legacy;
mod names;
mod pickle;
mod safe;
mod shards;
mod torch;
mod view;
pub mod write;
mod zip;

pub use checkpoint::{ActivationSource, ClipCheckpoint, GuessedHeads, OpenOptions};
pub use dtype::{Dtype, Precision};
pub use error::{Problems, WeightError};
pub use expected::canonical_shapes;
pub use file::TensorFile;
pub use format::FileFormat;
pub use pickle::PickleError;
