//! Which epoch a run keeps. It is the last, or the best on a held-out part of the auxiliary set;
//! never one that did well on a test.

use std::collections::BTreeMap;

use burn::tensor::TensorData;
use moeclip::Chosen;
use serde::{Deserialize, Serialize};

use crate::HeldOutMetrics;

/// Which epoch's adapters a run ends with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptEpoch {
    /// The last, as in the paper.
    #[default]
    Last,
    /// The one with the lowest detection loss on held-out images.
    Best,
}

/// The epoch that did best on held-out images so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// From 1.
    pub epoch: usize,
    /// Steps made when it ended.
    pub step: usize,
    /// Its detection loss there, without the terms between experts.
    pub loss: f32,
    /// Images that were held out.
    pub images: usize,
    /// Its adapters by the names of the authors' checkpoints; empty where the run keeps the last
    /// epoch and only its patience needs to know of the best.
    #[serde(skip)]
    pub weights: BTreeMap<String, TensorData>,
}

/// The adapters that a run ends with.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// By the names of the authors' checkpoints.
    pub weights: BTreeMap<String, TensorData>,
    /// Which epoch they are of, and why.
    pub chosen: Chosen,
}

impl BestEpoch {
    /// Whether an epoch beats this one; the first of equals stays.
    pub fn is_beaten_by(&self, held_out: &HeldOutMetrics) -> bool {
        held_out.losses.detection() < self.loss
    }

    /// Why this epoch is kept, for the file of its adapters.
    pub fn chosen(&self) -> Chosen {
        let Self { epoch, step, loss, images, .. } = self;
        let because = format!("lowest loss on {images} held-out images: {loss}");
        Chosen { epochs: *epoch as f64, steps: *step, because }
    }
}
