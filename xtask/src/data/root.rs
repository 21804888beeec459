//! Where the datasets lie: told once, by a flag, the environment or `moeclip.toml`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use moeclip_data::Descriptor;
use serde::{Deserialize, Serialize};

/// The environment variable that names the data root.
const VARIABLE: &str = "MOECLIP_DATA";

/// Settings of the folder that commands are run in.
const SETTINGS: &str = "moeclip.toml";

/// The folder of all datasets, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DataRoot {
    pub(crate) path: PathBuf,
    pub(crate) told_by: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    data_root: Option<PathBuf>,
}

impl DataRoot {
    /// `flag` before the environment before `moeclip.toml` in the current folder; `None` where
    /// nobody said.
    pub(crate) fn find(flag: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let told = |path: PathBuf, told_by| Some(Self { path, told_by });
        if let Some(path) = flag {
            return Ok(told(path.to_path_buf(), "--data-root"));
        }
        if let Some(path) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            return Ok(told(path.into(), VARIABLE));
        }
        let path = settings(Path::new(SETTINGS))?.and_then(|settings| settings.data_root);
        Ok(path.and_then(|path| told(path, SETTINGS)))
    }

    /// The folder of a dataset: the first of this root, by name, that the dataset is called.
    pub(crate) fn folder_of(&self, descriptor: &Descriptor) -> anyhow::Result<Option<PathBuf>> {
        let unreadable =
            || format!("{}: the data root ({}) cannot be read", self.path.display(), self.told_by);
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&self.path).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            if descriptor.is_called(&entry.file_name().to_string_lossy()) && entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
        folders.sort();
        Ok(folders.into_iter().next())
    }
}

fn settings(path: &Path) -> anyhow::Result<Option<Settings>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{SETTINGS}: cannot be read")),
    };
    let settings = toml::from_str(&text).map_err(|error: toml::de::Error| {
        anyhow::anyhow!("{SETTINGS}: {}; it knows the key data-root", error.message())
    })?;
    Ok(Some(settings))
}
