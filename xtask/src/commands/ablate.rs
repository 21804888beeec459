//! `ablate`: a grid of runs, each trained and measured in processes of its own, and their table.
//!
//! A process of its own ends with whatever befell it: a run that is out of memory takes no other
//! with it, and a grid that was killed finds on disk what was done.

mod arguments;
mod inputs;
mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use moeclip_train::{Failure, Grid, Ingredients, Measured, Method, PlannedRun, RunFolder};
use serde_json::Value;
use whole_file::{FolderLock, LockError};

use self::inputs::Inputs;
use crate::arguments::{CacheArgs, ClipShapeArgs};
use crate::cli::Common;
use crate::commands::child::{Child, Heard, Trouble};
use crate::interrupt;

/// Train and measure a grid of runs, and print their table beside the paper's.
///
/// Each cell changes a few settings of one description, is trained once with each seed, and measured
/// on every dataset of the grid. What is done and unchanged is skipped, what was stopped goes on
/// where it was, and a run that fails is named while the others go on. The table is written as
/// Markdown, CSV, JSON and SVG.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask ablate configs/ablation-table3.toml --clip clip.safetensors --data-root data"
)]
pub(crate) struct AblateArgs {
    /// The grid, as in configs/ablation-table3.toml
    #[arg(value_name = "TOML")]
    grid: PathBuf,
    /// CLIP checkpoint: open_clip, OpenAI or Hugging Face, or one that convert-openclip wrote
    #[arg(long, value_name = "FILE", required_unless_present_any = ["list", "table"])]
    clip: Option<PathBuf>,
    #[command(flatten)]
    shape: ClipShapeArgs,
    /// Folder that holds the datasets; else MOECLIP_DATA, else data-root in moeclip.toml
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
    /// Folder of the runs and the table; runs/ and the grid's name by default
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change one setting of every cell, as in training.epochs=5; a cell's own changes go over it
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Run this cell only; may stand several times
    #[arg(long, value_name = "NAME")]
    cell: Vec<String>,
    /// Steps between two checkpoints of a run
    #[arg(long, value_name = "STEPS")]
    checkpoint_every: Option<usize>,
    /// Minutes between two checkpoints of a run; 10 where nothing else is said
    #[arg(long, value_name = "MINUTES")]
    checkpoint_minutes: Option<u64>,
    /// Say what is done and what is left, and run nothing
    #[arg(long, conflicts_with = "table")]
    list: bool,
    /// Print the table of what is there, and run nothing
    #[arg(long)]
    table: bool,
}

pub(crate) fn run(args: AblateArgs, common: Common) -> anyhow::Result<()> {
    let grid = Grid::open(&args.grid, &args.set)?;
    let out = args.folder();
    if args.list {
        return table::list(&grid, &out, &common);
    }
    if args.table {
        return table::print(&grid, &out, &common);
    }
    interrupt::listen()?;
    let runs = args.chosen(&grid)?;
    let lock = hold(&out)?;
    let inputs = Inputs::gather(&args, &grid, &runs, &common)?;
    let runner = Runner { args: &args, common: &common, grid: &grid, out: &out, inputs, lock };
    let failed = runner.run_all(&runs)?;
    table::print(&grid, &out, &common)?;
    if interrupt::asked() {
        bail!("interrupted; the same command goes on where this one was");
    }
    if !failed.is_empty() {
        let (count, all) = (failed.len(), runs.len());
        bail!(
            "{count} of {all} runs failed: {}; the same command tries them again",
            failed.join(", ")
        );
    }
    Ok(())
}

impl AblateArgs {
    fn folder(&self) -> PathBuf {
        let stem = self.grid.file_stem().unwrap_or_default();
        self.out.clone().unwrap_or_else(|| Path::new("runs").join(stem))
    }

    /// The runs of the cells that were asked for.
    fn chosen(&self, grid: &Grid) -> anyhow::Result<Vec<PlannedRun>> {
        let names: Vec<&str> = grid.cells.iter().map(|cell| cell.name.as_str()).collect();
        if let Some(unknown) = self.cell.iter().find(|name| !names.contains(&name.as_str())) {
            bail!("--cell {unknown:?}: the grid has no such cell; it has {}", names.join(", "));
        }
        let wanted = |run: &PlannedRun| self.cell.is_empty() || self.cell.contains(&run.cell);
        Ok(grid.runs().into_iter().filter(wanted).collect())
    }
}

/// Holds the folder for this grid. The lock is handed on to every child, so it lasts while any of
/// them is at work, even when this process was killed.
fn hold(out: &Path) -> anyhow::Result<FolderLock> {
    let cannot = || format!("{}: cannot be made or written; choose another --out", out.display());
    match FolderLock::hold(out) {
        Ok(lock) => Ok(lock),
        Err(LockError::Folder { source, .. }) => Err(source).with_context(cannot),
        Err(LockError::Held(_)) => bail!(
            "{}: another ablate, or a run that one left behind, is at work here; wait until it has \
             ended, or choose another --out",
            out.display()
        ),
    }
}

/// Everything that runs need.
struct Runner<'a> {
    args: &'a AblateArgs,
    common: &'a Common,
    grid: &'a Grid,
    out: &'a Path,
    inputs: Inputs,
    lock: FolderLock,
}

impl Runner<'_> {
    /// Every run in turn; the names of those that failed.
    fn run_all(&self, runs: &[PlannedRun]) -> anyhow::Result<Vec<String>> {
        let mut failed = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            if interrupt::asked() {
                break;
            }
            let (start, place) = (Instant::now(), format!("[{}/{}]", index + 1, runs.len()));
            let name = table::named(run);
            let folder = RunFolder::of(run, self.out);
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
            eprintln!("{place} {name}: {ended}");
        }
        Ok(failed)
    }

    /// Whether everything is there. What other ingredients made is set aside first.
    fn is_done(&self, run: &PlannedRun, folder: &RunFolder) -> anyhow::Result<bool> {
        if let Some(aside) = folder.begin(&self.ingredients(run)?)? {
            let (name, aside) = (table::named(run), aside.display());
            eprintln!("note: {name} was made of other settings, data or CLIP; that is now {aside}");
        }
        for dataset in &self.grid.evaluate {
            if !self.is_measured(run, folder, dataset)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn run(&self, run: &PlannedRun, folder: &RunFolder, place: &str) -> Result<(), Trouble> {
        let failed = Trouble::at("preparing");
        folder.forget_failure().map_err(|error| failed(error.into()))?;
        if run.method == Method::Moeclip && !folder.is_trained() {
            eprintln!("{place} {}: training", table::named(run));
            self.train(folder)?;
        }
        let mut first = None;
        for dataset in &self.grid.evaluate {
            if self.is_measured(run, folder, dataset).map_err(&failed)? {
                continue;
            }
            eprintln!("{place} {}: measuring {dataset}", table::named(run));
            // A dataset that cannot be measured does not keep the others from it.
            match self.measure(run, folder, dataset) {
                Err(Trouble::Failed(failure)) => first = first.or(Some(failure)),
                other => other?,
            }
        }
        first.map_or(Ok(()), |failure| Err(Trouble::Failed(failure)))
    }

    fn train(&self, folder: &RunFolder) -> Result<(), Trouble> {
        let stage = "training";
        let arguments = arguments::train(self.args, self.common, folder);
        let said = self.child(stage, arguments, folder)?;
        if said.get("interrupted").and_then(Value::as_bool) == Some(true) {
            let reason = "it was interrupted before its end".to_owned();
            return Err(Trouble::Failed(Failure { stage: stage.into(), reason }));
        }
        folder.set_trained(&said).map_err(|error| Trouble::at(stage)(error.into()))
    }

    fn measure(&self, run: &PlannedRun, folder: &RunFolder, dataset: &str) -> Result<(), Trouble> {
        let stage = format!("measuring {dataset}");
        let arguments = arguments::eval(self.args, self.common, run, folder, dataset);
        let report = self.child(&stage, arguments, folder)?;
        let store = || -> anyhow::Result<()> {
            let data = self.inputs.test_set(dataset, run)?.to_owned();
            Ok(folder.set_measured(dataset, &read_report(data, report)?)?)
        };
        store().map_err(Trouble::at(&stage))
    }

    fn child(
        &self,
        stage: &str,
        arguments: Vec<std::ffi::OsString>,
        folder: &RunFolder,
    ) -> Result<Value, Trouble> {
        let (environment, log, heard) = (Vec::new(), folder.log(), Heard::ByUser);
        Child { stage, arguments, environment, log, heard }.run(&self.lock, |_| ())
    }

    fn is_measured(
        &self,
        run: &PlannedRun,
        folder: &RunFolder,
        dataset: &str,
    ) -> anyhow::Result<bool> {
        let data = self.inputs.test_set(dataset, run)?;
        Ok(folder.measured(dataset)?.is_some_and(|measured| measured.data == data))
    }

    fn ingredients(&self, run: &PlannedRun) -> anyhow::Result<Ingredients> {
        Ok(Ingredients {
            version: env!("CARGO_PKG_VERSION").into(),
            method: run.method,
            description: run.experiment.to_toml(),
            clip: self.inputs.clip.clone(),
            auxiliary: self.inputs.auxiliary(run)?.map(str::to_owned),
            options: arguments::deciding(self.args, self.common),
            shared: self.inputs.shared.clone(),
        })
    }
}

/// The numbers of a table in what `eval` printed: the mean over classes, as published tables are
/// made.
fn read_report(data: String, report: Value) -> anyhow::Result<Measured> {
    let reports = report.get("reports").and_then(Value::as_array);
    let is_paper = |one: &&Value| one.get("protocol").and_then(Value::as_str) == Some("paper");
    let paper = reports.and_then(|reports| reports.iter().find(is_paper));
    let mean = paper.and_then(|paper| paper.get("mean"));
    let mean = mean.context("eval printed no report under the paper's protocol")?;
    let number = |key: &str| mean.get(key).and_then(Value::as_f64);
    let (pixel_auroc, image_auroc) = (number("pixel_auroc"), number("image_auroc"));
    Ok(Measured { data, pixel_auroc, image_auroc, report })
}
