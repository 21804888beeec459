//! The stages of a forward pass and of detection, losses, gradients and one Adam step beside the
//! reference; and several training steps on a golden's model, to be held beside those of the
//! reference.

use std::path::PathBuf;

use anomaly::Domain;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use clip_vit::{Precision, VisionBackbone, VisionTower};
use moe_lora::Adapted;
use moeclip::{Features, MapResampler, MoeClip, TextFeatures, gradients, image_score, weights};
use moeclip_data::{Batch, ImageSize};
use moeclip_goldens::{Comparison, Golden};
use moeclip_train::{ForwardOutput, Objective, StepReport, TrainConfig, forward_batch};

use crate::{ParityError, Parts, images};

/// A sampled golden keeps every so-many-th row and column of the maps.
const MAP_STRIDE: usize = 7;

pub(crate) fn compare_forward<B: Backend>(
    parts: &Parts<'_, B>,
    comparison: &mut Comparison<'_>,
) -> Result<(), ParityError> {
    clip(parts, comparison)?;
    let model = parts.model()?;
    let features = model.forward(parts.images.clone());
    let text = parts.adapters.text.forward(&parts.prompts);
    let rows = sampled_rows(parts)?;
    for (index, tap) in features.taps.iter().enumerate() {
        mixture(index, tap, rows.as_ref(), comparison)?;
        averages(index, tap, &model, comparison)?;
    }
    for (index, patches) in features.patches.iter().enumerate() {
        comparison.tensor(&format!("patches.{index}"), patches.clone())?;
        comparison.tensor(&format!("patches_mean.{index}"), patches.clone().mean_dim(1))?;
    }
    comparison.tensor("image", features.image.clone())?;
    comparison.tensor(
        "text",
        Tensor::cat(vec![text.normal.clone(), text.abnormal.clone()], 0).transpose(),
    )?;
    detection(parts, &features, &text, comparison)
}

/// CLIP's own embeddings, where a golden has them.
fn clip<B: Backend>(
    parts: &Parts<'_, B>,
    comparison: &mut Comparison<'_>,
) -> Result<(), ParityError> {
    comparison.tensor("open_clip.text", parts.clip_text.clone())?;
    let vision = &parts.golden.clip().vision;
    let size = vision.grid * vision.patch;
    let stage = format!("open_clip.image_{size}");
    if comparison.wants(&stage) {
        let images = images(parts.golden, size, parts.device)?;
        comparison.tensor(&stage, parts.tower.encode(images))?;
    }
    Ok(())
}

fn mixture<B: Backend>(
    index: usize,
    tap: &Adapted<B>,
    rows: Option<&Tensor<B, 1, Int>>,
    comparison: &mut Comparison<'_>,
) -> Result<(), ParityError> {
    comparison.tensor(&format!("hidden.{index}"), tap.tokens.clone())?;
    if let Some(rows) = rows {
        let hidden = tap.tokens.clone().select(1, rows.clone());
        comparison.tensor(&format!("hidden_rows.{index}"), hidden)?;
    }
    if let Some(routing) = &tap.routing {
        let probabilities = routing.probabilities.clone();
        comparison.tensor(&format!("gate_probs.{index}"), probabilities.clone())?;
        let selected = routing.selected().into_data().convert::<f32>();
        comparison.data(&format!("selected.{index}"), &selected)?;
        if let Some(rows) = rows {
            let probabilities = probabilities.select(0, rows.clone());
            comparison.tensor(&format!("gate_probs_rows.{index}"), probabilities)?;
        }
    }
    match &tap.codes {
        Some(codes) if comparison.wants(&format!("experts.{index}")) => {
            Ok(comparison.tensor(&format!("experts.{index}"), codes.outputs())?)
        }
        _ => Ok(()),
    }
}

fn averages<B: Backend>(
    index: usize,
    tap: &Adapted<B>,
    model: &MoeClip<B, VisionTower<B>>,
    comparison: &mut Comparison<'_>,
) -> Result<(), ParityError> {
    let class = tap.tokens.clone().narrow(1, 0, 1);
    for (scale, patches) in model.config().scales.iter().zip(model.average(&tap.tokens)) {
        let tokens = Tensor::cat(vec![class.clone(), patches], 1);
        comparison.tensor(&format!("paa.{index}.{scale}"), tokens)?;
    }
    Ok(())
}

fn detection<B: Backend>(
    parts: &Parts<'_, B>,
    features: &Features<B>,
    text: &TextFeatures<B>,
    comparison: &mut Comparison<'_>,
) -> Result<(), ParityError> {
    let config = &parts.config;
    let grid = config.grid(parts.tower.spec());
    let resampler = MapResampler::new(grid, config.image_size, parts.device);
    for (name, domain) in [("industrial", Domain::Industrial), ("medical", Domain::Medical)] {
        let map = resampler.anomaly_map(&features.patches, text, domain);
        let map = if parts.golden.has_clip() { map } else { strided(map, MAP_STRIDE) };
        comparison.tensor(&format!("map.{name}"), map)?;
    }
    Ok(comparison.tensor("image_score", image_score(features.image.clone(), text))?)
}

/// Every `stride`-th row and column.
fn strided<B: Backend>(map: Tensor<B, 3>, stride: usize) -> Tensor<B, 3> {
    let [_, height, width] = map.dims();
    let device = map.device();
    let every = |length: usize| Tensor::<B, 1, Int>::arange_step(0..length as i64, stride, &device);
    map.select(1, every(height)).select(2, every(width))
}

/// The tokens that a sampled golden keeps.
fn sampled_rows<B: Backend>(
    parts: &Parts<'_, B>,
) -> Result<Option<Tensor<B, 1, Int>>, ParityError> {
    if !parts.golden.file().contains("in.token_rows") {
        return Ok(None);
    }
    let rows = parts.golden.integers("in.token_rows")?;
    let count = rows.len();
    Ok(Some(Tensor::from_data(TensorData::new(rows, [count]), parts.device)))
}

/// The name that a golden's only class goes by.
pub(crate) const CLASS: &str = "golden";

pub(crate) fn compare_training<B: Backend>(
    parts: &Parts<'_, B>,
    comparison: &mut Comparison<'_>,
) -> Result<(), ParityError> {
    let config = TrainConfig::default();
    let model = parts.trained_model()?;
    let grid = parts.config.grid(parts.tower.spec());
    let resampler = MapResampler::new(grid, parts.config.image_size, parts.device);
    let objective = Objective::new(resampler, config.losses);
    let batch = batch(parts)?;
    let prompts = vec![parts.prompts.clone(); batch.classes.len()];
    let ForwardOutput { terms, .. } = forward_batch(&model, &objective, &prompts, batch.clone());
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
        comparison.stepped("adam", "grad", &weight.name, &weight.data)?;
    }
    Ok(())
}

/// The golden's images, masks and labels as a batch of one class.
fn batch<B: Backend>(parts: &Parts<'_, B>) -> Result<Batch<B>, ParityError> {
    let masks = parts.golden.values("in.mask")?;
    let labels = parts.golden.integers("in.label")?;
    let count = labels.len();
    let side = parts.config.image_size as u32;
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
