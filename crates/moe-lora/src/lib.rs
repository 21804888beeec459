//! Mixtures of LoRA experts for the token stream of a frozen transformer (MoECLIP, arXiv 2603.03101).
//!
//! Every token is routed to its `top_k` of `K` low-rank experts; what they add is matched to the
//! token's norm and mixed into the stream. No expert's output is ever materialised: with the `A`
//! matrices stacked to `[K r, d]`, the `B` matrices to `[d, K r]` and the routing weights repeated
//! `r` times, the mixture is `B (g * (A x))`: one thin product down, a mask, one up.
//!
//! [`PatchAdapter`] is the seam at which a model takes its experts: the mixture, [`SingleLora`] and
//! [`Identity`] are values of one kind, [`StreamAdapter`].

mod config;
mod fofs;
mod mixture;
mod router;
mod variants;

pub use config::{MoeLoraConfig, MoeLoraError};
pub use fofs::{Fofs, UpStart, down_matrices, partition, up_matrices};
pub use mixture::{ExpertCodes, MoeLora, MoeLoraWeights, stacked_indices};
pub use router::Routing;
pub use variants::{
    Adapted, Identity, Mixture, PatchAdapter, SingleLora, SingleLoraWeights, StreamAdapter,
};
