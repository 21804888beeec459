//! The datasets that every build knows, and the paper's numbers, both compiled in; and where datasets
//! lie: told once, by a caller, the environment or `moeclip.toml`.

use std::path::{Path, PathBuf};

use moeclip_data::Descriptor;
use moeclip_eval::report::Published;
use serde::{Deserialize, Serialize};

use crate::InspectError;
use crate::error::Context;

macro_rules! described {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../datasets/", $name, ".toml")))),+]
    };
}

/// File stem and text of each descriptor, in the order of the paper's tables.
const FILES: [(&str, &str); 14] = described![
    "mvtec-ad",
    "visa",
    "btad",
    "rsdd",
    "dtd-synthetic",
    "brainmri",
    "headct",
    "liverct",
    "retinaoct",
    "colondb",
    "clinicdb",
    "cvc-300",
    "endo",
    "kvasir",
];

/// All known datasets, in the order of the paper's tables.
///
/// # Errors
/// A description that was compiled in wrong.
pub fn known() -> Result<Vec<Descriptor>, InspectError> {
    let parse = |(name, text): &(&str, &str)| {
        Ok(Descriptor::parse(text, Path::new(&format!("datasets/{name}.toml")))?)
    };
    FILES.iter().map(parse).collect()
}

/// The known dataset that `name` means.
///
/// # Errors
/// As [`known`].
pub fn find(name: &str) -> Result<Option<Descriptor>, InspectError> {
    Ok(known()?.into_iter().find(|descriptor| descriptor.is_called(name)))
}

/// The environment variable that names the data root.
const VARIABLE: &str = "MOECLIP_DATA";

/// Settings of the folder that commands are run in.
const SETTINGS: &str = "moeclip.toml";

/// The folder of all datasets, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataRoot {
    /// The folder.
    pub path: PathBuf,
    /// A flag, a variable or a file.
    pub told_by: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    data_root: Option<PathBuf>,
}

impl DataRoot {
    /// `flag` before the environment before `moeclip.toml` in the current folder; `None` where
    /// nobody said.
    ///
    /// # Errors
    /// A `moeclip.toml` that cannot be read.
    pub fn find(flag: Option<&Path>) -> Result<Option<Self>, InspectError> {
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
    ///
    /// # Errors
    /// A root that cannot be read.
    pub fn folder_of(&self, descriptor: &Descriptor) -> Result<Option<PathBuf>, InspectError> {
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

fn settings(path: &Path) -> Result<Option<Settings>, InspectError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).context(format!("{SETTINGS}: cannot be read"));
        }
    };
    let settings = toml::from_str(&text).map_err(|error: toml::de::Error| {
        let said = error.message();
        InspectError::refused(format!("{SETTINGS}: {said}; it knows the key data-root"))
    })?;
    Ok(Some(settings))
}

/// The paper's numbers.
const NUMBERS: &str = include_str!("../../../docs/paper.toml");

/// Every number of the paper's tables.
///
/// # Errors
/// Numbers that were compiled in wrong.
pub fn published() -> Result<Published, InspectError> {
    let read = toml::from_str(NUMBERS);
    read.map_err(|error| InspectError::refused(format!("docs/paper.toml: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_datasets() {
        let known = known().unwrap();
        for descriptor in &known {
            for name in std::iter::once(&descriptor.name).chain(&descriptor.aliases) {
                let meant: Vec<&str> =
                    known.iter().filter(|d| d.is_called(name)).map(|d| d.name.as_str()).collect();
                assert_eq!(meant, [descriptor.name.as_str()], "{name}");
            }
        }
    }
}
