//! What shapes do not tell, heads, activation and normalisation: from the files beside the weights, or
//! from the metadata of a file that this project wrote.

use std::collections::BTreeMap;
use std::path::Path;

use super::WeightError;
use crate::spec::{Activation, ClipSpec, Normalisation};

mod beside;
mod json;

pub(super) use beside::hints_beside;

/// `format` in the metadata of a canonical file.
pub(super) const FORMAT: &str = "clip-vit";

/// `version` in the metadata of a canonical file.
pub(super) const VERSION: &str = "1";

/// Where the metadata of a canonical file has a normalisation that is not CLIP's own.
pub(super) const NORMALISATION: &str = "normalisation";

/// What shapes do not tell, as far as a source tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hints {
    pub(super) vision_heads: Option<usize>,
    pub(super) text_heads: Option<usize>,
    pub(super) activation: Option<Activation>,
    pub(super) normalisation: Option<Normalisation>,
    /// Side of the pictures that it was trained on, in pixels.
    pub(super) image_size: Option<usize>,
}

impl Hints {
    /// What is told here, and where nothing is, what `other` tells.
    pub(super) fn or(self, other: Hints) -> Hints {
        Hints {
            vision_heads: self.vision_heads.or(other.vision_heads),
            text_heads: self.text_heads.or(other.text_heads),
            activation: self.activation.or(other.activation),
            normalisation: self.normalisation.or(other.normalisation),
            image_size: self.image_size.or(other.image_size),
        }
    }
}

/// What a canonical file's metadata tells; nothing for any other file. `spec` holds the sizes of
/// the tensors: a file that has lost layers is an error.
pub(super) fn from_metadata(
    file: &Path,
    metadata: &BTreeMap<String, String>,
    spec: &ClipSpec,
) -> Result<Option<Hints>, WeightError> {
    let wrong = |key: &str, reason: &str| {
        let reason = format!("in its metadata {reason}; convert the original checkpoint again");
        WeightError::Config { file: file.into(), key: key.into(), reason }
    };
    if metadata.get("format").map(String::as_str) != Some(FORMAT) {
        return Ok(None);
    }
    if metadata.get("version").map(String::as_str) != Some(VERSION) {
        return Err(wrong("version", "is not 1, the only one known here"));
    }
    let heads = |key: &str| match metadata.get(key) {
        None => Err(wrong(key, "is missing")),
        Some(text) => text.parse().map_err(|_| wrong(key, "is no number")),
    };
    let (vision_heads, text_heads) = (heads("vision_heads")?, heads("text_heads")?);
    let activation = metadata
        .get("activation")
        .and_then(|name| activation(name))
        .ok_or_else(|| wrong("activation", "is neither quick_gelu nor gelu"))?;
    let mut sizes = ClipSpec { activation, ..spec.clone() };
    sizes.vision.heads = vision_heads;
    sizes.text.heads = text_heads;
    let written = metadata.get("spec").and_then(|json| serde_json::from_str(json).ok());
    if written != Some(sizes) {
        return Err(wrong("spec", "is missing or differs from the tensors"));
    }
    let normalisation = match metadata.get(NORMALISATION) {
        // Files from before there was another one.
        None => Normalisation::CLIP,
        Some(json) => serde_json::from_str(json)
            .ok()
            .filter(|read: &Normalisation| read.check().is_ok())
            .ok_or_else(|| wrong(NORMALISATION, "is no mean and deviation of three channels"))?,
    };
    Ok(Some(Hints {
        vision_heads: Some(vision_heads),
        text_heads: Some(text_heads),
        activation: Some(activation),
        normalisation: Some(normalisation),
        image_size: Some(spec.vision.grid.saturating_mul(spec.vision.patch)),
    }))
}

/// The name of an activation, in files of this project as in Hugging Face's.
pub(super) fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::QuickGelu => "quick_gelu",
        Activation::Gelu => "gelu",
    }
}

fn activation(name: &str) -> Option<Activation> {
    [Activation::QuickGelu, Activation::Gelu]
        .into_iter()
        .find(|activation| activation_name(*activation) == name)
}

#[cfg(test)]
mod tests;
