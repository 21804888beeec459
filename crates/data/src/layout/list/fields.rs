//! One line of a list before and after it is believed: the same checks whatever it was written in.

use std::path::PathBuf;

use super::Record;
use crate::sample::{Label, Split};

/// What stands between several masks in one value.
pub(super) const BETWEEN_MASKS: char = '|';

/// What programs write where nothing is, pandas among them.
const NOTHING: [&str; 8] = ["none", "nan", "<na>", "nat", "na", "n/a", "#n/a", "null"];

/// How much of a list's own text a message repeats, in characters.
const SHOWN: usize = 120;

/// The values of one line as they stand there; what it does not say is empty.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) image: String,
    /// Several with [`BETWEEN_MASKS`].
    pub(super) mask: String,
    pub(super) label: String,
    pub(super) split: String,
    pub(super) class: String,
    pub(super) prompt: String,
    pub(super) defect: String,
    pub(super) group: String,
}

impl Fields {
    /// The record of `line`, or what is wrong with it.
    pub(super) fn check(mut self, line: usize) -> Result<Record, String> {
        for value in self.values() {
            if NOTHING.iter().any(|nothing| value.trim().eq_ignore_ascii_case(nothing)) {
                value.clear();
            }
        }
        let image = path("image", &self.image)?.ok_or("names no image")?;
        let masks = self.mask.split(BETWEEN_MASKS).map(str::trim);
        let masks = masks.filter_map(|mask| path("mask", mask).transpose());
        Ok(Record {
            line,
            image,
            masks: masks.collect::<Result<_, _>>()?,
            label: label(&self.label)?,
            split: split(&self.split)?,
            class: words("class", self.class)?,
            prompt: words("prompt", self.prompt)?,
            defect: words("defect", self.defect)?,
            group: words("group", self.group)?,
        })
    }

    fn values(&mut self) -> [&mut String; 8] {
        let Self { image, mask, label, split, class, prompt, defect, group } = self;
        [image, mask, label, split, class, prompt, defect, group]
    }
}

/// `text` as a path that stays below the folder which it is joined to; empty for that folder
/// itself. `/` and `\` both separate.
///
/// # Errors
/// What is wrong with it.
pub(in crate::layout) fn below(text: &str) -> Result<PathBuf, String> {
    let refuse = |wrong: &str| Err(format!("{} {wrong}", shown(text)));
    if text.contains(char::is_control) {
        return refuse("holds a control character");
    }
    let is_drive = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
    if text.starts_with(['/', '\\'])
        || (is_drive(text.chars().next()) && text[1..].starts_with(':'))
    {
        return refuse("is absolute; say it relative to the folder of the data");
    }
    let mut path = PathBuf::new();
    for part in text.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".") {
        // Some systems drop spaces and points from the end of a name, and `.. ` climbs as `..` does.
        if part.chars().all(|c| matches!(c, '.' | ' ')) {
            return refuse("leaves the folder of the data; name something below it");
        }
        path.push(part);
    }
    Ok(path)
}

/// Text of a list as messages repeat it: in quotes, on one line, cut where it is long.
pub(in crate::layout) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}..", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn path(key: &str, text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = below(text).map_err(|wrong| format!("{key}: {wrong}"))?;
    if path.as_os_str().is_empty() {
        return Err(format!("{key}: {} names no file", shown(text)));
    }
    Ok(Some(path))
}

/// Words and numbers that lists use; 0.0 and 1.0 are what the authors write.
pub(super) fn label(text: &str) -> Result<Label, String> {
    // Where commas are decimal points, they separate no columns.
    let number = text.replace(',', ".").parse::<f64>().ok();
    match text.to_ascii_lowercase().as_str() {
        "normal" | "good" | "ok" | "pass" | "false" => Ok(Label::Normal),
        "anomalous" | "anomaly" | "abnormal" | "ng" | "nok" | "bad" | "fail" | "defect"
        | "defective" | "true" => Ok(Label::Anomalous),
        _ if number == Some(0.0) => Ok(Label::Normal),
        _ if number == Some(1.0) => Ok(Label::Anomalous),
        "" => Err("has no label; say normal or anomalous, 0 or 1".into()),
        _ => Err(format!("label: {} is none; say normal or anomalous, 0 or 1", shown(text))),
    }
}

fn split(text: &str) -> Result<Split, String> {
    match text.to_ascii_lowercase().as_str() {
        "train" => Ok(Split::Train),
        "test" | "" => Ok(Split::Test),
        _ => Err(format!("split: {} is none; say train or test", shown(text))),
    }
}

fn words(key: &str, text: String) -> Result<Option<String>, String> {
    if text.contains(char::is_control) {
        return Err(format!("{key}: {} holds a control character", shown(&text)));
    }
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}
