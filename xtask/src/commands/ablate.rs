//! `ablate`: a grid of runs, each trained and measured in processes of its own, and their table.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use inspect::{AblateRequest, MethodName, named, write_table};
use moeclip_train::{Grid, PlannedRun, RunFolder, RunStatus};
use serde::Serialize;

use crate::arguments::{CacheArgs, ClipShapeArgs};
use crate::cli::Common;
use crate::interrupt;
use crate::output::{Terminal, print_json};

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
    let grid = Grid::open(&args.grid, &args.set, &MethodName::of_cells())?;
    let stem = args.grid.file_stem().unwrap_or_default();
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(stem));
    if args.list {
        return list(&grid, &out, &common);
    }
    if args.table {
        return print(&grid, &out, &common);
    }
    interrupt::listen()?;
    let runs = args.chosen(&grid)?;
    let clip = args.clip.clone().context("--clip FILE is missing")?;
    let request = AblateRequest {
        runs,
        out,
        clip: args.shape.source(clip),
        data_root: args.data_root,
        cache: args.cache.request(),
        checkpoint_every: args.checkpoint_every,
        checkpoint_minutes: args.checkpoint_minutes,
        compute: common.training(),
        grid,
    };
    let failed = request.run(&super::run_job::launcher()?, &mut Terminal::default())?;
    print(&request.grid, &request.out, &common)?;
    if interrupt::asked() {
        bail!("interrupted; the same command goes on where this one was");
    }
    if !failed.is_empty() {
        let (count, all) = (failed.len(), request.runs.len());
        bail!(
            "{count} of {all} runs failed: {}; the same command tries them again",
            failed.join(", ")
        );
    }
    Ok(())
}

impl AblateArgs {
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

/// Prints how far each run is.
fn list(grid: &Grid, out: &Path, common: &Common) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct ListedRun {
        cell: String,
        seed: Option<u64>,
        folder: String,
        state: String,
    }
    let runs = grid.runs();
    let width = runs.iter().map(|run| named(run).chars().count()).max().unwrap_or(0);
    for run in runs {
        let folder = RunFolder::of(&run, out);
        let state = state(folder.status(&run, &grid.evaluate)?, grid.evaluate.len());
        if common.json {
            let folder = folder.path().display().to_string();
            print_json(&ListedRun { cell: run.cell, seed: run.seed, folder, state })?;
        } else {
            println!("{:<width$}  {state}", named(&run));
        }
    }
    Ok(())
}

/// Writes the table into the grid's folder, and prints it.
fn print(grid: &Grid, out: &Path, common: &Common) -> anyhow::Result<()> {
    let comparison = write_table(grid, out)?;
    if common.json {
        return print_json(&comparison);
    }
    println!("{comparison}");
    eprintln!("note: table.md, table.csv, table.json and table.svg are in {}", out.display());
    Ok(())
}

fn state(status: RunStatus, datasets: usize) -> String {
    match status {
        RunStatus::ToDo => "to do".into(),
        RunStatus::Changed => "changed since it was made; to do again".into(),
        RunStatus::Begun => "begun".into(),
        RunStatus::Trained { measured } => format!("measured on {measured} of {datasets} datasets"),
        RunStatus::Done => "done".into(),
        RunStatus::Failed(failure) => format!("failed: {}: {}", failure.stage, failure.reason),
    }
}
