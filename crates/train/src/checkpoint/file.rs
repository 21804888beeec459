//! One checkpoint on disk: a file of adapters that also holds Adam's moments, where the run stands
//! and what run it is.
//!
//! Every command that takes adapters takes a checkpoint: the moments go by the names of an
//! optimiser's state, which no reader of adapters looks at.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::weights::write::{HostTensor, write_safetensors};
use clip_vit::{PrefixedSource, TensorFile, WeightError};
use moeclip::MoeClipConfig;
use serde::de::DeserializeOwned;

use super::CheckpointError;
use super::description::{Metrics, RunDescription, RunRecord};
use super::digest::ContentDigest;
use crate::{BestEpoch, ExpertLoads, LossScaling, Position, TrainState};

/// What the metadata calls a checkpoint.
const FORMAT: &str = "moeclip-checkpoint";

/// Version of the layout.
const VERSION: &str = "2";

/// The key of the digest over everything else.
const DIGEST: &str = "sha256";

/// The key of what is known of the best epoch; absent before there is one.
const BEST: &str = "best";

/// What its adapters' names begin with, so that readers of adapters pass over them too.
const BEST_PREFIX: &str = "optimizer_state_dict.best.";

/// Which of Adam's two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Mean gradient.
    First,
    /// Mean squared gradient.
    Second,
}

impl Moment {
    fn tensor(self, parameter: &str) -> String {
        let moment = match self {
            Self::First => "first",
            Self::Second => "second",
        };
        format!("optimizer_state_dict.{moment}.{parameter}")
    }
}

/// A checkpoint that was found whole.
#[derive(Debug)]
pub struct Checkpoint {
    file: TensorFile,
    position: Position,
    updates: BTreeMap<String, usize>,
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
        let file = TensorFile::open(path).map_err(|error| CheckpointError::damaged(path, error))?;
        let said = |key: &str| file.metadata().get(key).map(String::as_str);
        if said("format") != Some(FORMAT) || said("version") != Some(VERSION) {
            return Err(broken(path, "it was written by something else or another version"));
        }
        if said(DIGEST)
            != Some(&digest(&file).map_err(|error| CheckpointError::damaged(path, error))?)
        {
            return Err(broken(path, "its bytes have changed since it was written"));
        }
        let record = RunRecord { run: text(&file, "run")?, provenance: text(&file, "provenance")? };
        let unread = |error| broken(path, &format!("its metadata provenance is broken: {error}"));
        Ok(Self {
            position: metadata(&file, "position")?,
            updates: metadata(&file, "updates")?,
            scaling: metadata(&file, "scaling")?,
            metrics: record.metrics().map_err(unread)?,
            best: best(&file)?,
            config: metadata(&file, "config")?,
            loads: metadata(&file, "loads")?,
            record,
            file,
        })
    }

    /// Whether a file says that it is a checkpoint; only [`Checkpoint::open`] proves it.
    pub fn is_claimed_by(file: &TensorFile) -> bool {
        file.metadata().get("format").is_some_and(|format| format == FORMAT)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Where its run stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Refuses a run other than the one it is of.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::OtherRun`] naming the first key that differs.
    pub fn require(&self, run: &RunDescription) -> Result<(), CheckpointError> {
        self.record.require(self.path(), run)
    }

    /// The adapters by the names of the authors' checkpoints.
    pub(crate) fn weights(&self) -> PrefixedSource<'_> {
        PrefixedSource { file: &self.file, prefix: "" }
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

    /// How often Adam has moved each parameter, by its path in the adapters.
    pub(crate) fn updates(&self) -> &BTreeMap<String, usize> {
        &self.updates
    }

    /// How the loss was scaled.
    pub(crate) fn scaling(&self) -> Option<LossScaling> {
        self.scaling
    }

    /// What was measured up to it, by name.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A moment of a parameter; bits are kept, infinite values included.
    pub(crate) fn moment<B: Backend, const D: usize>(
        &self,
        moment: Moment,
        parameter: &str,
        shape: [usize; D],
        device: &B::Device,
    ) -> Result<Tensor<B, D>, CheckpointError> {
        let name = moment.tensor(parameter);
        let values = self
            .file
            .read_f32(&name)
            .map_err(|error| CheckpointError::damaged(self.path(), error))?;
        let found = self.file.shape(&name).unwrap_or_default();
        if found != shape {
            let reason = format!("tensor {name} is {found:?}, {shape:?} needed");
            return Err(broken(self.path(), &reason));
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), (device, DType::F32)))
    }
}

/// Writes a checkpoint; the same state of the same run gives the same bytes.
pub(super) fn write(
    path: &Path,
    state: &TrainState,
    run: &RunDescription,
) -> Result<(), WeightError> {
    let tensors = tensors(path, state)?;
    let mut metadata = described(state, run).map_err(|error| WeightError::Unwritable {
        file: path.into(),
        tensor: "metadata".into(),
        reason: error.to_string(),
    })?;
    let mut digest = ContentDigest::of(&metadata);
    for (name, tensor) in &tensors {
        digest.tensor(name, tensor.dtype, &tensor.shape, &tensor.bytes);
    }
    metadata.insert(DIGEST.into(), digest.hex());
    write_safetensors(path, &tensors, &metadata)
}

fn tensors(path: &Path, state: &TrainState) -> Result<BTreeMap<String, HostTensor>, WeightError> {
    let weights = state.weights.iter().map(|(name, data)| (name.clone(), data));
    let moments = state.moments.iter().flat_map(|(parameter, moments)| {
        [
            (Moment::First.tensor(parameter), &moments.first),
            (Moment::Second.tensor(parameter), &moments.second),
        ]
    });
    let best = state.best.iter().flat_map(|best| &best.weights);
    let best = best.map(|(name, data)| (format!("{BEST_PREFIX}{name}"), data));
    let host = |(name, data): (String, &TensorData)| match HostTensor::from_data(data) {
        Some(tensor) => Ok((name, tensor)),
        None => Err(WeightError::Unwritable {
            file: path.into(),
            tensor: name,
            reason: format!("its type is {:?}", data.dtype),
        }),
    };
    weights.chain(moments).chain(best).map(host).collect()
}

fn described(
    state: &TrainState,
    run: &RunDescription,
) -> serde_json::Result<BTreeMap<String, String>> {
    let updates: BTreeMap<&String, usize> =
        state.moments.iter().map(|(parameter, moments)| (parameter, moments.updates)).collect();
    let RunRecord { run: described, provenance } = run.record(state.step, &state.metrics)?;
    let config = MoeClipConfig { kept_experts: state.kept_experts.clone(), ..run.model.clone() };
    let pairs = [
        ("format", FORMAT.to_owned()),
        ("version", VERSION.to_owned()),
        ("config", serde_json::to_string(&config)?),
        ("position", serde_json::to_string(&run.position(state.step))?),
        ("updates", serde_json::to_string(&updates)?),
        ("scaling", serde_json::to_string(&state.scaling)?),
        ("loads", serde_json::to_string(&state.loads)?),
        ("run", described),
        ("provenance", provenance),
    ];
    let best = state.best.as_ref().map(serde_json::to_string).transpose()?;
    let pairs = pairs.into_iter().chain(best.map(|best| (BEST, best)));
    Ok(pairs.map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The best epoch that a file knows of, with its adapters.
fn best(file: &TensorFile) -> Result<Option<BestEpoch>, CheckpointError> {
    if !file.metadata().contains_key(BEST) {
        return Ok(None);
    }
    let mut best: BestEpoch = metadata(file, BEST)?;
    for name in file.names().filter(|name| name.starts_with(BEST_PREFIX)) {
        let values =
            file.read_f32(name).map_err(|error| CheckpointError::damaged(file.path(), error))?;
        let shape = file.shape(name).unwrap_or_default().to_vec();
        let name = name.trim_start_matches(BEST_PREFIX).to_owned();
        best.weights.insert(name, TensorData::new(values, shape));
    }
    Ok(Some(best))
}

/// The digest over a file's tensors and metadata, but for the digest itself.
fn digest(file: &TensorFile) -> Result<String, WeightError> {
    let mut metadata = file.metadata().clone();
    metadata.remove(DIGEST);
    let mut digest = ContentDigest::of(&metadata);
    for name in file.names() {
        if let Some((dtype, shape)) = file.dtype(name).zip(file.shape(name)) {
            digest.tensor(name, dtype, shape, &file.stored(name)?);
        }
    }
    Ok(digest.hex())
}

fn text(file: &TensorFile, key: &str) -> Result<String, CheckpointError> {
    let missing = || broken(file.path(), &format!("its metadata lacks {key}"));
    file.metadata().get(key).cloned().ok_or_else(missing)
}

fn metadata<T: DeserializeOwned>(file: &TensorFile, key: &str) -> Result<T, CheckpointError> {
    serde_json::from_str(&text(file, key)?)
        .map_err(|error| broken(file.path(), &format!("its metadata {key} is broken: {error}")))
}

fn broken(file: &Path, reason: &str) -> CheckpointError {
    CheckpointError::Damaged { file: file.into(), reason: reason.into() }
}
