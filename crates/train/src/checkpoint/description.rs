//! What a checkpoint belongs to. A run that differs in anything the next step depends on would end
//! elsewhere than the one it pretends to continue, so it is refused by the first key that differs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use moeclip::{MoeClipConfig, Provenance};
use moeclip_data::Augmentation;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CheckpointError;
use crate::{Extent, Position, TrainConfig};

/// What may change between the parts of a run: how long it is, how far it has come and what was
/// measured on the way, the commit of the code (its version may not), and the text in which its user
/// described it, whose settings are compared one by one.
const FREE: [&str; 5] = [
    "training.epochs",
    "provenance.steps",
    "provenance.metrics",
    "provenance.commit",
    "provenance.run",
];

/// Longest value that an error shows, in characters.
const SHOWN: usize = 80;

/// Everything that decides a run.
///
/// A run may be resumed with more `training.epochs` than it began with: the steps before its old end
/// are the same, for the learning rate depends on the step alone. Nothing else may change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDescription {
    /// How it is trained.
    pub training: TrainConfig,
    /// What is added to the CLIP.
    pub model: MoeClipConfig,
    /// How the images are moved.
    pub augmentation: Augmentation,
    /// Backend and device, as the caller calls them: another one rounds differently.
    pub backend: String,
    /// Precision of the frozen part, as the caller calls it.
    pub precision: String,
    /// Fingerprint of the samples in their order: images, masks, labels, prompt names.
    pub data: String,
    /// Number of samples.
    pub samples: usize,
    /// Code version, CLIP (with its SHA-256), prompts and auxiliary set; a checkpoint carries it as
    /// a file of adapters does, with the steps made so far.
    #[serde(skip)]
    pub provenance: Provenance,
}

impl RunDescription {
    /// Where a run stands after so many steps.
    pub fn position(&self, step: usize) -> Position {
        let TrainConfig { batch_size, epochs, .. } = self.training;
        Extent::new(self.samples, batch_size, epochs, None).position(step)
    }

    /// What a checkpoint says about its run, after so many steps and with what was measured.
    pub(super) fn record(&self, step: usize, metrics: &Metrics) -> serde_json::Result<RunRecord> {
        let metrics = metrics.clone();
        let provenance = Provenance { steps: step, metrics, ..self.provenance.clone() };
        Ok(RunRecord {
            run: serde_json::to_string(self)?,
            provenance: serde_json::to_string(&provenance)?,
        })
    }
}

/// What was measured, by name.
pub(crate) type Metrics = BTreeMap<String, f32>;

/// A description as a checkpoint holds it: two texts of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunRecord {
    pub(super) run: String,
    pub(super) provenance: String,
}

impl RunRecord {
    /// What was measured up to the checkpoint.
    pub(super) fn metrics(&self) -> serde_json::Result<Metrics> {
        Ok(serde_json::from_str::<Provenance>(&self.provenance)?.metrics)
    }

    /// Refuses a run other than the one at hand.
    pub(super) fn require(&self, file: &Path, run: &RunDescription) -> Result<(), CheckpointError> {
        let broken = |error: serde_json::Error| CheckpointError::Damaged {
            file: file.into(),
            reason: format!("its description of the run is broken: {error}"),
        };
        let now = run.record(0, &Metrics::new()).map_err(broken)?;
        let pairs = [("", &self.run, &now.run), ("provenance", &self.provenance, &now.provenance)];
        for (name, then, now) in pairs {
            // Both texts are read the same way, so equal texts give equal numbers.
            let (then, now) =
                (leaves(name, then).map_err(broken)?, leaves(name, now).map_err(broken)?);
            if let Some(difference) = first_difference(&then, &now) {
                let Difference { key, then, now } = difference;
                return Err(CheckpointError::OtherRun { file: file.into(), key, then, now });
            }
        }
        Ok(())
    }
}

struct Difference {
    key: String,
    then: String,
    now: String,
}

/// Each number, text and switch by its dotted key, as JSON.
type Leaves = BTreeMap<String, String>;

fn leaves(name: &str, text: &str) -> serde_json::Result<Leaves> {
    let mut leaves = Leaves::new();
    gather(name.to_owned(), &serde_json::from_str(text)?, &mut leaves);
    leaves.retain(|key, _| !FREE.iter().any(|free| is_within(key, free)));
    Ok(leaves)
}

/// Whether a dotted key is another or lies below it.
fn is_within(key: &str, other: &str) -> bool {
    key.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn gather(key: String, value: &Value, leaves: &mut Leaves) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let dot = if key.is_empty() { "" } else { "." };
                gather(format!("{key}{dot}{name}"), value, leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                gather(format!("{key}[{index}]"), value, leaves);
            }
        }
        leaf => {
            leaves.insert(key, leaf.to_string());
        }
    }
}

fn first_difference(then: &Leaves, now: &Leaves) -> Option<Difference> {
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let key = keys.into_iter().find(|key| then.get(*key) != now.get(*key))?;
    Some(Difference { key: key.clone(), then: shown(then.get(key)), now: shown(now.get(key)) })
}

/// A value for one line of text.
fn shown(value: Option<&String>) -> String {
    let Some(value) = value else { return "absent".into() };
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(then: &str, now: &str) -> Option<String> {
        let (then, now) = (leaves("", then).unwrap(), leaves("", now).unwrap());
        first_difference(&then, &now).map(|d| format!("{} {} {}", d.key, d.then, d.now))
    }

    #[test]
    fn the_first_key_that_differs_is_named_with_both_values() {
        assert_eq!(difference(r#"{"a":1}"#, r#"{"a":1}"#), None);
        let differing = difference(r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1,"c":3}}"#);
        assert_eq!(differing.unwrap(), "a.c 2 3");
        assert_eq!(difference(r#"{"a":[1,2]}"#, r#"{"a":[1]}"#).unwrap(), "a[1] 2 absent");
        assert_eq!(difference(r#"{"a":[]}"#, r#"{"a":["x"]}"#).unwrap(), r#"a [] absent"#);
    }

    #[test]
    fn the_length_of_a_run_is_free() {
        let of = |epochs: usize| format!(r#"{{"training":{{"epochs":{epochs},"seed":1}}}}"#);
        assert_eq!(difference(&of(1), &of(20)), None);
    }

    #[test]
    fn what_was_measured_is_free_and_what_sounds_like_it_is_not() {
        let of = |name: &str| format!(r#"{{"provenance":{{"{name}":{{"loss.total":1.5}}}}}}"#);
        let before = r#"{"provenance":{"metrics":{}}}"#;
        assert_eq!(difference(&of("metrics"), before), None);
        assert!(difference(&of("metrics_of_old"), before).is_some());
    }

    #[test]
    fn a_long_value_is_cut() {
        let long = "é".repeat(200);
        let line = shown(Some(&long));
        assert_eq!(line.chars().count(), SHOWN + 3);
    }
}
