//! Keeps runs within the limit: in memory while they fit, then in temporary files, few at a time.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::Workspace;
use super::run::{Head, Run, Sink, merge};
use crate::EvalError;

/// Files of one size that are merged into a larger one.
const FAN_IN: usize = 16;
/// Most bytes that a file is read or written through.
const LARGEST_BUFFER: usize = 1 << 20;

/// All runs.
#[derive(Debug)]
pub(super) struct Store {
    workspace: Workspace,
    held: Vec<Run>,
    /// Files by size; each level's are [`FAN_IN`] times as long as the last one's.
    levels: Vec<Vec<Run>>,
}

impl Store {
    pub(super) fn new(workspace: Workspace) -> Self {
        Self { workspace, held: Vec::new(), levels: Vec::new() }
    }

    /// Takes a run in; moves those in memory to a file when they outgrow half of the limit.
    pub(super) fn keep(&mut self, run: Run) -> Result<(), EvalError> {
        self.held.push(run);
        let held: usize = self.held.iter().map(Run::bytes).sum();
        if held <= self.workspace.memory / 2 {
            return Ok(());
        }
        self.spill().map_err(|cause| self.failed(cause))
    }

    /// Reads every bucket of every run, in order.
    pub(super) fn read(&self, sink: &mut impl Sink) -> Result<(), EvalError> {
        let runs = self.held.iter().chain(self.levels.iter().flatten());
        merge(runs, self.buffer(), sink).map_err(|cause| self.failed(cause))
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut run = self.merged(&self.held)?;
        self.held.clear();
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(run);
            if self.levels[level].len() < FAN_IN {
                break;
            }
            run = self.merged(&self.levels[level])?;
            self.levels[level].clear();
        }
        Ok(())
    }

    /// A file with the pixels of all of `runs`.
    fn merged(&self, runs: &[Run]) -> io::Result<Run> {
        let file = tempfile::tempfile_in(&self.workspace.folder)?;
        let mut writer = Writer { file: BufWriter::with_capacity(self.buffer(), file), buckets: 0 };
        merge(runs.iter(), self.buffer(), &mut writer)?;
        let file = writer.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Run::in_file(file, writer.buckets))
    }

    /// Bytes that each file is read through, an eighth of the limit in all while there is one level.
    fn buffer(&self) -> usize {
        (self.workspace.memory / (8 * FAN_IN)).clamp(64, LARGEST_BUFFER)
    }

    fn failed(&self, cause: io::Error) -> EvalError {
        let folder = self.workspace.folder.clone();
        EvalError::Workspace { folder, cause }
    }
}

/// Writes a run to a file.
struct Writer {
    file: BufWriter<File>,
    buckets: usize,
}

impl Writer {
    fn write(&mut self, words: &[u16]) -> io::Result<()> {
        self.file.write_all(bytemuck::cast_slice(words))
    }
}

impl Sink for Writer {
    fn begin(&mut self, head: Head) -> io::Result<()> {
        self.buckets += 1;
        self.write(&head.to_words())
    }

    fn negatives(&mut self, words: &[u16]) -> io::Result<()> {
        self.write(words)
    }

    fn positives(&mut self, words: &[u16]) -> io::Result<()> {
        self.write(words)
    }

    fn end(&mut self) {}
}
