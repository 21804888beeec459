//! Several training steps on a golden's model, to be held beside those of the reference.

use burn::tensor::{Tensor, backend::Backend};
use clip_vit::Precision;
use moeclip_data::Batch;

use crate::training::batch;
use crate::{Golden, ParityError, Parts};
use moeclip_train::{StepReport, TrainConfig};

/// By how many columns each step's batch is rolled further than the one before.
pub const COLUMNS_PER_STEP: usize = 5;

/// Makes `steps` steps from a golden's weights. Step `t`, from 0, sees the golden's images and masks
/// rolled by `t` times [`COLUMNS_PER_STEP`] columns: moved, not computed, so every implementation
/// sees the same bits.
///
/// # Errors
///
/// [`ParityError`] when the golden brings no CLIP along, lacks inputs, or a step fails.
pub fn train_steps<B: Backend>(
    golden: &Golden,
    precision: Precision,
    config: TrainConfig,
    steps: usize,
    device: &B::Device,
) -> Result<Vec<StepReport>, ParityError> {
    let parts = Parts::<B>::load(golden, None, precision, device)?;
    let mut learner = parts.learner(config)?;
    let first = batch(&parts)?;
    let step = |step: usize| Ok(learner.step(rolled(&first, step * COLUMNS_PER_STEP))?);
    (0..steps).map(step).collect()
}

fn rolled<B: Backend>(batch: &Batch<B>, columns: usize) -> Batch<B> {
    let mut batch = batch.clone();
    batch.images = roll_right(batch.images, columns);
    batch.masks = roll_right(batch.masks, columns);
    batch
}

/// As `torch.roll` along the last axis. Burn's `roll_dim` goes the other way.
fn roll_right<B: Backend>(images: Tensor<B, 4>, columns: usize) -> Tensor<B, 4> {
    let [_, _, _, width] = images.dims();
    let shift = columns % width;
    if shift == 0 {
        return images;
    }
    let wrapped = images.clone().narrow(3, width - shift, shift);
    Tensor::cat(vec![wrapped, images.narrow(3, 0, width - shift)], 3)
}
