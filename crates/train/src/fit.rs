//! A whole run: epochs of shuffled, augmented batches, one step each.

use std::ops::ControlFlow;

use burn::tensor::backend::Backend;
use moeclip_data::{Batches, Counts, DataError, ImageDataset, LoaderOptions, epoch_order};
use thiserror::Error;

use crate::{Learner, StepReport, TrainError};

/// A run that ended before its last step.
#[derive(Debug, Error)]
pub enum FitError {
    /// A step failed.
    #[error(transparent)]
    Step(#[from] TrainError),
    /// An image could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Images that a run cannot learn from.
    #[error("{reason}; training needs anomalous images with masks and normal ones")]
    Unusable {
        /// What is wrong with them.
        reason: String,
    },
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Complete,
    /// The observer asked to stop.
    Interrupted,
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Steps in one epoch.
    pub steps_per_epoch: usize,
    /// Steps in the whole run.
    pub steps: usize,
}

impl Extent {
    /// The extent of a run over `images`, ended early by `limit` where given.
    pub fn new(images: usize, batch_size: usize, epochs: usize, limit: Option<usize>) -> Self {
        let steps_per_epoch = images.div_ceil(batch_size.max(1));
        let all = steps_per_epoch * epochs;
        Self { steps_per_epoch, steps: limit.map_or(all, |limit| limit.min(all)) }
    }
}

/// Refuses images that a run cannot learn from.
///
/// # Errors
///
/// [`FitError::Unusable`] when a kind of image is absent or an anomalous one has no mask.
pub fn check_images(counts: Counts) -> Result<(), FitError> {
    let Counts { normal, anomalous, anomalous_without_mask } = counts;
    let unusable = |reason: String| Err(FitError::Unusable { reason });
    match (normal, anomalous, anomalous_without_mask) {
        (0, 0, _) => unusable("there are no images".into()),
        (0, _, _) => unusable(format!("all {anomalous} images are anomalous")),
        (_, 0, _) => unusable(format!("all {normal} images are normal")),
        (_, _, 0) => Ok(()),
        (_, _, bare) => unusable(format!("{bare} of {anomalous} anomalous images have no mask")),
    }
}

/// Runs to the end of the extent, or until `observe` breaks; it sees every step.
///
/// # Errors
///
/// [`FitError`] when an image cannot be read or a step fails; the learner keeps what it has learned.
pub fn fit<B: Backend>(
    learner: &mut Learner<B>,
    dataset: &ImageDataset,
    extent: Extent,
    device: &B::Device,
    mut observe: impl FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<Ending, FitError> {
    check_images(Counts::of(dataset.samples()))?;
    let (seed, batch_size) = (learner.config().seed, learner.config().batch_size);
    while learner.steps() < extent.steps {
        let epoch = (learner.steps() / extent.steps_per_epoch) as u64;
        let order = epoch_order(seed, epoch, dataset.samples().len());
        let done = learner.steps() % extent.steps_per_epoch;
        let options = LoaderOptions::new(batch_size).start_at(done);
        let batches =
            Batches::<B>::start(&dataset.at_epoch(epoch), order, options, device.clone())?;
        for batch in batches.take(extent.steps - learner.steps()) {
            let report = learner.step(batch?)?;
            if observe(&report).is_break() {
                return Ok(Ending::Interrupted);
            }
        }
    }
    Ok(Ending::Complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(normal: usize, anomalous: usize, anomalous_without_mask: usize) -> String {
        let counts = Counts { normal, anomalous, anomalous_without_mask };
        check_images(counts).unwrap_err().to_string()
    }

    #[test]
    fn images_to_learn_from_are_of_both_kinds_and_have_masks() {
        assert!(refused(0, 0, 0).contains("no images"));
        assert!(refused(0, 3, 0).contains("all 3 images are anomalous"));
        assert!(refused(4, 0, 0).contains("all 4 images are normal"));
        assert!(refused(4, 3, 2).contains("2 of 3 anomalous images have no mask"));
        let counts = Counts { normal: 1, anomalous: 2, anomalous_without_mask: 0 };
        assert!(check_images(counts).is_ok());
    }

    #[test]
    fn the_last_batch_may_be_small_and_a_limit_ends_early() {
        let extent = Extent::new(5, 2, 4, None);
        assert_eq!(extent, Extent { steps_per_epoch: 3, steps: 12 });
        assert_eq!(Extent::new(5, 2, 4, Some(7)).steps, 7);
        assert_eq!(Extent::new(5, 2, 4, Some(99)).steps, 12);
    }
}
