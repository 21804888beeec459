//! A JSON file beside the weights, read key by key; an error names the file, the key and the remedy.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::weights::WeightError;
use crate::weights::error::shown;
use crate::weights::format::foreign;

/// Longest file of settings; real ones have some 4 kB.
const MAX_BYTES: u64 = 1 << 20;

/// What some editors put at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An opened file. Keys are dotted, as in `vision_config.hidden_size`; `null` counts as absent.
pub(super) struct JsonFile {
    path: PathBuf,
    json: Value,
}

impl JsonFile {
    /// The file of this name in the folder of `weights`; `None` where there is none.
    pub(super) fn beside(weights: &Path, name: &str) -> Result<Option<JsonFile>, WeightError> {
        let path = weights.with_file_name(name);
        let about = match std::fs::metadata(&path) {
            Ok(about) if about.is_file() => about,
            _ => return Ok(None),
        };
        let wrong = |reason: String| WeightError::Config {
            file: path.clone(),
            key: "the file".into(),
            reason: format!("{reason}; correct it, or move it away from the weights"),
        };
        if about.len() > MAX_BYTES {
            return Err(wrong(format!("has {} bytes, more than any config", about.len())));
        }
        let bytes = std::fs::read(&path).map_err(|source| WeightError::read(&path, source))?;
        let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        let json: Value = serde_json::from_slice(text).map_err(|error| match foreign(&bytes) {
            Some(what) => wrong(format!("is {what}")),
            None => wrong(format!("is no valid JSON: {error}")),
        })?;
        Ok(Some(JsonFile { path, json }))
    }

    /// A value; what leads to it must be objects.
    pub(super) fn entry(&self, key: &str) -> Result<Option<&Value>, WeightError> {
        let mut value = &self.json;
        let mut passed = 0;
        for part in key.split('.') {
            let Value::Object(entries) = value else {
                let owner = key[..passed].trim_end_matches('.');
                let owner = if owner.is_empty() { "the file" } else { owner };
                return Err(self.wrong(
                    owner,
                    "is no object; correct it, or move the file away from the weights",
                ));
            };
            passed += part.len() + 1;
            match entries.get(part) {
                None | Some(Value::Null) => return Ok(None),
                Some(inner) => value = inner,
            }
        }
        Ok(Some(value))
    }

    /// A whole number of at least 1.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, WeightError> {
        let Some(value) = self.entry(key)? else { return Ok(None) };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| *size > 0).map(Some).ok_or_else(|| {
            let printed = shown(&value.to_string());
            self.wrong(key, format!("is {printed}; a whole number of at least 1 is needed"))
        })
    }

    /// Three numbers, one for each channel, or one for all.
    pub(super) fn channels(&self, key: &str) -> Result<Option<[f32; 3]>, WeightError> {
        let Some(value) = self.entry(key)? else { return Ok(None) };
        let numbers = value.as_array().and_then(|values| {
            values.iter().map(|value| value.as_f64().map(|number| number as f32)).collect()
        });
        // One number stands for every channel.
        let numbers = numbers.or_else(|| Some(vec![value.as_f64()? as f32; 3]));
        let three = numbers.and_then(|numbers: Vec<f32>| <[f32; 3]>::try_from(numbers).ok());
        three.map(Some).ok_or_else(|| {
            let printed = shown(&value.to_string());
            self.wrong(key, format!("is {printed}; three numbers are needed, one a channel"))
        })
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, WeightError> {
        let Some(value) = self.entry(key)? else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| {
            let printed = shown(&value.to_string());
            self.wrong(key, format!("is {printed}; true or false is needed"))
        })
    }

    /// Refuses a file whose size of this name is not the weights'.
    pub(super) fn check_size(&self, key: &str, weights: usize) -> Result<(), WeightError> {
        match self.size(key)? {
            Some(size) if size != weights => Err(self.wrong(
                key,
                format!(
                    "is {size} but the weights beside it have {weights}; it belongs to another model, move it away"
                ),
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn wrong(&self, key: &str, reason: impl Display) -> WeightError {
        WeightError::Config { file: self.path.clone(), key: key.into(), reason: reason.to_string() }
    }
}
