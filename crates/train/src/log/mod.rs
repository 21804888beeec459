//! What a run leaves to read: every step as a line of JSON, a row of CSV and a TensorBoard event, and
//! at the end a picture of the losses.
//!
//! ```text
//! log/metrics.jsonl              a line a step; the other files are made from it
//! log/metrics.csv                the same as a table
//! log/events.out.tfevents.run    the same for TensorBoard
//! log/loss.svg                   written when the run ends
//! ```
//!
//! A run that is taken up at a checkpoint makes the steps behind it again, so [`RunLog::resume`] cuts
//! the lines off there and writes the other files anew: every step stands in them once.

mod error;
mod events;
mod plot;
mod table;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

pub use error::LogError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use whole_file::WholeFile;

use crate::{Scalar, StepMetrics};
use events::EventLog;
use table::TableLog;

const LINES: &str = "metrics.jsonl";
const TABLE: &str = "metrics.csv";
const EVENTS: &str = "events.out.tfevents.run";
const PLOT: &str = "loss.svg";

/// The log of a run.
#[derive(Debug)]
pub struct RunLog<S: LoggedStep = StepMetrics> {
    folder: PathBuf,
    lines: File,
    table: TableLog<File>,
    events: EventLog<File>,
    steps: PhantomData<S>,
}

impl<S: LoggedStep> RunLog<S> {
    /// The log of a run that starts at step 0, in a folder that is made where it is absent.
    ///
    /// # Errors
    ///
    /// [`LogError`] when the folder cannot be written or holds the log of an earlier run.
    pub fn start(folder: &Path) -> Result<Self, LogError> {
        let lines = folder.join(LINES);
        if lines.exists() {
            return Err(LogError::Occupied { file: lines });
        }
        Self::resume(folder, 0)
    }

    /// The log of a run that goes on after `step`: later steps are cut off, for they are made again.
    ///
    /// # Errors
    ///
    /// [`LogError`] when the folder cannot be read or written.
    pub fn resume(folder: &Path, step: usize) -> Result<Self, LogError> {
        let failed = |source| LogError::Write { file: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let kept: Vec<S> = steps(&folder.join(LINES), step)?;
        let lines = replace(folder, LINES, |mut file| {
            kept.iter().try_for_each(|metrics| write_line(&mut file, metrics)).map(|()| file)
        })?;
        let table = replace(folder, TABLE, |file| {
            let mut table = TableLog::new(file);
            kept.iter().try_for_each(|metrics| table.step(metrics)).map(|()| table)
        })?;
        let events = replace(folder, EVENTS, |file| {
            let mut events = EventLog::new(file)?;
            kept.iter().try_for_each(|metrics| events.step(metrics)).map(|()| events)
        })?;
        Ok(Self { folder: folder.into(), lines, table, events, steps: PhantomData })
    }

    /// Adds a step. What is written survives the end of the process at once.
    ///
    /// # Errors
    ///
    /// [`LogError::Write`] when the system does not take it; the log may then lack the step.
    pub fn step(&mut self, metrics: &S) -> Result<(), LogError> {
        let failed = |name| {
            let file = self.folder.join(name);
            move |source| LogError::Write { file, source }
        };
        write_line(&mut self.lines, metrics).map_err(failed(LINES))?;
        self.table.step(metrics).map_err(failed(TABLE))?;
        self.events.step(metrics).map_err(failed(EVENTS))
    }

    /// Draws the losses of all steps so far; returns where. `None` before the first step.
    ///
    /// # Errors
    ///
    /// [`LogError`] when the picture cannot be drawn or written.
    pub fn plot(&self) -> Result<Option<PathBuf>, LogError> {
        let steps: Vec<S> = steps(&self.folder.join(LINES), usize::MAX)?;
        let file = self.folder.join(PLOT);
        let drawn = plot::losses(&steps);
        let drawn = drawn.map_err(|reason| LogError::Plot { file: file.clone(), reason })?;
        let Some(svg) = drawn else { return Ok(None) };
        replace(&self.folder, PLOT, |mut file| file.write_all(svg.as_bytes()))?;
        Ok(Some(file))
    }
}

/// The steps of the log in a folder, in order; none where there is no log.
///
/// # Errors
///
/// [`LogError::Read`] when the log is there and cannot be read.
pub fn logged_steps(folder: &Path) -> Result<Vec<StepMetrics>, LogError> {
    steps(&folder.join(LINES), usize::MAX)
}

fn write_line(file: &mut impl Write, metrics: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(metrics)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// What a line of a log says.
pub trait LoggedStep: Serialize + DeserializeOwned {
    /// The losses that are drawn, by their names behind `loss/`; the first is what is minimised.
    const LOSSES: &'static [&'static str];

    /// Its number, from 1.
    fn step(&self) -> usize;

    /// The epoch that it belongs to, from 1, where there are epochs.
    fn epoch(&self) -> Option<usize>;

    /// When it ended, in seconds since 1970.
    fn unix_seconds(&self) -> f64;

    /// Every number of the step but its place in the run, always in the same order.
    fn scalars(&self) -> Vec<Scalar>;
}

impl LoggedStep for StepMetrics {
    const LOSSES: &'static [&'static str] = &["total", "focal", "dice", "image"];

    fn step(&self) -> usize {
        self.report.step
    }

    fn epoch(&self) -> Option<usize> {
        Some(self.epoch)
    }

    fn unix_seconds(&self) -> f64 {
        self.unix_seconds
    }

    fn scalars(&self) -> Vec<Scalar> {
        self.scalars()
    }
}

/// The steps of a log up to one, each once, in order. A line that was never finished is none.
fn steps<T: LoggedStep>(file: &Path, last: usize) -> Result<Vec<T>, LogError> {
    let failed = |source| LogError::Read { file: file.into(), source };
    let opened = match File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let mut steps: Vec<T> = Vec::new();
    for line in BufReader::new(opened).split(b'\n') {
        let line = line.map_err(failed)?;
        let Ok(logged) = serde_json::from_slice::<T>(&line) else { continue };
        let before = steps.last().map_or(0, T::step);
        if (before + 1..=last).contains(&logged.step()) {
            steps.push(logged);
        }
    }
    Ok(steps)
}

/// Writes a file beside its place, then gives it its name; what `write` returns may go on writing.
fn replace<T>(
    folder: &Path,
    name: &str,
    write: impl FnOnce(File) -> std::io::Result<T>,
) -> Result<T, LogError> {
    let file = folder.join(name);
    let failed = |source| LogError::Write { file: file.clone(), source };
    let unfinished = WholeFile::create(&file).map_err(failed)?;
    let written = unfinished.handle().and_then(write).map_err(failed)?;
    unfinished.commit_unsynced().map_err(failed)?;
    Ok(written)
}

#[cfg(test)]
mod tests;
