//! What a run shows while it lasts, and the log that it leaves.

use std::fmt::Display;
use std::io::{IsTerminal, stdin, stdout};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use moeclip_train::{RunLength, RunLog, StepMetrics};

use crate::cli::Common;
use crate::dashboard::Dashboard;
use crate::output::Progress;
use crate::system::cores;

/// Cores that must be there before the dashboard takes one by itself.
const DASHBOARD_CORES: usize = 4;

/// What is shown of a run, and what is left of it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Progress")]
pub(crate) struct DisplayArgs {
    /// Folder for the log: metrics.jsonl, metrics.csv, TensorBoard events and loss.svg; `log` in the
    /// folder of --checkpoints where nothing is said
    #[arg(long, value_name = "DIR")]
    pub(crate) log: Option<PathBuf>,
    /// What to show: a dashboard, a bar or plain lines, or what fits the terminal
    #[arg(long, value_enum, default_value_t = ProgressChoice::Auto)]
    pub(crate) progress: ProgressChoice,
}

/// What can be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressChoice {
    /// The dashboard on a terminal with four cores or more: it keeps one busy
    #[default]
    Auto,
    /// burn-train's dashboard; q and s end the run
    Dashboard,
    /// A bar on a terminal, lines elsewhere
    Plain,
}

/// A run as it is shown.
pub(super) enum RunDisplay {
    Dashboard(Box<DashboardDisplay>),
    Plain(Progress),
}

/// A dashboard, and what must not be written over it.
pub(super) struct DashboardDisplay {
    dashboard: Dashboard,
    notes: Vec<String>,
}

impl DisplayArgs {
    /// The folder of the log, if one is kept.
    pub(super) fn folder(&self, checkpoints: Option<&Path>) -> Option<PathBuf> {
        self.log.clone().or_else(|| checkpoints.map(|folder| folder.join("log")))
    }

    /// The log of a run that goes on after `step`.
    pub(super) fn open_log(
        &self,
        checkpoints: Option<&Path>,
        resume: bool,
        step: usize,
    ) -> anyhow::Result<Option<RunLog>> {
        let Some(folder) = self.folder(checkpoints) else { return Ok(None) };
        let log = if resume { RunLog::resume(&folder, step)? } else { RunLog::start(&folder)? };
        Ok(Some(log))
    }

    /// Begins to show a run that goes on after `step`.
    pub(super) fn show(&self, extent: RunLength, step: usize, common: &Common) -> RunDisplay {
        let terminal = stdout().is_terminal() && stdin().is_terminal() && !common.json;
        let dashboard = match self.progress {
            ProgressChoice::Auto => terminal && cores() >= DASHBOARD_CORES,
            ProgressChoice::Dashboard => terminal,
            ProgressChoice::Plain => false,
        };
        if !dashboard {
            let left = extent.steps.saturating_sub(step);
            return RunDisplay::Plain(Progress::new("training", left));
        }
        let dashboard = Dashboard::open(extent, step);
        RunDisplay::Dashboard(Box::new(DashboardDisplay { dashboard, notes: Vec::new() }))
    }
}

impl RunDisplay {
    /// Shows a step.
    pub(super) fn step(&mut self, metrics: &StepMetrics) {
        match self {
            Self::Dashboard(shown) => shown.dashboard.step(metrics),
            Self::Plain(progress) => progress.advance(line(metrics)),
        }
    }

    /// Says what went wrong without ending the run.
    pub(super) fn warn(&mut self, warning: impl Display) {
        match self {
            Self::Dashboard(shown) => shown.notes.push(format!("warning: {warning}")),
            Self::Plain(_) => eprintln!("warning: {warning}"),
        }
    }

    /// Whether its user asked to end the run there.
    pub(super) fn asked_to_stop(&self) -> bool {
        match self {
            Self::Dashboard(shown) => shown.dashboard.asked_to_stop(),
            Self::Plain(_) => false,
        }
    }

    /// Gives the terminal back and says what had to wait.
    pub(super) fn finish(self) {
        match self {
            Self::Dashboard(shown) => {
                let DashboardDisplay { dashboard, notes } = *shown;
                drop(dashboard);
                notes.iter().for_each(|note| eprintln!("{note}"));
            }
            Self::Plain(progress) => progress.finish(),
        }
    }
}

fn line(metrics: &StepMetrics) -> String {
    let (epoch, loss) = (metrics.epoch, metrics.report.losses.total);
    let shown = format!("epoch {epoch}  loss {loss:.3}  {:.2} images/s", metrics.images_per_second);
    match &metrics.held_out {
        None => shown,
        Some(held_out) => format!("{shown}  held out {:.3}", held_out.losses.detection()),
    }
}
