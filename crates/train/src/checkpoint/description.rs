//! What a checkpoint belongs to. A run that differs in anything the next step depends on would end
//! elsewhere than the one it pretends to continue, so it is refused by the first key that differs.

use std::collections::BTreeMap;
use std::path::Path;

use conditions::{Condition, Conditions};
use moeclip::{MoeClipConfig, Provenance};
use moeclip_data::Augmentation;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CheckpointError;
use crate::{Extent, Position, TrainConfig};

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
    /// What every purpose asks: normalisation, numbers version, JPEG decoder, kernels. Checkpoints of
    /// older programs have none of it.
    #[serde(flatten)]
    pub shared: Conditions,
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
        let now =
            run.record(0, &Metrics::new()).and_then(|now| now.conditions()).map_err(broken)?;
        let then = self.conditions().map_err(broken)?;
        match then.first_difference(&now).map(Box::new) {
            None => Ok(()),
            Some(difference) => Err(CheckpointError::OtherRun { file: file.into(), difference }),
        }
    }

    /// Both texts as one value. Those of two runs are read the same way, so equal texts give equal numbers.
    fn conditions(&self) -> serde_json::Result<Conditions> {
        let provenance: Value = serde_json::from_str(&self.provenance)?;
        let run: Conditions = serde_json::from_str(&self.run)?;
        Ok(run.with(Condition::Provenance, &provenance))
    }
}

#[cfg(test)]
mod tests {
    use conditions::Purpose;

    use super::*;

    #[test]
    fn its_conditions_are_all_of_the_table() {
        let run = RunDescription {
            training: TrainConfig::default(),
            model: MoeClipConfig::default(),
            augmentation: Augmentation::default(),
            backend: "flex".into(),
            precision: "F32".into(),
            data: "nine pictures".into(),
            samples: 9,
            shared: Conditions::here("flex").with(Condition::Normalisation, &"plain"),
            provenance: Provenance::default(),
        };
        let conditions = run.record(0, &Metrics::new()).unwrap().conditions().unwrap();
        assert_eq!(conditions.missing(Purpose::Training), []);
        assert_eq!(conditions.clone().of(Purpose::Training), conditions);
    }
}
