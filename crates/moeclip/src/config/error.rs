//! What can be wrong with a configuration: one line each.

use moe_lora::MoeLoraError;
use paa_adapter::ScaleError;
use thiserror::Error;

/// A configuration that does not fit its CLIP.
#[derive(Debug, Error, PartialEq)]
pub enum ConfigError {
    /// Images without room for a patch.
    #[error("image_size = {image_size} is smaller than a patch of {patch} px; enlarge image_size")]
    ImageSize {
        /// Side of the images.
        image_size: usize,
        /// Side of a patch.
        patch: usize,
    },
    /// Layers that are not there, repeated, or out of order.
    #[error("taps = {taps:?} must be ascending layers between 1 and {layers}, at least one")]
    Taps {
        /// The taps asked for.
        taps: Vec<usize>,
        /// Layers of the image tower.
        layers: usize,
    },
    /// Windows that cannot be averaged over.
    #[error(transparent)]
    Scales(#[from] ScaleError),
    /// A mixture that cannot be built.
    #[error(transparent)]
    Mixture(#[from] MoeLoraError),
    /// Losses between experts need two of them.
    #[error(
        "experts = 1 leaves the ETF and balance losses without a pair; use at least 2 experts, or mixture = single-lora"
    )]
    OneExpert,
    /// A setting that another one leaves without meaning.
    #[error("{key} has no meaning with {given}; leave {key} out or change {}", other(.given))]
    Meaningless {
        /// The setting.
        key: &'static str,
        /// The other one and its value, as in `mixture = none`.
        given: String,
    },
    /// Learned weights of a single scale.
    #[error("scale_weights = learned has one scale to weigh; give at least two scales")]
    OneScale,
    /// Slices by energy that nobody measured.
    #[error("partition = energy is not measured yet; measure the energy on images first")]
    NotMeasured,
    /// A list with another number of entries than there are taps.
    #[error("{key} has {found} entries for {taps} taps; give one for each tap")]
    PerTap {
        /// The setting.
        key: &'static str,
        /// Its entries.
        found: usize,
        /// Taps there are.
        taps: usize,
    },
    /// Experts that cannot be left.
    #[error(
        "kept_experts = {kept:?} does not fit; name at least 2 of {experts} experts, ascending"
    )]
    Kept {
        /// Those of the first tap at fault.
        kept: Vec<usize>,
        /// Experts there were at the start.
        experts: usize,
    },
}

/// The name of the setting in `mixture = none`.
fn other(given: &str) -> &str {
    given.split_once(" =").map_or(given, |(key, _)| key)
}
