//! How much of a frozen tower's activation lies in each channel, and the slices that share it evenly
//! among the experts.

use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::VisionBackbone;
use thiserror::Error;

use crate::{ConfigError, MoeClipConfig};

/// An energy that could not be measured.
#[derive(Debug, Error)]
pub enum EnergyError {
    /// The device did not give its numbers back.
    #[error("the device gave no activations: {reason}")]
    Device {
        /// What it says.
        reason: String,
    },
    /// Not a number.
    #[error(
        "the tower's tokens at tap {tap} hold NaN or infinite values; check weights and precision"
    )]
    NonFinite {
        /// The layer.
        tap: usize,
    },
}

/// The summed squared activation of every channel at every tap, as the tower makes it without
/// adapters.
#[derive(Debug, Clone)]
pub struct ChannelEnergy {
    config: MoeClipConfig,
    /// Per tap, one sum per channel.
    sums: Vec<Vec<f64>>,
}

impl ChannelEnergy {
    /// Nothing measured yet, for a tower of this width.
    pub fn new(config: &MoeClipConfig, width: usize) -> Self {
        Self { sums: vec![vec![0.0; width]; config.taps.len()], config: config.clone() }
    }

    /// Adds images; all tokens count, those before the patches too, for all are routed.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised
    ///
    /// # Errors
    ///
    /// [`EnergyError`] when the device fails or the tower gives values that are not finite.
    pub fn add<B: Backend>(
        &mut self,
        backbone: &impl VisionBackbone<B>,
        images: Tensor<B, 4>,
    ) -> Result<(), EnergyError> {
        let taps = &self.config.taps;
        let tokens = backbone.tap_tokens(backbone.embed(images), taps);
        for ((&tap, tokens), sums) in taps.iter().zip(tokens).zip(&mut self.sums) {
            let squares = tokens.cast(DType::F32).square();
            let energy = squares.flatten::<2>(0, 1).sum_dim(0).try_into_data();
            let energy = energy.map_err(|e| EnergyError::Device { reason: e.to_string() })?;
            for (sum, energy) in sums.iter_mut().zip(energy.iter::<f64>()) {
                *sum += energy;
            }
            if sums.iter().any(|sum| !sum.is_finite()) {
                return Err(EnergyError::NonFinite { tap });
            }
        }
        Ok(())
    }

    /// The configuration with slices that carry equal shares of the energy at each tap, none narrower
    /// than the rank.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the ranks of all experts do not fit the width.
    pub fn sliced(&self) -> Result<MoeClipConfig, ConfigError> {
        let MoeClipConfig { experts, rank, .. } = self.config;
        let width = self.sums.first().map_or(0, Vec::len);
        self.config.mixture_at(0, width).check()?;
        let slices = self.sums.iter().map(|sums| equal_shares(sums, experts, rank)).collect();
        Ok(MoeClipConfig { slices: Some(slices), ..self.config.clone() })
    }
}

/// Sizes of contiguous slices with equal shares of the energy, each of at least `rank` channels.
fn equal_shares(energy: &[f64], experts: usize, rank: usize) -> Vec<usize> {
    let total: f64 = energy.iter().sum();
    let (mut start, mut before) = (0, 0.0);
    let mut sizes = Vec::with_capacity(experts);
    for expert in 1..experts {
        let wanted = total * expert as f64 / experts as f64;
        let last = energy.len() - (experts - expert) * rank;
        let mut end = start;
        while end < last && (end < start + rank || before < wanted) {
            before += energy[end];
            end += 1;
        }
        sizes.push(end - start);
        start = end;
    }
    sizes.push(energy.len() - start);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_energy_gives_equal_slices() {
        assert_eq!(equal_shares(&[1.0; 16], 4, 2), [4, 4, 4, 4]);
    }

    #[test]
    fn a_loud_channel_makes_its_slice_narrow_but_never_narrower_than_the_rank() {
        let mut energy = [1.0; 16];
        energy[0] = 45.0;
        assert_eq!(equal_shares(&energy, 4, 2), [2, 2, 2, 10]);
        energy = [1.0; 16];
        energy[15] = 1e6;
        assert_eq!(equal_shares(&energy, 4, 2), [10, 2, 2, 2]);
    }

    #[test]
    fn slices_share_what_there_is() {
        let energy: Vec<f64> = (1..=64).map(|channel| 1.0 / f64::from(channel)).collect();
        let sizes = equal_shares(&energy, 4, 1);
        assert_eq!(sizes.iter().sum::<usize>(), 64);
        assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]), "{sizes:?}");
    }

    #[test]
    fn silence_still_fits_every_rank() {
        assert_eq!(equal_shares(&[0.0; 16], 4, 3), [3, 3, 3, 7]);
    }
}
