//! Experts, before training and in it. Their slices are measured on the auxiliary set, by the energy
//! of the frozen tower's tokens. How many a tap needs is found while training: a run starts with
//! more, and those that hardly any token asks are dropped.

use burn::backend::Autodiff;
use burn::module::Param;
use burn::optim::record::AdaptorRecord;
use burn::optim::{AdamState, AdaptiveMomentumState};
use burn::tensor::{Int, Tensor, backend::Backend};
use clip_vit::{VisionBackbone, VisionTower};
use moe_lora::{Mixture, StreamAdapter, stacked_indices};
use moeclip::{Adapters, ChannelEnergy, ConfigError, EnergyError, MoeClipConfig, Partition};
use moeclip_data::{Batches, DataError, ImageDataset, LoaderOptions};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::parameters::AdamRecord;
use crate::{TapMetrics, TrainConfigError};

/// Fewest experts of a tap: the losses between experts compare pairs.
const FEWEST: usize = 2;
/// Shares are added up as integers, so that a checkpoint gives them back to the bit.
const WHOLE: f64 = (1u64 << 32) as f64;

/// When experts are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pruning {
    /// An expert whose share of its tap's routing probability is under this is dropped; 0 for none.
    pub below: f64,
    /// Steps that the shares are taken over, and between two looks at them.
    pub every: usize,
}

impl Default for Pruning {
    fn default() -> Self {
        Self { below: 0.0, every: 500 }
    }
}

impl Pruning {
    /// Refuses to drop experts of a model that has none.
    pub(crate) fn check(&self, model: &MoeClipConfig) -> Result<(), TrainConfigError> {
        let value = self.below;
        if value == 0.0 || model.mixture == Mixture::MoeLora {
            return Ok(());
        }
        let must = "0 where model.mixture is not moe-lora: there are no experts to drop";
        Err(TrainConfigError { field: "training.prune.below", value, must })
    }

    /// Whether the shares are looked at behind this step, counted from 1.
    pub(crate) fn is_due(&self, step: usize) -> bool {
        self.below > 0.0 && step.is_multiple_of(self.every)
    }
}

/// Routing probability that each expert had since the last look, tap by tap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExpertLoads {
    taps: Vec<Vec<u64>>,
}

impl ExpertLoads {
    /// Adds a step's shares.
    pub(crate) fn add(&mut self, taps: &[TapMetrics]) {
        self.taps.resize(taps.len(), Vec::new());
        for (sums, tap) in self.taps.iter_mut().zip(taps) {
            sums.resize(tap.probability.len(), 0);
            for (sum, share) in sums.iter_mut().zip(&tap.probability) {
                *sum += (f64::from(*share) * WHOLE) as u64;
            }
        }
    }

    /// The experts that stay at each tap, never fewer than a token asks; `None` when all do.
    pub(crate) fn kept(&self, below: f64, top_k: usize) -> Option<Vec<Vec<usize>>> {
        let least = top_k.max(FEWEST);
        let kept: Vec<_> = self.taps.iter().map(|loads| kept(loads, below, least)).collect();
        let all = kept.iter().zip(&self.taps).all(|(kept, loads)| kept.len() == loads.len());
        (!all).then_some(kept)
    }
}

/// The `least` busiest experts, the lower number first among equals, and all that are busy enough.
fn kept(loads: &[u64], below: f64, least: usize) -> Vec<usize> {
    let bound = below * loads.iter().sum::<u64>() as f64;
    let mut busiest: Vec<usize> = (0..loads.len()).collect();
    busiest.sort_by_key(|expert| std::cmp::Reverse(loads[*expert]));
    let stays = |(place, expert): &(usize, usize)| *place < least || loads[*expert] as f64 >= bound;
    let mut kept: Vec<usize> =
        busiest.into_iter().enumerate().filter(stays).map(|(_, expert)| expert).collect();
    kept.sort_unstable();
    kept
}

/// Adam's moments once only some experts are left; `adapters` still have all of them.
pub(crate) fn keep_moments<B: Backend>(
    adapters: &Adapters<Autodiff<B>>,
    mut record: AdamRecord<B>,
    kept: &[Vec<usize>],
) -> AdamRecord<B> {
    for (tap, kept) in adapters.taps.iter().zip(kept) {
        if let StreamAdapter::Mixture(mixture) = &tap.experts {
            let stacked = stacked_indices(kept, mixture.config().rank);
            cut(&mut record, &mixture.gate, 0, kept);
            cut(&mut record, &mixture.down, 0, &stacked);
            cut(&mut record, &mixture.up, 1, &stacked);
        }
    }
    record
}

/// Keeps some rows (axis 0) or columns (axis 1) of a parameter's moments, if it has any.
fn cut<B: Backend>(
    record: &mut AdamRecord<B>,
    param: &Param<Tensor<Autodiff<B>, 2>>,
    axis: usize,
    indices: &[usize],
) {
    let Some(moments) = record.remove(&param.id) else { return };
    let AdaptiveMomentumState { time, moment_1, moment_2, .. } = moments.into_state::<2>().momentum;
    let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
    let pick = |moment: Tensor<B, 2>| {
        let indices = Tensor::<B, 1, Int>::from_data(indices.as_slice(), &moment.device());
        moment.select(axis, indices)
    };
    let momentum = AdaptiveMomentumState::new(time, pick(moment_1), pick(moment_2));
    record.insert(param.id, AdaptorRecord::from_state(AdamState::new(momentum)));
}

/// Images that the energy is measured on.
const MEASURED: usize = 16;

/// Slices that could not be measured.
#[derive(Debug, Error)]
pub enum PartitionError {
    /// An image could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The tower gave no energy.
    #[error(transparent)]
    Energy(#[from] EnergyError),
    /// No slices fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The configuration with its slices measured, where it wants them by energy; otherwise as it is.
///
/// At most 16 images are looked at, one at a time and evenly spread over the set, so that all classes
/// have a say: the same images give the same slices on the same backend. `images` are as they are, not
/// augmented.
///
/// # Errors
///
/// [`PartitionError`] when an image cannot be read or the tower fails.
pub fn measured_partition<B: Backend>(
    config: MoeClipConfig,
    tower: &VisionTower<B>,
    images: &ImageDataset,
    device: &B::Device,
) -> Result<MoeClipConfig, PartitionError> {
    if config.partition != Partition::Energy {
        return Ok(config);
    }
    let mut energy = ChannelEnergy::new(&config, tower.spec().width);
    let chosen = spread(images.samples().len(), MEASURED);
    for batch in Batches::<B>::start(images, chosen, LoaderOptions::new(1), device.clone())? {
        energy.add(tower, batch?.images)?;
    }
    Ok(energy.sliced()?)
}

/// At most `most` indices of `count`, ascending and evenly spread.
fn spread(count: usize, most: usize) -> Vec<usize> {
    let chosen = count.min(most);
    (0..chosen).map(|index| index * count / chosen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_experts_go_but_never_too_many() {
        assert_eq!(kept(&[40, 30, 20, 10], 0.15, 2), [0, 1, 2]);
        assert_eq!(kept(&[10, 20, 30, 40], 0.25, 2), [2, 3]);
        assert_eq!(kept(&[10, 20, 30, 40], 0.9, 3), [1, 2, 3]);
        assert_eq!(kept(&[25, 25, 25, 25], 0.5, 2), [0, 1], "equals: the lower numbers stay");
        assert_eq!(kept(&[25, 25, 25, 25], 0.25, 2), [0, 1, 2, 3]);
        assert!(kept(&[], 0.5, 2).is_empty());
    }

    #[test]
    fn loads_add_up_over_steps_and_come_back_from_json() {
        let tap = |shares: &[f32]| TapMetrics { probability: shares.into(), ..Default::default() };
        let mut loads = ExpertLoads::default();
        loads.add(&[tap(&[0.75, 0.125, 0.125]), tap(&[])]);
        loads.add(&[tap(&[0.0, 0.5, 0.5]), tap(&[])]);
        assert_eq!(loads.kept(0.35, 1), Some(vec![vec![0, 1], vec![]]));
        assert_eq!(loads.kept(0.3, 1), None);
        let text = serde_json::to_string(&loads).unwrap();
        assert_eq!(serde_json::from_str::<ExpertLoads>(&text).unwrap(), loads);
    }

    #[test]
    fn images_are_taken_from_all_over_the_set() {
        assert_eq!(spread(3, 16), [0, 1, 2]);
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(0, 4), Vec::<usize>::new());
    }
}
