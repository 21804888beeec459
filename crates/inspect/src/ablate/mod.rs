//! A grid of runs, each trained and measured in processes of its own, and their table.
//!
//! A process of its own ends with whatever befell it: a run that is out of memory takes no other
//! with it, and a grid that was killed finds on disk what was done.

mod inputs;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clip_vit::Activation;
use moeclip_eval::report::{Auroc, Comparison, MethodResults};
use moeclip_train::{Cell, Failure, Grid, Measured, PlannedRun, RunFolder, RunInputs, RunStatus};
use serde_json::Value;
use whole_file::{FolderLock, LockError};

use self::inputs::Inputs;
use crate::backends::Compute;
use crate::child::{Child, ChildJob, ChildLine, Launcher, TrainRequest, Trouble};
use crate::error::{Context, refuse};
use crate::registry::{MethodFiles, MethodName};
use crate::{
    CacheRequest, ClipSource, DataRequest, EvalRequest, InspectError, Measuring, Warning, Watcher,
};

/// A grid to be run.
#[derive(Debug, Clone)]
pub struct AblateRequest {
    /// The cells, read.
    pub grid: Grid,
    /// The runs that are asked for.
    pub runs: Vec<PlannedRun>,
    /// Folder of the runs and the table.
    pub out: PathBuf,
    /// The CLIP.
    pub clip: ClipSource,
    /// Folder that holds the datasets.
    pub data_root: Option<PathBuf>,
    /// Where decoded pictures are kept.
    pub cache: CacheRequest,
    /// Steps between two checkpoints of a run.
    pub checkpoint_every: Option<usize>,
    /// Minutes between two checkpoints of a run.
    pub checkpoint_minutes: Option<u64>,
    /// Where to compute.
    pub compute: Compute,
}

impl AblateRequest {
    /// Trains and measures what is not done; the names of the runs that failed. The watcher is told how far
    /// it is. Cancelled, it ends behind the run at hand.
    ///
    /// # Errors
    /// A folder where another grid is at work; a CLIP or data that cannot be opened; a record that cannot be
    /// written.
    pub fn run(
        &self,
        launcher: &Launcher,
        watch: &mut dyn Watcher,
    ) -> Result<Vec<String>, InspectError> {
        let lock = hold(&self.out)?;
        let inputs = Inputs::gather(self, watch)?;
        Runner { request: self, launcher, inputs, lock, watch }.run_all()
    }

    /// The options that change results, for the record of a run.
    fn deciding(&self) -> Vec<String> {
        let Compute { device, precision } = self.compute;
        let mut options = vec![
            format!("--device={device}"),
            format!("--precision={}", format!("{precision:?}").to_lowercase()),
        ];
        let heads = [("vision", self.clip.vision_heads), ("text", self.clip.text_heads)];
        for (tower, heads) in heads {
            options.extend(heads.map(|heads| format!("--{tower}-heads={heads}")));
        }
        let activation = self.clip.activation.map(|activation| match activation {
            Activation::QuickGelu => "quick-gelu",
            Activation::Gelu => "gelu",
        });
        options.extend(activation.map(|activation| format!("--activation={activation}")));
        options.extend(self.clip.weights.iter().map(|weights| format!("--weights={weights}")));
        options
    }
}

/// Holds the folder for this grid. The lock is handed on to every child, so it lasts while any of
/// them is at work, even when this process was killed.
fn hold(out: &Path) -> Result<FolderLock, InspectError> {
    let cannot = || format!("{}: cannot be made or written; choose another --out", out.display());
    match FolderLock::hold(out) {
        Ok(lock) => Ok(lock),
        Err(LockError::Folder { source, .. }) => Err(source).with_context(cannot),
        Err(LockError::Held(_)) => refuse!(
            "{}: another ablate, or a run that one left behind, is at work here; wait until it has \
             ended, or choose another --out",
            out.display()
        ),
    }
}

/// Everything that runs need.
struct Runner<'a> {
    request: &'a AblateRequest,
    launcher: &'a Launcher,
    inputs: Inputs,
    lock: FolderLock,
    watch: &'a mut dyn Watcher,
}

impl Runner<'_> {
    /// Every run in turn; the names of those that failed.
    fn run_all(&mut self) -> Result<Vec<String>, InspectError> {
        let runs = &self.request.runs;
        let mut failed = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            if self.watch.is_cancelled() {
                break;
            }
            let (start, place) = (Instant::now(), format!("[{}/{}]", index + 1, runs.len()));
            let name = named(run);
            let folder = RunFolder::of(run, &self.request.out);
            let ended = match self.is_done(run, &folder)? {
                true => "is done and unchanged".to_owned(),
                false => match self.run(run, &folder, &place) {
                    Ok(()) => format!("done in {:.0} s", start.elapsed().as_secs_f64()),
                    Err(Trouble::Interrupted) => "interrupted".into(),
                    Err(Trouble::Failed(failure)) => {
                        folder.set_failure(&failure)?;
                        failed.push(name.clone());
                        format!("failed: {}: {}", failure.stage, failure.reason)
                    }
                },
            };
            self.watch.report(&format!("{place} {name}: {ended}"));
        }
        Ok(failed)
    }

    /// Whether everything is there. What other ingredients made is set aside first.
    fn is_done(&mut self, run: &PlannedRun, folder: &RunFolder) -> Result<bool, InspectError> {
        if let Some(aside) = folder.begin(&self.ingredients(run)?)? {
            self.watch.warn(Warning::SetAside { run: named(run), aside });
        }
        for dataset in &self.request.grid.evaluate {
            if !self.is_measured(run, folder, dataset)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn run(&mut self, run: &PlannedRun, folder: &RunFolder, place: &str) -> Result<(), Trouble> {
        let failed = Trouble::at("preparing");
        folder.forget_failure().map_err(|error| failed(error.into()))?;
        if run.method.is_trained && !folder.is_trained() {
            self.watch.report(&format!("{place} {}: training", named(run)));
            self.train(folder)?;
        }
        let mut first = None;
        for dataset in &self.request.grid.evaluate {
            if self.is_measured(run, folder, dataset).map_err(&failed)? {
                continue;
            }
            self.watch.report(&format!("{place} {}: measuring {dataset}", named(run)));
            // A dataset that cannot be measured does not keep the others from it.
            match self.measure(run, folder, dataset) {
                Err(Trouble::Failed(failure)) => first = first.or(Some(failure)),
                other => other?,
            }
        }
        first.map_or(Ok(()), |failure| Err(Trouble::Failed(failure)))
    }

    fn train(&mut self, folder: &RunFolder) -> Result<(), Trouble> {
        let (stage, request) = ("training", self.request);
        let job = TrainRequest {
            clip: request.clip.clone(),
            config: folder.description(),
            out: folder.adapter(),
            checkpoints: folder.checkpoints(),
            checkpoint_every: request.checkpoint_every,
            checkpoint_minutes: request.checkpoint_minutes,
            data_root: request.data_root.clone(),
            cache: request.cache.clone(),
            compute: request.compute,
        };
        let said = self.child(stage, ChildJob::Train(job), folder)?;
        if said.get("interrupted").and_then(Value::as_bool) == Some(true) {
            let reason = "it was interrupted before its end".to_owned();
            return Err(Trouble::Failed(Failure { stage: stage.into(), reason }));
        }
        folder.set_trained(&said).map_err(|error| Trouble::at(stage)(error.into()))
    }

    fn measure(
        &mut self,
        run: &PlannedRun,
        folder: &RunFolder,
        dataset: &str,
    ) -> Result<(), Trouble> {
        let stage = format!("measuring {dataset}");
        let job = self.eval(run, folder, dataset).map_err(Trouble::at(&stage))?;
        let report = self.child(&stage, ChildJob::Eval(job), folder)?;
        let store = || -> Result<(), InspectError> {
            let data = self.inputs.test_set(dataset, run)?.to_owned();
            Ok(folder.set_measured(dataset, &read_report(data, report)?)?)
        };
        store().map_err(Trouble::at(&stage))
    }

    /// What measures a run on one dataset.
    fn eval(
        &self,
        run: &PlannedRun,
        folder: &RunFolder,
        dataset: &str,
    ) -> Result<EvalRequest, InspectError> {
        let (request, method) = (self.request, method_of(run)?);
        let files = match method.is_trained() {
            true => MethodFiles { adapter: Some(folder.adapter()), ..MethodFiles::default() },
            false => MethodFiles { config: Some(folder.description()), ..MethodFiles::default() },
        };
        Ok(EvalRequest {
            clip: request.clip.clone(),
            method,
            files,
            data: dataset.into(),
            options: DataRequest {
                data_root: request.data_root.clone(),
                prompt_names: Some(run.experiment.data.prompt_names),
                ..DataRequest::default()
            },
            cache: request.cache.clone(),
            domain: None,
            uncalibrated: false,
            measuring: Measuring::default(),
            compute: request.compute,
        })
    }

    fn child(&mut self, stage: &str, job: ChildJob, folder: &RunFolder) -> Result<Value, Trouble> {
        let (environment, log) = (Vec::new(), folder.log());
        let (launcher, cancellation) = (self.launcher, self.watch.cancellation());
        let child = Child { stage, launcher, job, environment, log, cancellation };
        child.run(&self.lock, |line| match line {
            ChildLine::Printed(_) => {}
            ChildLine::Said(line) => self.watch.report(&format!("    {line}")),
        })
    }

    fn is_measured(
        &self,
        run: &PlannedRun,
        folder: &RunFolder,
        dataset: &str,
    ) -> Result<bool, InspectError> {
        let data = self.inputs.test_set(dataset, run)?;
        Ok(folder.measured(dataset)?.is_some_and(|measured| measured.data == data))
    }

    fn ingredients(&self, run: &PlannedRun) -> Result<RunInputs, InspectError> {
        Ok(RunInputs {
            version: env!("CARGO_PKG_VERSION").into(),
            method: run.method.word.to_owned(),
            description: run.experiment.to_toml(),
            clip: self.inputs.clip.clone(),
            auxiliary: self.inputs.auxiliary(run)?.map(str::to_owned),
            options: self.request.deciding(),
            shared: self.inputs.shared.clone(),
        })
    }
}

/// The numbers of a table in what `eval` printed: the mean over classes, as published tables are
/// made.
fn read_report(data: String, report: Value) -> Result<Measured, InspectError> {
    let reports = report.get("reports").and_then(Value::as_array);
    let is_paper = |one: &&Value| one.get("protocol").and_then(Value::as_str) == Some("paper");
    let paper = reports.and_then(|reports| reports.iter().find(is_paper));
    let mean = paper.and_then(|paper| paper.get("mean"));
    let mean = mean.context("eval printed no report under the paper's protocol")?;
    let number = |key: &str| mean.get(key).and_then(Value::as_f64);
    let (pixel_auroc, image_auroc) = (number("pixel_auroc"), number("image_auroc"));
    Ok(Measured { data, pixel_auroc, image_auroc, report })
}

/// The registered method that a run is of.
fn method_of(run: &PlannedRun) -> Result<MethodName, InspectError> {
    run.method.word.parse()
}

/// A run as messages name it.
pub fn named(run: &PlannedRun) -> String {
    match run.seed {
        None => run.cell.clone(),
        Some(seed) => format!("{}, seed {seed}", run.cell),
    }
}

/// The table of what was measured so far, written into the grid's folder.
///
/// # Errors
/// A record that cannot be read; a table that cannot be written.
pub fn write_table(grid: &Grid, out: &Path) -> Result<Comparison, InspectError> {
    let methods = grid.cells.iter().map(|cell| results(cell, grid, out));
    let methods = methods.collect::<Result<Vec<_>, InspectError>>()?;
    let comparison = Comparison::new(&grid.title, &grid.evaluate, &methods);
    std::fs::create_dir_all(out).with_context(|| format!("{}: cannot be made", out.display()))?;
    comparison.write(out)?;
    Ok(comparison)
}

/// What was measured of a cell as the grid has it now.
fn results(cell: &Cell, grid: &Grid, out: &Path) -> Result<MethodResults, InspectError> {
    let (mut runs, mut failures, mut similarity) = (Vec::new(), Vec::new(), Vec::new());
    for run in cell.runs(&grid.seeds) {
        let folder = RunFolder::of(&run, out);
        let status = folder.status(&run, &grid.evaluate)?;
        if let RunStatus::Failed(failure) = &status {
            let seed = run.seed.map(|seed| format!("seed {seed}, ")).unwrap_or_default();
            failures.push(format!("{seed}{}: {}", failure.stage, failure.reason));
        }
        let measured = |dataset: &String| {
            let measured = folder.measured(dataset)?.filter(|_| status != RunStatus::Changed);
            Ok::<_, InspectError>(
                measured.map(|m| Auroc { pixel: m.pixel_auroc, image: m.image_auroc }),
            )
        };
        // CLIP has no experts; a run that is not trained yet has them.
        if !cell.method.is_trained || folder.is_trained() && status != RunStatus::Changed {
            similarity.push(folder.similarity()?);
        }
        runs.push(grid.evaluate.iter().map(measured).collect::<Result<Vec<_>, InspectError>>()?);
    }
    let fraction = |percent: Option<f64>| percent.map(|percent| percent / 100.0);
    let published = grid.evaluate.iter().map(|dataset| {
        let published = cell.published.get(dataset)?;
        Some(Auroc { pixel: fraction(published.pixel), image: fraction(published.image) })
    });
    let published = published.collect();
    let (name, published_similarity) = (cell.name.clone(), cell.published_similarity);
    Ok(MethodResults { name, runs, published, similarity, published_similarity, failures })
}
