//! The checkpoint of a training of adapters: a file of adapters that also holds Adam's moments, where the
//! run stands and what run it is.
//!
//! Every command that takes adapters takes a checkpoint: the moments go by the names of an
//! optimiser's state, which no reader of adapters looks at.

use std::path::Path;

use burn::tensor::TensorData;
use clip_vit::{PrefixedSource, TensorFile};
use moeclip::MoeClipConfig;

use super::description::{Metrics, RunDescription, RunRecord};
use super::{CheckpointError, CheckpointFile, CheckpointFormat, CheckpointedRun};
use crate::{BestEpoch, ExpertLoads, LossScaling, Position, SavedState, TrainState};

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
