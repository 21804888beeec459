//! The log of a pretraining run: a line of JSON a step, and at the end a picture of the losses.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::learner::{PretrainMetrics, PretrainValues};
use moeclip_train::LogError;
use moeclip_train::shared::{Curve, drawn};
use moeclip_train::shared::{LoggedStep, replace, steps, write_line, write_plot};

const LINES: &str = "metrics.jsonl";

/// The log of a run.
#[derive(Debug)]
pub struct PretrainLog {
    folder: PathBuf,
    lines: File,
}

impl PretrainLog {
    /// The log of a run that goes on after `step`: later lines are cut off, for they are made again. The
    /// folder is made where it is absent.
    ///
    /// # Errors
    ///
    /// [`LogError`] when the folder cannot be read or written.
    pub fn resume(folder: &Path, step: usize) -> Result<Self, LogError> {
        let failed = |source| LogError::Write { file: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let kept: Vec<PretrainMetrics> = steps(&folder.join(LINES), step)?;
        let lines = replace(folder, LINES, |mut file| {
            kept.iter().try_for_each(|metrics| write_line(&mut file, metrics)).map(|()| file)
        })?;
        Ok(Self { folder: folder.into(), lines })
    }

    /// Adds a step.
    ///
    /// # Errors
    ///
    /// [`LogError::Write`] when the system does not take it.
    pub fn step(&mut self, metrics: &PretrainMetrics) -> Result<(), LogError> {
        write_line(&mut self.lines, metrics).map_err(|source| {
            let file = self.folder.join(LINES);
            LogError::Write { file, source }
        })
    }

    /// Draws the terms of all steps so far; returns where. `None` before the first step.
    ///
    /// # Errors
    ///
    /// [`LogError`] when the picture cannot be drawn or written.
    pub fn plot(&self) -> Result<Option<PathBuf>, LogError> {
        let steps: Vec<PretrainMetrics> = steps(&self.folder.join(LINES), usize::MAX)?;
        let curve = |name, value: fn(&PretrainValues) -> f32| {
            Curve::of(name, &steps, |step| (step.step, value(&step.losses)))
        };
        let curves = [
            curve("total", |losses| losses.total),
            curve("pairs", |losses| losses.pairs),
            curve("state", |losses| losses.state),
            curve("patches", |losses| losses.patches),
            curve("replaced", |losses| losses.replaced),
        ];
        write_plot(&self.folder, drawn(&curves))
    }
}

impl LoggedStep for PretrainMetrics {
    fn step(&self) -> usize {
        self.step
    }
}
