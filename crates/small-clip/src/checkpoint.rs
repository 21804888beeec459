//! A pretraining run on disk: its weights, Adam's moments, the step and the configuration. A run that
//! was ended and taken up again makes the same bytes as one that was not: everything else follows from
//! seed and step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::backend::Autodiff;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::record::AdaptorRecord;
use burn::optim::{AdamState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::weights::Dtype;
use clip_vit::weights::write::{HostTensor, write_safetensors};
use clip_vit::{TensorFile, WeightError};

use crate::learner::PretrainLearner;
use moeclip_train::CheckpointError;
use moeclip_train::shared::{AdamRecord, CheckpointFolder, ContentDigest, ModulePath};

/// What the metadata calls such a checkpoint.
const FORMAT: &str = "moeclip-pretraining";

/// The key of the digest over everything else.
const DIGEST: &str = "sha256";

/// Checkpoints of one run, in a folder that is held until this is dropped.
#[derive(Debug)]
pub struct PretrainCheckpoints {
    folder: CheckpointFolder,
    keep: usize,
}

impl PretrainCheckpoints {
    /// A folder for a run; made where it is absent. The last `keep` are kept.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when the folder cannot be written or another run holds it.
    pub fn open(folder: &Path, keep: usize) -> Result<Self, CheckpointError> {
        Ok(Self { folder: CheckpointFolder::open(folder)?, keep: keep.max(1) })
    }

    /// The newest checkpoint, if there is one.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when the folder cannot be listed.
    pub fn newest(&self) -> Result<Option<PathBuf>, CheckpointError> {
        Ok(self.folder.steps()?.last().map(|step| self.folder.file(*step)))
    }

    /// Saves a checkpoint, then removes those that are too many; returns where it lies.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when it cannot be written (older ones then stay) or an older one cannot be
    /// removed.
    pub fn save<B: Backend>(
        &self,
        learner: &PretrainLearner<B>,
    ) -> Result<PathBuf, CheckpointError> {
        let step = learner.steps();
        let path = self.folder.file(step);
        let failed = |error| CheckpointError::not_saved(&path, error);
        let unfinished = self.folder.unfinished(step).map_err(failed)?;
        write(&unfinished, learner).map_err(failed)?;
        self.folder.adopt(&unfinished, step).map_err(failed)?;
        for old in self.folder.steps()?.iter().rev().skip(self.keep) {
            let file = self.folder.file(*old);
            let gone = std::fs::remove_file(&file);
            gone.map_err(|source| CheckpointError::NotRemoved { file, source })?;
        }
        Ok(path)
    }
}

fn write<B: Backend>(path: &Path, learner: &PretrainLearner<B>) -> Result<(), WeightError> {
    let record = learner.optimizer.to_record();
    let mut reader = Reader {
        record,
        path: ModulePath::default(),
        tensors: BTreeMap::new(),
        updates: BTreeMap::new(),
    };
    learner.pupil.visit(&mut reader);
    let unwritable =
        |error: serde_json::Error| WeightError::Write { file: path.into(), source: error.into() };
    let pairs = [
        ("format", FORMAT.to_owned()),
        ("step", learner.steps().to_string()),
        ("config", serde_json::to_string(learner.config()).map_err(unwritable)?),
        ("updates", serde_json::to_string(&reader.updates).map_err(unwritable)?),
    ];
    let mut metadata: BTreeMap<String, String> =
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    metadata.insert(DIGEST.into(), digest(&metadata, &reader.tensors));
    write_safetensors(path, &reader.tensors, &metadata)
}

fn digest(metadata: &BTreeMap<String, String>, tensors: &BTreeMap<String, HostTensor>) -> String {
    let mut digest = ContentDigest::of(metadata);
    for (name, tensor) in tensors {
        digest.tensor(name, tensor.dtype, &tensor.shape, &tensor.bytes);
    }
    digest.hex()
}

impl<B: Backend> PretrainLearner<B> {
    /// The learner as it stood at a checkpoint. Only `steps` and what follows from it, the learning
    /// rate, may differ in the configuration.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] when the file is damaged or of a run of another configuration.
    pub fn restore(mut self, path: &Path) -> Result<Self, CheckpointError> {
        let broken =
            |reason: &str| CheckpointError::Damaged { file: path.into(), reason: reason.into() };
        let file = TensorFile::open(path).map_err(|error| CheckpointError::damaged(path, error))?;
        let said = |key: &str| file.metadata().get(key).cloned().unwrap_or_default();
        if said("format") != FORMAT {
            return Err(broken("it was written by something else"));
        }
        let tensors = file.host_tensors().map_err(|error| CheckpointError::damaged(path, error))?;
        let mut metadata = file.metadata().clone();
        if metadata.remove(DIGEST) != Some(digest(&metadata, &tensors)) {
            return Err(broken("its bytes have changed since it was written"));
        }
        self.refuse_other(path, &said("config"))?;
        let step = said("step").parse().map_err(|_| broken("its metadata lacks step"))?;
        let updates = serde_json::from_str(&said("updates"))
            .map_err(|error| broken(&format!("its metadata updates is broken: {error}")))?;
        let mut placer = Placer::<B> {
            file: &tensors,
            updates,
            device: self.device.clone(),
            path: ModulePath::default(),
            record: AdamRecord::<B>::default(),
            missing: None,
        };
        self.pupil = self.pupil.map(&mut placer);
        if let Some(name) = placer.missing {
            return Err(broken(&format!("tensor {name} is missing, of another shape or no f32")));
        }
        self.optimizer = self.optimizer.load_record(placer.record);
        self.step = step;
        Ok(self)
    }

    fn refuse_other(&self, path: &Path, then: &str) -> Result<(), CheckpointError> {
        let values = |text: &str| serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text);
        let now = serde_json::to_string(&self.config).unwrap_or_default();
        let (then, now) = (values(then).unwrap_or_default(), values(&now).unwrap_or_default());
        let differs =
            now.iter().find(|(key, value)| *key != "steps" && then.get(*key) != Some(*value));
        let Some((key, value)) = differs else { return Ok(()) };
        Err(CheckpointError::OtherRun {
            file: path.into(),
            key: key.clone(),
            then: then.get(key).map(ToString::to_string).unwrap_or_default(),
            now: value.to_string(),
        })
    }
}

/// The names of a parameter's value and moments.
fn names(parameter: &str) -> [String; 3] {
    ["value", "first", "second"].map(|part| format!("{part}.{parameter}"))
}

struct Reader<B: Backend> {
    record: AdamRecord<B>,
    path: ModulePath,
    tensors: BTreeMap<String, HostTensor>,
    updates: BTreeMap<String, usize>,
}

impl<B: Backend> Reader<B> {
    fn add<I: Backend, const D: usize>(&mut self, name: String, tensor: Tensor<I, D>) {
        if let Some(tensor) = HostTensor::from_data(&tensor.into_data()) {
            self.tensors.insert(name, tensor);
        }
    }
}

impl<B: Backend> ModuleVisitor<Autodiff<B>> for Reader<B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        let parameter = self.path.name();
        let [value, first, second] = names(&parameter);
        self.add(value, param.val());
        let Some(record) = self.record.remove(&param.id) else { return };
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } =
            record.into_state::<D>().momentum;
        self.add(first, moment_1);
        self.add(second, moment_2);
        self.updates.insert(parameter, time);
    }
}

struct Placer<'a, B: Backend> {
    file: &'a BTreeMap<String, HostTensor>,
    updates: BTreeMap<String, usize>,
    device: B::Device,
    path: ModulePath,
    record: AdamRecord<B>,
    /// The first tensor that is not there.
    missing: Option<String>,
}

impl<B: Backend> Placer<'_, B> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Option<Tensor<B, D>> {
        let fits = |tensor: &&HostTensor| tensor.shape == shape && tensor.dtype == Dtype::F32;
        let found = self.file.get(name).filter(fits);
        let Some(found) = found else {
            self.missing.get_or_insert_with(|| name.to_owned());
            return None;
        };
        let values = found.bytes.chunks_exact(4);
        let values =
            values.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        let data = TensorData::new(values.collect::<Vec<f32>>(), shape);
        Some(Tensor::from_data(data, (&self.device, DType::F32)))
    }
}

impl<B: Backend> ModuleMapper<Autodiff<B>> for Placer<'_, B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(
        &mut self,
        param: Param<Tensor<Autodiff<B>, D>>,
    ) -> Param<Tensor<Autodiff<B>, D>> {
        let parameter = self.path.name();
        let [value, first, second] = names(&parameter);
        let shape = param.val().dims();
        let id = param.id;
        if let Some(updates) = self.updates.get(&parameter).copied() {
            let moments = self.tensor(&first, shape).zip(self.tensor(&second, shape));
            if let Some((first, second)) = moments {
                let state = AdamState::new(AdaptiveMomentumState::new(updates, first, second));
                self.record.insert(id, AdaptorRecord::from_state(state));
            }
        }
        match self.tensor(&value, shape) {
            Some(value) => param.map(|_| Tensor::from_inner(value).require_grad()),
            None => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::backend::Flex;

    use super::*;
    use crate::PretrainConfig;

    /// Some thousand weights.
    const TINY: &str = "model = { patch = 8, grid = 4, width = 16, layers = 4, heads = 2, \
        text-width = 16, text-layers = 1, embed = 8 }\npictures = { crops = [3, 4] }";

    #[test]
    fn a_tensor_of_another_type_is_named_whatever_the_digest_says() {
        let folder = tempfile::tempdir().unwrap();
        let config = PretrainConfig::parse(TINY, Path::new("tiny.toml")).unwrap();
        let learner = || PretrainLearner::<Flex>::new(config.clone(), &Default::default()).unwrap();
        let checkpoints = PretrainCheckpoints::open(folder.path(), 1).unwrap();
        let path = checkpoints.save(&learner()).unwrap();
        let file = TensorFile::open(&path).unwrap();
        let (mut tensors, mut metadata) = (file.host_tensors().unwrap(), file.metadata().clone());
        let (name, tensor) = tensors.iter_mut().next().unwrap();
        let name = name.clone();
        tensor.dtype = Dtype::F16;
        tensor.bytes.truncate(tensor.bytes.len() / 2);
        metadata.remove(DIGEST);
        metadata.insert(DIGEST.into(), digest(&metadata, &tensors));
        write_safetensors(&path, &tensors, &metadata).unwrap();
        let error = learner().restore(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("no f32"), "{error}");
    }
}
