//! What shapes do not tell, heads and activation: from a `config.json` of Hugging Face beside the
//! weights, or from the metadata of a file that this project wrote.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::WeightError;
use super::error::shown;
use crate::spec::{Activation, ClipSpec};

/// `format` in the metadata of a canonical file.
pub(super) const FORMAT: &str = "clip-vit";

/// `version` in the metadata of a canonical file.
pub(super) const VERSION: &str = "1";

/// Longest `config.json`; real ones have some 4 kB.
const MAX_CONFIG: u64 = 1 << 20;

/// What shapes do not tell, as far as a source tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) vision_heads: Option<usize>,
    pub(super) text_heads: Option<usize>,
    pub(super) activation: Option<Activation>,
}

impl Hints {
    /// Whether nothing is left to be told.
    pub(super) fn is_complete(&self) -> bool {
        self.vision_heads.is_some() && self.text_heads.is_some() && self.activation.is_some()
    }
}

/// What a canonical file's metadata tells; nothing for any other file. `spec` holds the sizes of
/// the tensors: a file that has lost layers is an error.
pub(super) fn from_metadata(
    file: &Path,
    metadata: &BTreeMap<String, String>,
    spec: &ClipSpec,
) -> Result<Hints, WeightError> {
    let wrong = |key: &str, reason: &str| {
        let reason = format!("in its metadata {reason}; convert the original checkpoint again");
        WeightError::Config { file: file.into(), key: key.into(), reason }
    };
    if metadata.get("format").map(String::as_str) != Some(FORMAT) {
        return Ok(Hints::default());
    }
    if metadata.get("version").map(String::as_str) != Some(VERSION) {
        return Err(wrong("version", "is not 1, the only one known here"));
    }
    let heads = |key: &str| match metadata.get(key) {
        None => Err(wrong(key, "is missing")),
        Some(text) => text.parse().map_err(|_| wrong(key, "is no number")),
    };
    let (vision_heads, text_heads) = (heads("vision_heads")?, heads("text_heads")?);
    let activation = metadata
        .get("activation")
        .and_then(|name| activation(name))
        .ok_or_else(|| wrong("activation", "is neither quick_gelu nor gelu"))?;
    let mut sizes = ClipSpec { activation, ..spec.clone() };
    sizes.vision.heads = vision_heads;
    sizes.text.heads = text_heads;
    let written = metadata.get("spec").and_then(|json| serde_json::from_str(json).ok());
    if written != Some(sizes) {
        return Err(wrong("spec", "is missing or differs from the tensors"));
    }
    Ok(Hints {
        vision_heads: Some(vision_heads),
        text_heads: Some(text_heads),
        activation: Some(activation),
    })
}

/// What a `config.json` beside `file` tells; nothing where there is none or it describes no CLIP.
/// `spec` holds the sizes of the weights: a config of another model is an error.
pub(super) fn from_config(file: &Path, spec: &ClipSpec) -> Result<Hints, WeightError> {
    let path = file.with_file_name("config.json");
    let about = match std::fs::metadata(&path) {
        Ok(about) if about.is_file() => about,
        _ => return Ok(Hints::default()),
    };
    let wrong = |reason: String| WeightError::Config {
        file: path.clone(),
        key: "the file".into(),
        reason: format!("{reason}; correct it, or move it away from the weights"),
    };
    if about.len() > MAX_CONFIG {
        return Err(wrong(format!("has {} bytes, more than any config", about.len())));
    }
    let text = std::fs::read(&path).map_err(|source| WeightError::read(&path, source))?;
    let json: Value = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("is no valid JSON: {error}")))?;
    let config = Config { path, json };
    config.hints(spec)
}

struct Config {
    path: PathBuf,
    json: Value,
}

impl Config {
    fn hints(&self, spec: &ClipSpec) -> Result<Hints, WeightError> {
        self.check_size("vision_config", "hidden_size", spec.vision.width)?;
        self.check_size("vision_config", "num_hidden_layers", spec.vision.layers)?;
        self.check_size("text_config", "hidden_size", spec.text.width)?;
        self.check_size("text_config", "num_hidden_layers", spec.text.layers)?;
        Ok(Hints {
            vision_heads: self.size("vision_config", "num_attention_heads")?,
            text_heads: self.size("text_config", "num_attention_heads")?,
            activation: self.activation()?,
        })
    }

    /// The one activation of both towers.
    fn activation(&self) -> Result<Option<Activation>, WeightError> {
        const KEY: &str = "hidden_act";
        let vision = self.tower_activation("vision_config", KEY)?;
        let text = self.tower_activation("text_config", KEY)?;
        match (vision, text) {
            (Some(vision), Some(text)) if vision != text => Err(self.wrong(
                "text_config",
                KEY,
                "differs from vision_config's; both towers share one activation here",
            )),
            _ => Ok(vision.or(text)),
        }
    }

    fn tower_activation(&self, tower: &str, key: &str) -> Result<Option<Activation>, WeightError> {
        let Some(value) = self.entry(tower, key)? else { return Ok(None) };
        let known = value.as_str().and_then(activation);
        let printed = shown(&value.to_string());
        known.map(Some).ok_or_else(|| {
            self.wrong(tower, key, format!("is {printed}; quick_gelu and gelu are known here"))
        })
    }

    fn size(&self, tower: &str, key: &str) -> Result<Option<usize>, WeightError> {
        let Some(value) = self.entry(tower, key)? else { return Ok(None) };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        let printed = shown(&value.to_string());
        size.filter(|size| *size > 0).map(Some).ok_or_else(|| {
            self.wrong(tower, key, format!("is {printed}; a whole number of at least 1 is needed"))
        })
    }

    fn check_size(&self, tower: &str, key: &str, weights: usize) -> Result<(), WeightError> {
        match self.size(tower, key)? {
            Some(size) if size != weights => Err(self.wrong(
                tower,
                key,
                format!(
                    "is {size} but the weights beside it have {weights}; it belongs to another model, move it away"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// `tower.key`, if both are there; `null` counts as absent.
    fn entry(&self, tower: &str, key: &str) -> Result<Option<&Value>, WeightError> {
        match self.json.get(tower) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(entries)) => Ok(entries.get(key).filter(|value| !value.is_null())),
            Some(_) => Err(WeightError::Config {
                file: self.path.clone(),
                key: tower.into(),
                reason: "is no object; correct it, or move the file away from the weights".into(),
            }),
        }
    }

    fn wrong(&self, tower: &str, key: &str, reason: impl Display) -> WeightError {
        WeightError::Config {
            file: self.path.clone(),
            key: format!("{tower}.{key}"),
            reason: reason.to_string(),
        }
    }
}

/// The name of an activation, in files of this project as in Hugging Face's.
pub(super) fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::QuickGelu => "quick_gelu",
        Activation::Gelu => "gelu",
    }
}

fn activation(name: &str) -> Option<Activation> {
    [Activation::QuickGelu, Activation::Gelu]
        .into_iter()
        .find(|activation| activation_name(*activation) == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Preset;

    fn told(config: &str) -> Result<Hints, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let weights = folder.path().join("model.safetensors");
        from_config(&weights, &Preset::VitB32.spec()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_clip_config_tells_heads_and_activation() {
        let config = r#"{"vision_config": {"num_attention_heads": 6, "hidden_act": "gelu", "hidden_size": 768},
            "text_config": {"num_attention_heads": 4}}"#;
        let hints = Hints {
            vision_heads: Some(6),
            text_heads: Some(4),
            activation: Some(Activation::Gelu),
        };
        assert_eq!(told(config), Ok(hints));
        assert_eq!(told("{\"model_type\": \"other\"}"), Ok(Hints::default()));
    }

    #[test]
    fn malformed_configs_are_one_line_each() {
        let cases = [
            ("{", "no valid JSON"),
            (r#"{"vision_config": 3}"#, "vision_config is no object"),
            (r#"{"vision_config": {"num_attention_heads": 0}}"#, "num_attention_heads is 0"),
            (r#"{"text_config": {"num_attention_heads": "8"}}"#, "a whole number"),
            (r#"{"text_config": {"hidden_act": "gelu_new"}}"#, "quick_gelu and gelu"),
            (r#"{"text_config": {"hidden_size": 768}}"#, "belongs to another model"),
            (r#"{"vision_config": {"num_hidden_layers": 24}}"#, "is 24 but the weights"),
            (
                r#"{"text_config": {"hidden_act": "gelu"}, "vision_config": {"hidden_act": "quick_gelu"}}"#,
                "differs",
            ),
        ];
        for (config, expected) in cases {
            let line = told(config).unwrap_err();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
            assert!(line.contains("config.json"));
        }
    }

    #[test]
    fn metadata_is_believed_only_in_canonical_files() {
        let mut written = Preset::VitB32.spec();
        written.vision.heads = 3;
        let json = serde_json::to_string(&written).unwrap();
        let hints = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into()));
            from_metadata(Path::new("x"), &pairs.collect(), &Preset::VitB32.spec())
                .map_err(|error| error.to_string())
        };
        assert_eq!(hints(&[("vision_heads", "3")]), Ok(Hints::default()));
        let mut whole = [
            ("format", FORMAT),
            ("version", VERSION),
            ("vision_heads", "3"),
            ("text_heads", "8"),
            ("activation", "quick_gelu"),
            ("spec", &json),
        ];
        assert!(hints(&whole).unwrap().is_complete());
        assert!(hints(&whole[..5]).unwrap_err().contains("spec"));
        assert!(hints(&whole[..4]).unwrap_err().contains("activation"));
        assert!(hints(&whole[..2]).unwrap_err().contains("vision_heads"));
        assert!(hints(&whole[..1]).unwrap_err().contains("version"));
        whole[3].1 = "4";
        assert!(hints(&whole).unwrap_err().contains("differs from the tensors"));
    }
}
