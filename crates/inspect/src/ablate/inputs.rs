//! What all runs of a grid share: the CLIP and the data, opened and hashed once, so that a mistake
//! shows before hours of training.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use conditions::Conditions;
use moeclip_data::{PromptNames, Split};
use moeclip_train::{Grid, PlannedRun};

use super::AblateRequest;
use crate::backends::require;
use crate::error::{Context, refuse};
use crate::{
    DataRequest, Dataset, InspectError, Watcher, fingerprint, shared_conditions, source_sha256,
};

/// The CLIP and the data.
pub(super) struct Inputs {
    /// SHA-256 of the CLIP.
    pub(super) clip: String,
    /// What every run of the grid shares.
    pub(super) shared: Conditions,
    data: BTreeMap<Key, Data>,
}

/// A dataset as a run names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    release_names: bool,
}

struct Data {
    root: PathBuf,
    fingerprint: String,
}

impl Inputs {
    /// Opens and hashes everything that the runs will need.
    pub(super) fn gather(
        request: &AblateRequest,
        watch: &mut dyn Watcher,
    ) -> Result<Self, InspectError> {
        // Asked of the first run's process again, but a device that is not there is a mistake of the
        // whole grid.
        require(request.compute)?;
        let (grid, clip) = (&request.grid, request.clip.open(watch)?);
        let shared = shared_conditions(&clip, request.compute.device);
        let mut inputs = Self { clip: source_sha256(&clip), shared, data: BTreeMap::new() };
        for run in &request.runs {
            let auxiliary = run.experiment.data.name.iter();
            let auxiliary = auxiliary.filter(|_| run.method.is_trained);
            for name in grid.evaluate.iter().chain(auxiliary) {
                inputs.open(name, run, request, watch)?;
            }
            inputs.refuse_same_data(grid, run)?;
        }
        Ok(inputs)
    }

    /// Fingerprint of what a run is trained on, if it is.
    pub(super) fn auxiliary(&self, run: &PlannedRun) -> Result<Option<&str>, InspectError> {
        match (&run.experiment.data.name, run.method.is_trained) {
            (Some(name), true) => self.test_set(name, run).map(Some),
            _ => Ok(None),
        }
    }

    /// Fingerprint of a dataset's test split, with the run's names in prompts.
    pub(super) fn test_set(&self, name: &str, run: &PlannedRun) -> Result<&str, InspectError> {
        Ok(&self.data(name, run)?.fingerprint)
    }

    fn data(&self, name: &str, run: &PlannedRun) -> Result<&Data, InspectError> {
        let data = self.data.get(&Key::of(name, run));
        data.with_context(|| format!("{name}: was not opened for {}", run.cell))
    }

    fn open(
        &mut self,
        name: &str,
        run: &PlannedRun,
        request: &AblateRequest,
        watch: &mut dyn Watcher,
    ) -> Result<(), InspectError> {
        let key = Key::of(name, run);
        if self.data.contains_key(&key) {
            return Ok(());
        }
        let options = DataRequest {
            data_root: request.data_root.clone(),
            prompt_names: Some(run.experiment.data.prompt_names),
            ..DataRequest::default()
        };
        let dataset = Dataset::open(Path::new(name), &options, watch)?;
        let samples = dataset.samples(Split::Test, watch)?;
        let fingerprint = fingerprint(&dataset, &samples, watch)?.in_order;
        self.data.insert(key, Data { root: dataset.root, fingerprint });
        Ok(())
    }

    /// The names of one dataset are many; its folder is one.
    fn refuse_same_data(&self, grid: &Grid, run: &PlannedRun) -> Result<(), InspectError> {
        let (Some(auxiliary), true) = (&run.experiment.data.name, run.method.is_trained) else {
            return Ok(());
        };
        let root = |name: &str| {
            let root = &self.data(name, run)?.root;
            Ok::<_, InspectError>(root.canonicalize().unwrap_or_else(|_| root.clone()))
        };
        let trained = root(auxiliary)?;
        for name in &grid.evaluate {
            if root(name)? == trained {
                refuse!(
                    "cell {:?}: {name} is the dataset {auxiliary} that it is trained on; take it out \
                     of evaluate, or train on another",
                    run.cell
                );
            }
        }
        Ok(())
    }
}

impl Key {
    fn of(name: &str, run: &PlannedRun) -> Self {
        let release_names = run.experiment.data.prompt_names == PromptNames::Release;
        Self { name: name.into(), release_names }
    }
}
