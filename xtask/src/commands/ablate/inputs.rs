//! What all runs of a grid share: the CLIP and the data, opened and hashed once, so that a mistake
//! shows before hours of training.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use conditions::Conditions;
use inspect::backends::{Job, run_on};
use inspect::{Dataset, fingerprint, shared_conditions, source_sha256};
use moeclip_data::{PromptNames, Split};
use moeclip_train::{Grid, Method, PlannedRun};

use super::AblateArgs;
use crate::arguments::DataOptions;
use crate::cli::Common;
use crate::progress::Terminal;

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
        args: &AblateArgs,
        grid: &Grid,
        runs: &[PlannedRun],
        common: &Common,
    ) -> anyhow::Result<Self> {
        // Asked of the first run's process again, but a device that is not there is a mistake of the
        // whole grid.
        run_on(common.compute(), Answers)?;
        let clip = args.clip.as_ref().context("--clip FILE is missing")?;
        let clip = args.shape.source(clip.clone()).read()?;
        let shared = shared_conditions(&clip, common.compute().device);
        let mut inputs = Self { clip: source_sha256(&clip), shared, data: BTreeMap::new() };
        for run in runs {
            let auxiliary = run.experiment.data.name.iter();
            let auxiliary = auxiliary.filter(|_| run.method == Method::Moeclip);
            for name in grid.evaluate.iter().chain(auxiliary) {
                inputs.open(name, run, args)?;
            }
            inputs.refuse_same_data(grid, run)?;
        }
        Ok(inputs)
    }

    /// Fingerprint of what a run is trained on, if it is.
    pub(super) fn auxiliary(&self, run: &PlannedRun) -> anyhow::Result<Option<&str>> {
        match (&run.experiment.data.name, run.method) {
            (Some(name), Method::Moeclip) => self.test_set(name, run).map(Some),
            _ => Ok(None),
        }
    }

    /// Fingerprint of a dataset's test split, with the run's names in prompts.
    pub(super) fn test_set(&self, name: &str, run: &PlannedRun) -> anyhow::Result<&str> {
        Ok(&self.data(name, run)?.fingerprint)
    }

    fn data(&self, name: &str, run: &PlannedRun) -> anyhow::Result<&Data> {
        let data = self.data.get(&Key::of(name, run));
        data.with_context(|| format!("{name}: was not opened for {}", run.cell))
    }

    fn open(&mut self, name: &str, run: &PlannedRun, args: &AblateArgs) -> anyhow::Result<()> {
        let key = Key::of(name, run);
        if self.data.contains_key(&key) {
            return Ok(());
        }
        let options = DataOptions {
            data_root: args.data_root.clone(),
            prompt_names: Some(run.experiment.data.prompt_names.into()),
            ..DataOptions::default()
        };
        let dataset = Dataset::open(Path::new(name), &options.request(), &mut Terminal::default())?;
        let fingerprint = fingerprint(
            &dataset,
            &dataset.samples(Split::Test, &mut Terminal::default())?,
            &mut Terminal::default(),
        )?
        .in_order;
        self.data.insert(key, Data { root: dataset.root, fingerprint });
        Ok(())
    }

    /// The names of one dataset are many; its folder is one.
    fn refuse_same_data(&self, grid: &Grid, run: &PlannedRun) -> anyhow::Result<()> {
        let (Some(auxiliary), Method::Moeclip) = (&run.experiment.data.name, run.method) else {
            return Ok(());
        };
        let root = |name: &str| {
            let root = &self.data(name, run)?.root;
            anyhow::Ok(root.canonicalize().unwrap_or_else(|_| root.clone()))
        };
        let trained = root(auxiliary)?;
        for name in &grid.evaluate {
            if root(name)? == trained {
                bail!(
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

/// Work that only proves that the device is there.
struct Answers;

impl Job for Answers {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: burn::tensor::backend::Backend>(self, _device: B::Device) -> anyhow::Result<()> {
        Ok(())
    }
}
