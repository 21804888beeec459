//! The checkpoint of a training of adapters: a file of adapters that also holds Adam's moments, where the
//! run stands and what run it is.
//!
//! Every command that takes adapters takes a checkpoint: the moments go by the names of an
//! optimiser's state, which no reader of adapters looks at.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use clip_vit::{PrefixedSource, TensorFile};
use conditions::{Condition, Conditions};
use moeclip::{MoeClipConfig, Provenance};
use moeclip_data::Augmentation;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CheckpointError, CheckpointFile, CheckpointFormat, CheckpointedRun};
use crate::{
    BestEpoch, ExpertLoads, LossScaling, OptimizerState, Position, RunLength, SavedState,
    TrainConfig,
};

/// How they are told from others.
pub(crate) const FORMAT: CheckpointFormat = CheckpointFormat {
    name: "moeclip-checkpoint",
    version: Some("2"),
    first: "optimizer_state_dict.first.",
    second: "optimizer_state_dict.second.",
};

/// The key of what is known of the best epoch; absent before there is one.
const BEST: &str = "best";

/// What its adapters' names begin with, so that readers of adapters pass over them too.
const BEST_PREFIX: &str = "optimizer_state_dict.best.";

/// A checkpoint that was found whole.
#[derive(Debug)]
pub struct Checkpoint {
    pub(crate) file: CheckpointFile,
    position: Position,
    best: Option<BestEpoch>,
    config: MoeClipConfig,
    loads: ExpertLoads,
    scaling: Option<LossScaling>,
    metrics: Metrics,
    record: RunRecord,
}

impl Checkpoint {
    /// Opens a checkpoint and proves that every byte is as it was written.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] when it is truncated, changed, or something else.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let file = CheckpointFile::open(path, FORMAT)?;
        let record = RunRecord { run: file.text("run")?, provenance: file.text("provenance")? };
        let unread = |error| file.broken(&format!("its metadata provenance is broken: {error}"));
        file.updates()?;
        Ok(Self {
            position: file.json("position")?,
            scaling: file.json("scaling")?,
            metrics: record.metrics().map_err(unread)?,
            best: best(&file)?,
            config: file.json("config")?,
            loads: file.json("loads")?,
            record,
            file,
        })
    }

    /// Whether a file says that it is a checkpoint; only [`Checkpoint::open`] proves it.
    pub fn is_claimed_by(file: &TensorFile) -> bool {
        file.metadata().get("format").is_some_and(|format| format == FORMAT.name)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Where its run stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What was measured up to it, by name.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The adapters by the names of the authors' checkpoints.
    pub(crate) fn weights(&self) -> PrefixedSource<'_> {
        PrefixedSource { file: &self.file.file, prefix: "" }
    }

    /// The epoch that did best on held-out images so far.
    pub(crate) fn best(&self) -> Option<&BestEpoch> {
        self.best.as_ref()
    }

    /// The experts that were left at each tap; `None` for all.
    pub(crate) fn kept_experts(&self) -> Option<&Vec<Vec<usize>>> {
        self.config.kept_experts.as_ref()
    }

    /// What experts were asked since the last look at it.
    pub(crate) fn loads(&self) -> &ExpertLoads {
        &self.loads
    }

    /// How the loss was scaled.
    pub(crate) fn scaling(&self) -> Option<LossScaling> {
        self.scaling
    }
}

impl CheckpointedRun for RunDescription {
    type Checkpoint = Checkpoint;

    fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(path)
    }

    fn step(checkpoint: &Checkpoint) -> usize {
        checkpoint.position.step
    }

    fn require(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        checkpoint.record.require(checkpoint.path(), self)
    }
}

/// What a checkpoint holds but for the moments.
pub(crate) fn saved(state: TrainState, run: &RunDescription) -> serde_json::Result<SavedState> {
    let TrainState { step, weights, scaling, metrics, mut best, loads, kept_experts, .. } = state;
    let best_weights = best.as_mut().map(|best| std::mem::take(&mut best.weights));
    let best_weights = best_weights.into_iter().flatten();
    let RunRecord { run: described, provenance } = run.record(step, &metrics)?;
    let config = MoeClipConfig { kept_experts, ..run.model.clone() };
    let pairs = [
        ("config", serde_json::to_string(&config)?),
        ("position", serde_json::to_string(&run.position(step))?),
        ("scaling", serde_json::to_string(&scaling)?),
        ("loads", serde_json::to_string(&loads)?),
        ("run", described),
        ("provenance", provenance),
    ];
    let best = best.as_ref().map(serde_json::to_string).transpose()?;
    let pairs = pairs.into_iter().chain(best.map(|best| (BEST, best)));
    Ok(SavedState {
        parameters: weights,
        tensors: best_weights.map(|(name, data)| (format!("{BEST_PREFIX}{name}"), data)).collect(),
        metadata: pairs.map(|(key, value)| (key.to_owned(), value)).collect(),
    })
}

/// The best epoch that a file knows of, with its adapters.
fn best(checkpoint: &CheckpointFile) -> Result<Option<BestEpoch>, CheckpointError> {
    let file = &checkpoint.file;
    if !file.metadata().contains_key(BEST) {
        return Ok(None);
    }
    let mut best: BestEpoch = checkpoint.json(BEST)?;
    for name in file.names().filter(|name| name.starts_with(BEST_PREFIX)) {
        let values =
            file.read_f32(name).map_err(|error| CheckpointError::damaged(file.path(), error))?;
        let shape = file.shape(name).unwrap_or_default().to_vec();
        let name = name.trim_start_matches(BEST_PREFIX).to_owned();
        best.weights.insert(name, TensorData::new(values, shape));
    }
    Ok(Some(best))
}

/// Everything that decides a run.
///
/// A run may be resumed with more `training.epochs` than it began with: the steps before its old end
/// are the same, for the learning rate depends on the step alone. Nothing else may change.
///
/// A run that differs in anything the next step depends on would end elsewhere than the one it
/// pretends to continue, so it is refused by the first key that differs.
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
        RunLength::new(self.samples, batch_size, epochs, None).position(step)
    }

    /// What a checkpoint says about its run, after so many steps and with what was measured.
    fn record(&self, step: usize, metrics: &Metrics) -> serde_json::Result<RunRecord> {
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
struct RunRecord {
    run: String,
    provenance: String,
}

impl RunRecord {
    /// What was measured up to the checkpoint.
    fn metrics(&self) -> serde_json::Result<Metrics> {
        Ok(serde_json::from_str::<Provenance>(&self.provenance)?.metrics)
    }

    /// Refuses a run other than the one at hand.
    fn require(&self, file: &Path, run: &RunDescription) -> Result<(), CheckpointError> {
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

/// Everything that the next step depends on besides settings, CLIP and images, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainState {
    /// Steps made.
    pub step: usize,
    /// The adapters by the names of the authors' checkpoints, the frozen `A` included; f32.
    pub weights: BTreeMap<String, TensorData>,
    /// Adam's moments by the path of their parameter in [`moeclip::Adapters`], as in `taps.0.experts.up`;
    /// none for a parameter that never had a gradient.
    pub moments: BTreeMap<String, OptimizerState>,
    /// How the loss is scaled; `None` where it is not.
    pub scaling: Option<LossScaling>,
    /// What was measured, by name, as in `loss/total`: the losses before the last step.
    pub metrics: BTreeMap<String, f32>,
    /// The epoch that did best on held-out images so far.
    pub best: Option<BestEpoch>,
    /// What experts were asked since the last look at it.
    pub loads: ExpertLoads,
    /// The experts that are left at each tap, by the numbers they started with; `None` for all.
    pub kept_experts: Option<Vec<Vec<usize>>>,
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
