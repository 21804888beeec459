//! Losses, gradients and one Adam step.

use std::path::PathBuf;

use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::VisionBackbone;
use moeclip::{MapResampler, gradients, weights};
use moeclip_data::{Batch, ImageSize};

use crate::report::Comparison;
use crate::{ParityError, Parts};
use moeclip_train::{BatchPass, Objective, TrainConfig, train_batch};

/// The name that a golden's only class goes by.
pub(crate) const CLASS: &str = "golden";

pub(crate) fn compare<B: Backend>(
    parts: &Parts<'_, B>,
    comparison: &mut Comparison<'_>,
) -> Result<(), ParityError> {
    let (golden, config) = (parts.golden, TrainConfig::default());
    let model = parts.trained_model()?;
    let grid = golden.config.grid(parts.tower.spec());
    let resampler = MapResampler::new(grid, golden.config.image_size, parts.device);
    let objective = Objective::new(resampler, config.losses);
    let batch = batch(parts)?;
    let prompts = vec![parts.prompts.clone(); batch.classes.len()];
    let BatchPass { terms, .. } = train_batch(&model, &objective, &prompts, batch.clone());
    let segmentation = terms.segmentation();
    let named = [
        ("loss.ac", &terms.image),
        ("loss.seg", &segmentation),
        ("loss.etf", &terms.etf),
        ("loss.balance", &terms.balance),
        ("loss.total", &terms.total),
    ];
    for (stage, term) in named {
        comparison.tensor(stage, term.clone())?;
    }
    for gradient in gradients(model.adapters(), &terms.total.backward()) {
        comparison.data(&format!("grad.{}", gradient.name), &gradient.data)?;
    }

    let mut learner = parts.learner(config)?;
    learner.step(batch)?;
    for weight in weights(&learner.adapters()) {
        comparison.stepped(&weight.name, &weight.data)?;
    }
    Ok(())
}

/// The golden's images, masks and labels as a batch of one class.
pub(crate) fn batch<B: Backend>(parts: &Parts<'_, B>) -> Result<Batch<B>, ParityError> {
    let masks = parts.golden.values("in.mask")?;
    let labels = parts.golden.file.read_i64("in.label")?;
    let count = labels.len();
    let side = parts.golden.config.image_size as u32;
    Ok(Batch {
        images: parts.images.clone(),
        masks: Tensor::from_data(TensorData::new(masks.values, masks.shape), parts.device),
        labels: Tensor::from_data(TensorData::new(labels, [count]), parts.device),
        classes: vec![CLASS.to_owned(); count],
        prompts: vec![CLASS.to_owned(); count],
        paths: vec![PathBuf::new(); count],
        has_mask: vec![true; count],
        original_sizes: vec![ImageSize { width: side, height: side }; count],
    })
}
