//! What a grid remembers of each run: what went into it, whether it is trained, what was measured,
//! and why it failed. Every file is whole or absent, so a grid that was killed anywhere goes on.
//!
//! ```text
//! w-o-paa/seed-0/ingredients.json     what the run is made of
//! w-o-paa/seed-0/run.toml             its description, for `train`
//! w-o-paa/seed-0/checkpoints/         of the run
//! w-o-paa/seed-0/adapter.safetensors  whole, and final once trained.json is there
//! w-o-paa/seed-0/trained.json
//! w-o-paa/seed-0/measured/NAME.json   one for each dataset
//! w-o-paa/seed-0/failed.json          until it succeeds
//! w-o-paa/seed-0/log.txt              everything that was said
//! w-o-paa/seed-0.before-1/            the same of another description, set aside
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use conditions::{Condition, Conditions, Purpose};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AblationError, PlannedRun, plain};
use crate::{LogError, logged_steps};

/// Everything that decides a run. What was made of other inputs is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInputs {
    /// Version of the program.
    pub version: String,
    /// What is measured.
    pub method: String,
    /// The resolved description, as TOML.
    pub description: String,
    /// SHA-256 of the CLIP.
    pub clip: String,
    /// Fingerprint of what is trained on, in order; `None` where nothing is.
    pub auxiliary: Option<String>,
    /// Options of the command line that change results: device, precision, reading of the CLIP.
    pub options: Vec<String>,
    /// What every purpose asks: normalisation, numbers version, JPEG decoder, kernels. Files of older
    /// programs have none of it.
    #[serde(flatten)]
    pub shared: Conditions,
}

impl RunInputs {
    /// All of them as one value.
    pub fn conditions(&self) -> Conditions {
        self.shared
            .clone()
            .with(Condition::Version, &self.version)
            .with(Condition::Method, &self.method)
            .with(Condition::Description, &self.description)
            .with(Condition::Clip, &self.clip)
            .with(Condition::Data, &self.auxiliary)
            .with(Condition::Options, &self.options)
            .of(Purpose::Ablation)
    }
}

/// What was measured on a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Fingerprint of the images, masks, labels and names.
    pub data: String,
    /// AUROC over pixels, as a fraction of 1; `None` where undefined.
    pub pixel_auroc: Option<f64>,
    /// AUROC over images.
    pub image_auroc: Option<f64>,
    /// Everything that was reported.
    pub report: Value,
}

/// Why a run has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done.
    pub stage: String,
    /// One line.
    pub reason: String,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunStatus {
    /// Nothing was done.
    ToDo,
    /// It was made of another description, and will be made again.
    Changed,
    /// Begun, and neither trained nor failed.
    Begun,
    /// Trained, and measured on so many of the datasets.
    Trained {
        /// Datasets that were measured.
        measured: usize,
    },
    /// Measured on every dataset.
    Done,
    /// It failed, and is tried again.
    Failed(Failure),
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

const INPUTS: &str = "ingredients.json";
const TRAINED: &str = "trained.json";
const FAILED: &str = "failed.json";

impl RunFolder {
    /// The folder of `run` below the grid's; nothing is made yet.
    pub fn of(run: &PlannedRun, out: &Path) -> Self {
        Self { path: out.join(&run.folder) }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The description that `train` reads.
    pub fn description(&self) -> PathBuf {
        self.path.join("run.toml")
    }

    /// Where `train` saves the run on its way.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The trained adapters.
    pub fn adapter(&self) -> PathBuf {
        self.path.join("adapter.safetensors")
    }

    /// Everything that was said.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// Makes the folder ready for these inputs. What was made of others is set aside, never
    /// deleted; the place where it now lies is returned.
    ///
    /// # Errors
    /// [`AblationError::File`] when the folder cannot be read or written,
    /// [`AblationError::OtherConditions`] when only build or machine are others: half of a table would be
    /// made by each.
    pub fn begin(&self, inputs: &RunInputs) -> Result<Option<PathBuf>, AblationError> {
        let known: Option<RunInputs> = load(&self.path.join(INPUTS))?;
        if let Some(known) = known {
            match known.conditions().first_difference(&inputs.conditions()).map(Box::new) {
                None => return Ok(None),
                Some(difference) if difference.is_of_build() => {
                    let folder = self.path.clone();
                    return Err(AblationError::OtherConditions { folder, difference });
                }
                Some(_) => {}
            }
        }
        let aside = self.path.exists().then(|| self.aside());
        if let Some(aside) = &aside {
            fs::rename(&self.path, aside).map_err(at(&self.path))?;
        }
        fs::create_dir_all(&self.path).map_err(at(&self.path))?;
        replace(&self.description(), inputs.description.as_bytes())?;
        store(&self.path.join(INPUTS), inputs)?;
        Ok(aside)
    }

    /// Whether the adapters are there and final.
    pub fn is_trained(&self) -> bool {
        self.path.join(TRAINED).exists() && self.adapter().exists()
    }

    /// Remembers that the adapters are final, and what `train` said at its end.
    ///
    /// # Errors
    /// [`AblationError::File`] when it cannot be written.
    pub fn set_trained(&self, said: &Value) -> Result<(), AblationError> {
        store(&self.path.join(TRAINED), said)
    }

    /// Mean cosine between the outputs of two experts, over taps and the steps of the run's last
    /// epoch, as its log has it; `None` before it is trained, and without experts.
    ///
    /// # Errors
    /// [`LogError::Read`] when the log is there and cannot be read.
    pub fn similarity(&self) -> Result<Option<f64>, LogError> {
        if !self.is_trained() {
            return Ok(None);
        }
        let steps = logged_steps(&self.checkpoints().join("log"))?;
        let last = steps.last().map(|step| step.epoch);
        let steps = steps.iter().filter(|step| Some(step.epoch) == last);
        let taps = steps.flat_map(|step| &step.report.taps);
        let cosines: Vec<f64> = taps.filter_map(|tap| tap.similarity).map(f64::from).collect();
        let sum: f64 = cosines.iter().sum();
        Ok((!cosines.is_empty()).then(|| sum / cosines.len() as f64))
    }

    /// What was measured on a dataset, if it was.
    ///
    /// # Errors
    /// [`AblationError::File`] when the file is there and cannot be read.
    pub fn measured(&self, dataset: &str) -> Result<Option<Measured>, AblationError> {
        load(&self.measured_file(dataset))
    }

    /// Remembers what was measured.
    ///
    /// # Errors
    /// [`AblationError::File`] when it cannot be written.
    pub fn set_measured(&self, dataset: &str, measured: &Measured) -> Result<(), AblationError> {
        store(&self.measured_file(dataset), measured)
    }

    /// Why it failed, if that was the last thing that it did.
    ///
    /// # Errors
    /// [`AblationError::File`] when the file is there and cannot be read.
    pub fn failure(&self) -> Result<Option<Failure>, AblationError> {
        load(&self.path.join(FAILED))
    }

    /// Remembers why it failed.
    ///
    /// # Errors
    /// [`AblationError::File`] when it cannot be written.
    pub fn set_failure(&self, failure: &Failure) -> Result<(), AblationError> {
        fs::create_dir_all(&self.path).map_err(at(&self.path))?;
        store(&self.path.join(FAILED), failure)
    }

    /// Forgets a failure: the run is tried again.
    ///
    /// # Errors
    /// [`AblationError::File`] when the file cannot be removed.
    pub fn forget_failure(&self) -> Result<(), AblationError> {
        let file = self.path.join(FAILED);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&file)(error)),
            _ => Ok(()),
        }
    }

    /// How far the run has come, as its description and the names of the datasets tell. What only a
    /// look at CLIP and data would show is not looked at.
    ///
    /// # Errors
    /// [`AblationError::File`] when a file is there and cannot be read.
    pub fn status(
        &self,
        run: &PlannedRun,
        evaluate: &[String],
    ) -> Result<RunStatus, AblationError> {
        let Some(known) = load::<RunInputs>(&self.path.join(INPUTS))? else {
            return Ok(self.failure()?.map_or(RunStatus::ToDo, RunStatus::Failed));
        };
        if known.description != run.experiment.to_toml() || known.method != run.method.word {
            return Ok(RunStatus::Changed);
        }
        if let Some(failure) = self.failure()? {
            return Ok(RunStatus::Failed(failure));
        }
        let there = |dataset: &&String| self.measured_file(dataset).exists();
        match evaluate.iter().filter(there).count() {
            all if all == evaluate.len() => Ok(RunStatus::Done),
            0 if run.method.is_trained && !self.is_trained() => Ok(RunStatus::Begun),
            measured => Ok(RunStatus::Trained { measured }),
        }
    }

    fn measured_file(&self, dataset: &str) -> PathBuf {
        self.path.join("measured").join(format!("{}.json", plain(dataset)))
    }

    /// The first free name for what is set aside.
    fn aside(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut number = 1;
        loop {
            let aside = self.path.with_file_name(format!("{name}.before-{number}"));
            if !aside.exists() {
                return aside;
            }
            number += 1;
        }
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> AblationError {
    move |source| AblationError::File { path: path.into(), source }
}

/// A record, if its file is there. One that cannot be understood is as good as absent: what it says
/// is found out again.
fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, AblationError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn store(path: &Path, record: &impl Serialize) -> Result<(), AblationError> {
    let text = serde_json::to_string_pretty(record).map_err(|e| at(path)(io::Error::other(e)))?;
    replace(path, text.as_bytes())
}

/// Puts a whole file in place of `path`, and makes its folder where it is absent.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), AblationError> {
    let made = fs::create_dir_all(whole_file::parent(path));
    made.and_then(|()| whole_file::write(path, bytes)).map_err(at(path))
}
