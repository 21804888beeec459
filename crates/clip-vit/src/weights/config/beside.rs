//! The settings that publishers put beside a CLIP's weights: open_clip's `open_clip_config.json`, and
//! Hugging Face's `config.json` and `preprocessor_config.json`.

use std::path::Path;

use super::json::JsonFile;
use super::{Hints, activation};
use crate::spec::{Activation, ClipSpec, Normalisation};
use crate::weights::WeightError;
use crate::weights::error::shown;

/// Channels of a head where open_clip's config names none.
const OPEN_CLIP_HEAD_WIDTH: usize = 64;

/// Heads of the text tower where open_clip's config names none.
const OPEN_CLIP_TEXT_HEADS: usize = 8;

/// What the files beside `weights` tell, open_clip's first. `spec` holds the sizes of the weights: a
/// file of another model is an error.
pub(in crate::weights) fn hints_beside(
    weights: &Path,
    spec: &ClipSpec,
) -> Result<Hints, WeightError> {
    let mut hints = Hints::default();
    if let Some(file) = JsonFile::beside(weights, "open_clip_config.json")? {
        hints = hints.or(open_clip(&file, spec)?);
    }
    if let Some(file) = JsonFile::beside(weights, "config.json")? {
        hints = hints.or(hugging_face(&file, spec)?);
    }
    if let Some(file) = JsonFile::beside(weights, "preprocessor_config.json")? {
        hints = hints.or(preprocessor(&file)?);
    }
    Ok(hints)
}

/// A file that describes no model (`model_cfg`) tells of preprocessing alone.
fn open_clip(file: &JsonFile, spec: &ClipSpec) -> Result<Hints, WeightError> {
    let (vision, text) = (&spec.vision, &spec.text);
    file.check_size("model_cfg.embed_dim", spec.embed)?;
    file.check_size("model_cfg.vision_cfg.width", vision.width)?;
    file.check_size("model_cfg.vision_cfg.layers", vision.layers)?;
    file.check_size("model_cfg.vision_cfg.patch_size", vision.patch)?;
    file.check_size("model_cfg.text_cfg.width", text.width)?;
    file.check_size("model_cfg.text_cfg.layers", text.layers)?;
    let mut hints = Hints {
        normalisation: normalisation(file, "preprocess_cfg.mean", "preprocess_cfg.std")?,
        ..Hints::default()
    };
    if file.entry("model_cfg.vision_cfg")?.is_some() {
        for tower in ["vision_cfg", "text_cfg"] {
            let key = format!("model_cfg.{tower}.act_kwargs");
            if file
                .entry(&key)?
                .is_some_and(|value| value.as_object().is_none_or(|o| !o.is_empty()))
            {
                let reason = "changes the activation; quick_gelu and the exact GELU are known here";
                return Err(file.wrong(&key, reason));
            }
        }
        let head_width = file.size("model_cfg.vision_cfg.head_width")?;
        hints.vision_heads = Some(vision.width / head_width.unwrap_or(OPEN_CLIP_HEAD_WIDTH));
        let quick = file.flag("model_cfg.quick_gelu")?.unwrap_or(false);
        hints.activation = Some(if quick { Activation::QuickGelu } else { Activation::Gelu });
    }
    if file.entry("model_cfg.text_cfg")?.is_some() {
        let heads = file.size("model_cfg.text_cfg.heads")?;
        hints.text_heads = Some(heads.unwrap_or(OPEN_CLIP_TEXT_HEADS));
    }
    hints.image_size = image_size(file, "preprocess_cfg.size")?;
    if hints.image_size.is_none() {
        hints.image_size = image_size(file, "model_cfg.vision_cfg.image_size")?;
    }
    Ok(hints)
}

/// Nothing where the file describes no CLIP.
fn hugging_face(file: &JsonFile, spec: &ClipSpec) -> Result<Hints, WeightError> {
    file.check_size("vision_config.hidden_size", spec.vision.width)?;
    file.check_size("vision_config.num_hidden_layers", spec.vision.layers)?;
    file.check_size("text_config.hidden_size", spec.text.width)?;
    file.check_size("text_config.num_hidden_layers", spec.text.layers)?;
    Ok(Hints {
        vision_heads: file.size("vision_config.num_attention_heads")?,
        text_heads: file.size("text_config.num_attention_heads")?,
        activation: one_activation(file)?,
        image_size: image_size(file, "vision_config.image_size")?,
        normalisation: None,
    })
}

fn preprocessor(file: &JsonFile) -> Result<Hints, WeightError> {
    let plain = file.flag("do_normalize")? == Some(false);
    let untouched = Normalisation { mean: [0.0; 3], deviation: [1.0; 3] };
    Ok(Hints {
        normalisation: match plain {
            true => Some(untouched),
            false => normalisation(file, "image_mean", "image_std")?,
        },
        image_size: image_size(file, "size")?,
        ..Hints::default()
    })
}

/// The one activation of both towers.
fn one_activation(file: &JsonFile) -> Result<Option<Activation>, WeightError> {
    const TEXT: &str = "text_config.hidden_act";
    let vision = named_activation(file, "vision_config.hidden_act")?;
    let text = named_activation(file, TEXT)?;
    match (vision, text) {
        (Some(vision), Some(text)) if vision != text => {
            Err(file
                .wrong(TEXT, "differs from vision_config's; both towers share one activation here"))
        }
        _ => Ok(vision.or(text)),
    }
}

fn named_activation(file: &JsonFile, key: &str) -> Result<Option<Activation>, WeightError> {
    let Some(value) = file.entry(key)? else { return Ok(None) };
    value.as_str().and_then(activation).map(Some).ok_or_else(|| {
        let printed = shown(&value.to_string());
        file.wrong(key, format!("is {printed}; quick_gelu and gelu are known here"))
    })
}

fn normalisation(
    file: &JsonFile,
    mean: &str,
    deviation: &str,
) -> Result<Option<Normalisation>, WeightError> {
    let found = Normalisation {
        mean: match file.channels(mean)? {
            Some(mean) => mean,
            None => return Ok(None),
        },
        deviation: match file.channels(deviation)? {
            Some(deviation) => deviation,
            None => return Ok(None),
        },
    };
    let broken = |_| file.wrong(deviation, "must be positive numbers; correct it");
    found.check().map(|()| Some(found)).map_err(broken)
}

/// A side in pixels: a number, a pair of equal ones, `{"shortest_edge": n}` or
/// `{"height": n, "width": n}`.
fn image_size(file: &JsonFile, key: &str) -> Result<Option<usize>, WeightError> {
    let Some(value) = file.entry(key)? else { return Ok(None) };
    if value.is_object() {
        let shortest = file.size(&format!("{key}.shortest_edge"))?;
        return Ok(match shortest {
            Some(side) => Some(side),
            None => file.size(&format!("{key}.height"))?,
        });
    }
    if let Some([first, ..]) = value.as_array().map(Vec::as_slice) {
        return Ok(first.as_u64().and_then(|side| usize::try_from(side).ok()));
    }
    file.size(key)
}
