//! The experts' slices by the energy of the frozen tower's tokens, measured on the auxiliary set
//! before training.

use burn::tensor::backend::Backend;
use clip_vit::{VisionBackbone, VisionTower};
use moeclip::{ChannelEnergy, ConfigError, EnergyError, MoeClipConfig, Partition};
use moeclip_data::{Batches, DataError, ImageDataset, LoaderOptions};
use thiserror::Error;

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
    fn images_are_taken_from_all_over_the_set() {
        assert_eq!(spread(3, 16), [0, 1, 2]);
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(0, 4), Vec::<usize>::new());
    }
}
