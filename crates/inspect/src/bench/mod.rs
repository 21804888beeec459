//! Every benchmark of the paper, measured and reported beside the paper's numbers.
//!
//! The work is done in processes of their own, one for each dataset and method: one that is out of
//! memory takes no other with it, a GPU has a process to itself, and each loads only the prompts that
//! its dataset needs. What they say of an image is on disk before the next image, so that whoever was
//! killed goes on there.

mod gather;
mod identity;
mod measure;
mod plan;
mod workers;

use std::path::{Path, PathBuf};

use clip_vit::Precision;
use moeclip_data::PromptNames;
use moeclip_eval::report::{Benchmark, BenchmarkPage, Provenance, Published, StageTime};
use serde::{Deserialize, Serialize};

pub use self::measure::{MeasuredImage, TellImage};
use self::plan::{BenchPlan, PlannedMethod, Reporting};
use self::workers::Worked;
use crate::backends::{Compute, DeviceChoice};
use crate::child::Launcher;
use crate::error::refuse;
use crate::methods::fact;
use crate::{CacheRequest, ClipSource, InspectError, MethodFiles, MethodName, Watcher, published};

/// A benchmark to be run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRequest {
    /// The CLIP.
    pub clip: ClipSource,
    /// What methods are opened from.
    pub files: MethodFiles,
    /// Adapters that VisA is measured with, where the others are trained on it.
    pub adapter_visa: Option<PathBuf>,
    /// Trained weights of further methods.
    #[serde(default)]
    pub further: Vec<FurtherWeights>,
    /// What is measured.
    pub methods: Vec<MethodName>,
    /// Only these datasets; all of the catalogue where none is named.
    pub datasets: Vec<String>,
    /// Folder that holds the datasets.
    pub data_root: Option<PathBuf>,
    /// Words for classes in prompts.
    pub prompt_names: PromptNames,
    /// Where decoded pictures are kept.
    pub cache: CacheRequest,
    /// Leaves the calibration that adapters carry aside.
    pub uncalibrated: bool,
    /// Folder of stored results, tables and report.
    pub out: PathBuf,
    /// Processes at work at the same time, on each device.
    pub workers: usize,
    /// Devices to share the work between, of one kind; at least one.
    pub devices: Vec<DeviceChoice>,
    /// Precision of the frozen CLIP.
    pub precision: Precision,
    /// MiB for the pixels of a class.
    pub pixel_memory: usize,
    /// Folder of what does not fit; else the system's.
    pub pixel_folder: Option<PathBuf>,
}

/// Trained weights of a method beside the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherWeights {
    /// The method.
    pub method: MethodName,
    /// Its weights.
    pub file: PathBuf,
}

/// Where the numbers of a report come from.
#[derive(Debug, Clone, Copy)]
pub enum Results<'a> {
    /// From processes that are started like this, and from what is stored.
    Measured(&'a Launcher),
    /// From what is stored alone.
    Stored,
}

/// A benchmark and what it stands beside, as it was written into its folder.
#[derive(Debug)]
pub struct BenchOutcome {
    /// What was measured; it may not be whole.
    pub benchmark: Benchmark,
    /// The paper's numbers.
    pub published: Published,
}

impl BenchRequest {
    /// Measures what has no result yet, and writes tables and report. `program` is what the page says of
    /// whoever measured.
    ///
    /// # Errors
    /// What does not go together; a CLIP, adapters or a folder that cannot be used; another benchmark at
    /// work in the folder; cancellation. That a dataset cannot be measured is none: it is reported.
    pub fn run(
        &self,
        results: Results<'_>,
        program: &str,
        watch: &mut dyn Watcher,
    ) -> Result<BenchOutcome, InspectError> {
        self.check()?;
        let plan = BenchPlan::make(self, Reporting::Tables, watch)?;
        let lock = workers::hold(&self.out, watch)?;
        let mut worked = Worked::default();
        if let Results::Measured(launcher) = results {
            worked = workers::run(self, &plan, &lock, launcher, watch)?;
        }
        if watch.is_cancelled() {
            return Err(InspectError::cancelled(
                "interrupted; the same command goes on where this one was",
            ));
        }
        let mut gathered = gather::run(self, &plan, &worked.failed, watch)?;
        if worked.images > 0 {
            let Worked { images, seconds, .. } = worked;
            let stage = "this run, on the clock".into();
            gathered.times.push(StageTime { stage, images, seconds });
        }
        let (benchmark, published) = (gathered.benchmark, published()?);
        benchmark.write(&published, &self.out)?;
        let page = BenchmarkPage {
            benchmark: &benchmark,
            published: &published,
            pictures: &gathered.pictures,
            provenance: &self.provenance(&plan, program),
            times: &gathered.times,
        };
        page.write(&self.out)?;
        Ok(BenchOutcome { benchmark, published })
    }

    /// Measures and stores in this process what has no result yet, and makes no tables; `tell` hears of
    /// every image.
    ///
    /// # Errors
    /// As [`run`](Self::run), and a device that fails.
    pub fn measure(
        &self,
        watch: &mut dyn Watcher,
        tell: TellImage<'_>,
    ) -> Result<(), InspectError> {
        self.check()?;
        let plan = BenchPlan::make(self, Reporting::Nothing, watch)?;
        measure::run(self, &plan, watch, tell)
    }

    /// What no parser can know: which options need which.
    fn check(&self) -> Result<(), InspectError> {
        if self.workers == 0 {
            refuse!("--workers 0: must be at least 1");
        }
        let kind = |device: &DeviceChoice| std::mem::discriminant(device);
        if self.devices.iter().any(|device| kind(device) != kind(&self.devices[0])) {
            refuse!(
                "--devices: two kinds of devices do not say the same to the last bit; name one kind"
            );
        }
        let lacks = |method: &&MethodName| {
            method.is_trained() && self.weights_of(**method, &self.files.adapter).is_none()
        };
        match self.methods.iter().find(lacks) {
            None => Ok(()),
            Some(method) if *method == MethodName::default() => refuse!(
                "--adapter FILE is missing; give the adapters, or --methods clip for CLIP as it is"
            ),
            Some(method) => {
                refuse!("the weights of {method} are missing; give --adapter {method}=FILE")
            }
        }
    }

    /// The weights that a method is opened from: `first` are those of the first method.
    pub(crate) fn weights_of(
        &self,
        method: MethodName,
        first: &Option<PathBuf>,
    ) -> Option<PathBuf> {
        if method == MethodName::default() {
            return first.clone();
        }
        let of_method = self.further.iter().find(|further| further.method == method);
        of_method.map(|further| further.file.clone())
    }

    /// Where this process computes.
    fn compute(&self) -> Compute {
        let device = self.devices.first().copied().unwrap_or_default();
        Compute { device, precision: self.precision }
    }

    /// What the numbers of a page depend on, and nothing of the machine that made them: program, command,
    /// weights, and where adapters come from.
    fn provenance(&self, plan: &BenchPlan, program: &str) -> Vec<Provenance> {
        let Compute { device, precision } = self.compute();
        let protocol = "paper: scores and maps normalised over the test images of each class";
        let computed = format!("{device}, frozen CLIP in {precision:?}").to_lowercase();
        let mut facts = vec![
            fact("Program", format!("MoECLIP in Rust {program}")),
            fact("Command", self.command()),
            fact("Protocol", protocol),
            fact("Computed on", computed),
            fact("CLIP, SHA-256", plan.clip.sha256.clone()),
        ];
        for PlannedMethod { choice, usual, auxiliary } in &plan.methods {
            facts.extend(usual.facts(choice.name()));
            let name = format!("{} for VisA", choice.name());
            facts.extend(auxiliary.iter().flat_map(|subject| subject.facts(&name)));
        }
        facts
    }

    /// The command with the names of files in place of their paths.
    fn command(&self) -> String {
        let name =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = format!("cargo xtask bench-14 --clip {}", name(&self.clip.path));
        let files = [
            ("--adapter", &self.files.adapter),
            ("--adapter-visa", &self.adapter_visa),
            ("--config", &self.files.config),
        ];
        for (option, path) in files {
            command.extend(path.iter().map(|path| format!(" {option} {}", name(path))));
        }
        for FurtherWeights { method, file } in &self.further {
            command += &format!(" --adapter {method}={}", name(file));
        }
        let methods: Vec<&str> = self.methods.iter().map(|method| method.word()).collect();
        command += &format!(" --methods {}", methods.join(","));
        if !self.datasets.is_empty() {
            command += &format!(" --datasets {}", self.datasets.join(","));
        }
        command + " --data-root DATA --out OUT"
    }
}
