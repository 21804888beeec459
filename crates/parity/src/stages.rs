//! The stages of a forward pass and of detection.

use anomaly::Domain;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use moe_lora::Adapted;
use moeclip::{Features, MapResampler, MoeClip, TextFeatures, image_score};

use crate::report::Comparison;
use crate::{ParityError, Parts, images};
use clip_vit::{VisionBackbone, VisionTower};

/// A sampled golden keeps every so-many-th row and column of the maps.
const MAP_STRIDE: usize = 7;

pub(crate) fn compare<B: Backend>(
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
    let vision = &parts.golden.clip.vision;
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
            comparison.tensor(&format!("experts.{index}"), codes.outputs())
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
    let config = &parts.golden.config;
    let grid = config.grid(parts.tower.spec());
    let resampler = MapResampler::new(grid, config.image_size, parts.device);
    for (name, domain) in [("industrial", Domain::Industrial), ("medical", Domain::Medical)] {
        let map = resampler.anomaly_map(&features.patches, text, domain);
        let map = if parts.golden.has_clip() { map } else { strided(map, MAP_STRIDE) };
        comparison.tensor(&format!("map.{name}"), map)?;
    }
    comparison.tensor("image_score", image_score(features.image.clone(), text))
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
    if !parts.golden.file.contains("in.token_rows") {
        return Ok(None);
    }
    let rows = parts.golden.file.read_i64("in.token_rows")?;
    let count = rows.len();
    Ok(Some(Tensor::from_data(TensorData::new(rows, [count]), parts.device)))
}
