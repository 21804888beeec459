//! The description of a method's run as a TOML file: whose it is, its settings, and how it is trained.
//! `configs/methods/` holds the authors' own.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::training::Recipe;

/// What a file describes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MethodDescription<S> {
    /// The method, as it is typed.
    pub method: String,
    /// The dataset that it is trained on, by its known name.
    #[serde(default)]
    pub data: Option<String>,
    /// The method's settings; what is not said is as published.
    #[serde(default)]
    pub settings: S,
    /// How it is trained; as the authors do where nothing is said.
    #[serde(default)]
    pub training: Option<Recipe>,
}

/// A description that cannot be used.
#[derive(Debug, Error)]
#[error("{}: {reason}", file.display())]
pub struct DescriptionError {
    file: PathBuf,
    reason: String,
}

impl<S: Default + DeserializeOwned> MethodDescription<S> {
    /// Reads the description of a method.
    ///
    /// # Errors
    ///
    /// [`DescriptionError`] when it cannot be read, has a key that the method does not know, or is of another
    /// method.
    pub fn read(file: &Path, method: &str) -> Result<Self, DescriptionError> {
        let failed = |reason: String| DescriptionError { file: file.into(), reason };
        let text = std::fs::read_to_string(file)
            .map_err(|error| failed(format!("cannot be read as text: {error}")))?;
        let said: Self = toml::from_str(&text).map_err(|error| {
            failed(error.message().lines().next().unwrap_or("is no TOML").to_owned())
        })?;
        if said.method != method {
            let found = &said.method;
            return Err(failed(format!(
                "describes {found}, not {method}; give --method {found}, or another file"
            )));
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sizes {
        width: usize,
    }

    fn read(text: &str) -> Result<MethodDescription<Sizes>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("described.toml");
        std::fs::write(&file, text).unwrap();
        let said = MethodDescription::read(&file, "winclip");
        said.map_err(|error| error.to_string().rsplit_once("described.toml: ").unwrap().1.into())
    }

    #[test]
    fn what_is_not_said_is_as_published() {
        let said = read("method = \"winclip\"").unwrap();
        assert_eq!((said.settings, said.training), (Sizes::default(), None));
        let said = read("method = \"winclip\"\n[settings]\nwidth = 3").unwrap();
        assert_eq!(said.settings, Sizes { width: 3 });
    }

    #[test]
    fn a_key_that_nobody_knows_and_another_method_are_refused() {
        let error = read("method = \"winclip\"\n[settings]\nwidht = 3").unwrap_err();
        assert!(error.contains("widht"), "{error}");
        let error = read("method = \"adaclip\"").unwrap_err();
        assert!(error.contains("describes adaclip, not winclip"), "{error}");
    }
}
