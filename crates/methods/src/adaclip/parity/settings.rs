//! The reference's settings, as its goldens have them, and the same by this crate's names.

use clip_vit::Activation;
use moeclip_goldens::{Golden, GoldenError};
use serde::Deserialize;

use crate::adaclip::{
    AdaClipSettings, DiceUnit, PositionKernel, PromptKind, PromptedTowers, SemanticFusion,
};
use crate::half::PromptPrecision;

/// The reference's settings, by its names.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ReferenceSettings {
    image_size: usize,
    activation: Activation,
    antialias: bool,
    taps: Vec<usize>,
    depth: usize,
    length: usize,
    kinds: String,
    towers: String,
    half_prompts: bool,
    fusion: ReferenceFusion,
    clusters: usize,
    per_cluster: usize,
    alpha: f64,
    scale: f64,
    dice: ReferenceDice,
    blur_sigma: f64,
    lr: f64,
    weight_decay: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReferenceFusion {
    Selected,
    Clusters,
    None,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReferenceDice {
    Rows,
    Image,
}

impl ReferenceSettings {
    /// The same settings by this crate's names.
    pub(super) fn settings(self, golden: &Golden) -> Result<AdaClipSettings, GoldenError> {
        Ok(AdaClipSettings {
            prompt_kind: self
                .prompt_kind()
                .ok_or_else(|| golden.unusable("has kinds without S and D"))?,
            prompted_towers: self.prompted_towers(),
            image_size: self.image_size,
            activation: self.activation,
            taps: self.taps,
            positions: match self.antialias {
                true => PositionKernel::BicubicAntialias,
                false => PositionKernel::Bicubic,
            },
            prompt_depth: self.depth,
            prompt_length: self.length,
            prompt_precision: match self.half_prompts {
                true => PromptPrecision::F16,
                false => PromptPrecision::F32,
            },
            fusion: match self.fusion {
                ReferenceFusion::Selected => SemanticFusion::Selected,
                ReferenceFusion::Clusters => SemanticFusion::Clusters,
                ReferenceFusion::None => SemanticFusion::Off,
            },
            clusters: self.clusters,
            patches_per_cluster: self.per_cluster,
            fusion_share: self.alpha,
            logit_scale: self.scale,
            blur_sigma: self.blur_sigma,
            dice: match self.dice {
                ReferenceDice::Rows => DiceUnit::Row,
                ReferenceDice::Image => DiceUnit::Image,
            },
            learning_rate: self.lr,
            weight_decay: self.weight_decay,
        })
    }

    /// What its letters say: S static, D dynamic.
    fn prompt_kind(&self) -> Option<PromptKind> {
        match (self.kinds.contains('S'), self.kinds.contains('D')) {
            (true, true) => Some(PromptKind::Hybrid),
            (true, false) => Some(PromptKind::Static),
            (false, true) => Some(PromptKind::Dynamic),
            (false, false) => None,
        }
    }

    /// What its letters say: V vision, L language.
    fn prompted_towers(&self) -> PromptedTowers {
        match (self.towers.contains('V'), self.towers.contains('L')) {
            (true, true) => PromptedTowers::Both,
            (true, false) => PromptedTowers::Vision,
            (false, true) => PromptedTowers::Text,
            (false, false) => PromptedTowers::Neither,
        }
    }
}
