//! Weights in several files: Hugging Face cuts large models into shards, `model-00001-of-00002.safetensors`
//! and so on, beside an index in JSON that says where each tensor is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::WeightError;
use super::error::shown;

/// Digits of a shard's number.
const DIGITS: usize = 5;

/// What stands between a shard's number and the count.
const OF: &str = "-of-";

/// Most shards of one model.
const MOST: usize = 1000;

/// Longest index; those of the largest models have some megabytes.
const MAX_INDEX: usize = 64 << 20;

/// What some editors put at the beginning of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The files of a model that is cut into several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shards {
    /// In the order of their names.
    pub(super) files: Vec<PathBuf>,
    /// The tensors that an index promises; `None` where no index was given.
    pub(super) promised: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// All shards of which `path` is one by its name; `None` for any other name, and for the only shard.
///
/// # Errors
///
/// [`WeightError::Shards`] when one is not beside it.
pub(super) fn around(path: &Path) -> Result<Option<Shards>, WeightError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let Some(numbered) = Numbered::parse(name) else { return Ok(None) };
    let Numbered { count, .. } = numbered;
    if count < 2 || !path.is_file() {
        return Ok(None);
    }
    let wrong = |reason| WeightError::Shards { file: path.into(), reason };
    if count > MOST {
        return Err(wrong(format!(
            "is one of {count} shards by its name; at most {MOST} are read"
        )));
    }
    let files: Vec<PathBuf> =
        (1..=count).map(|number| path.with_file_name(numbered.name(number))).collect();
    let absent: Vec<usize> =
        (1..).zip(&files).filter(|(_, file)| !file.is_file()).map(|(number, _)| number).collect();
    if let Some(first) = absent.first() {
        return Err(wrong(format!(
            "is one of {count} shards, of which {} not beside it ({} and so on); put all of them into \
             one folder",
            match absent.len() {
                1 => "one is".to_owned(),
                several => format!("{several} are"),
            },
            shown(&numbered.name(*first)),
        )));
    }
    Ok(Some(Shards { files, promised: None }))
}

/// The shards that an index names; `None` where `bytes` are no index.
///
/// # Errors
///
/// [`WeightError::Shards`] when it names files elsewhere, or too many.
pub(super) fn indexed(path: &Path, bytes: &[u8]) -> Result<Option<Shards>, WeightError> {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start();
    if !text.starts_with(b"{") || text.len() > MAX_INDEX {
        return Ok(None);
    }
    let Ok(Index { weight_map }) = serde_json::from_slice(text) else { return Ok(None) };
    let wrong = |reason| WeightError::Shards { file: path.into(), reason };
    let names: BTreeSet<&str> = weight_map.values().map(String::as_str).collect();
    if names.is_empty() || names.len() > MOST {
        let count = names.len();
        return Err(wrong(format!("names {count} shards; 1 to {MOST} are read")));
    }
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let mut parts = Path::new(name).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !plain || name.contains(['/', '\\']) {
            let name = shown(name);
            return Err(wrong(format!(
                "names the shard {name}, which is not a file beside it; correct the index"
            )));
        }
        let file = path.with_file_name(name);
        if !file.is_file() {
            let name = shown(name);
            return Err(wrong(format!(
                "names the shard {name}, which is not beside it; put all shards into its folder"
            )));
        }
        files.push(file);
    }
    Ok(Some(Shards { files, promised: Some(weight_map.into_keys().collect()) }))
}

/// A name as in `model-00001-of-00002.safetensors`.
struct Numbered<'a> {
    before: &'a str,
    count: usize,
    behind: &'a str,
}

impl<'a> Numbered<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (left, right) = name.rsplit_once(OF)?;
        let digits = |text: &str| text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        let (before, number) = left.rsplit_once('-')?;
        let (count, behind) = right.split_at_checked(DIGITS)?;
        if !digits(number) || !digits(count) || !behind.starts_with('.') {
            return None;
        }
        let (number, count): (usize, usize) = (number.parse().ok()?, count.parse().ok()?);
        (1..=count).contains(&number).then_some(Self { before, count, behind })
    }

    fn name(&self, number: usize) -> String {
        let Self { before, count, behind } = self;
        format!("{before}-{number:0DIGITS$}{OF}{count:0DIGITS$}{behind}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_known_by_their_numbers() {
        let name = "model-00002-of-00003.safetensors";
        let numbered = Numbered::parse(name).unwrap();
        assert_eq!((numbered.count, numbered.name(2)), (3, name.to_owned()));
        for other in [
            "seed-1-of-3.safetensors",
            "model-00004-of-00003.bin",
            "model-00000-of-00003.bin",
            "model-00001-of-00003",
            "model-0000x-of-00003.bin",
            "-of-",
        ] {
            assert!(Numbered::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn an_index_names_files_beside_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("model.safetensors.index.json");
        std::fs::write(folder.path().join("a"), "x").unwrap();
        let read = |text: &str| indexed(&index, text.as_bytes()).map_err(|error| error.to_string());
        let shards =
            read("\u{feff} {\"weight_map\": {\"w\": \"a\", \"v\": \"a\"}}").unwrap().unwrap();
        assert_eq!(shards.files, [folder.path().join("a")]);
        assert_eq!(shards.promised.unwrap().len(), 2);
        assert_eq!(read("{\"a\": 1}"), Ok(None));
        for (file, expected) in [
            ("../a", "not a file beside it"),
            ("/etc/passwd", "not a file beside it"),
            ("..", "not a file beside it"),
            ("b\\\\a", "not a file beside it"),
            ("b", "which is not beside it"),
        ] {
            let line = read(&format!("{{\"weight_map\": {{\"w\": \"{file}\"}}}}")).unwrap_err();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
        assert!(read("{\"weight_map\": {}}").unwrap_err().contains("names 0 shards"));
    }
}
