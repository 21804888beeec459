//! What a training of adapters has become, on the host, by names that last.

use std::collections::BTreeMap;

use burn::tensor::TensorData;

use crate::{AdamMoments, BestEpoch, ExpertLoads, LossScaling};

/// Everything that the next step depends on besides settings, CLIP and images, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainState {
    /// Steps made.
    pub step: usize,
    /// The adapters by the names of the authors' checkpoints, the frozen `A` included; f32.
    pub weights: BTreeMap<String, TensorData>,
    /// Adam's moments by the path of their parameter in [`moeclip::Adapters`], as in `taps.0.experts.up`;
    /// none for a parameter that never had a gradient.
    pub moments: BTreeMap<String, AdamMoments>,
    /// How the loss is scaled; `None` where it is not.
    pub scaling: Option<LossScaling>,
    /// What was measured, by name, as in `loss/total`: the losses before the last step.
    pub metrics: BTreeMap<String, f32>,
    /// The epoch that did best on held-out images so far.
    pub best: Option<BestEpoch>,
    /// What experts were asked since the last look at it.
    pub loads: ExpertLoads,
    /// The experts that are left at each tap, by the numbers they started with; `None` for all.
    pub kept_experts: Option<Vec<Vec<usize>>>,
}
