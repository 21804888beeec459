//! Numbers in order, however many: sorted in memory as many at once as may be, the rest in temporary
//! files that are read side by side.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, Write};
use std::path::PathBuf;

use crate::EvalError;

/// Bytes that each file is read through.
const BUFFER: usize = 1 << 18;

/// Collects numbers.
#[derive(Debug)]
pub(super) struct Sorted {
    at_once: usize,
    folder: PathBuf,
    held: Vec<u64>,
    /// Sorted, each.
    files: Vec<File>,
}

impl Sorted {
    /// Without a number yet.
    pub(super) fn new(at_once: usize, folder: PathBuf) -> Self {
        Self { at_once, folder, held: Vec::new(), files: Vec::new() }
    }

    pub(super) fn push(&mut self, number: u64) -> Result<(), EvalError> {
        if self.held.len() >= self.at_once {
            self.spill().map_err(|cause| self.failed(cause))?;
        }
        self.held.push(number);
        Ok(())
    }

    /// Gives every number to `take`, from the lowest up.
    pub(super) fn read(&mut self, take: impl FnMut(u64)) -> Result<(), EvalError> {
        self.held.sort_unstable();
        if self.files.is_empty() {
            self.held.iter().copied().for_each(take);
            return Ok(());
        }
        self.merge(take).map_err(|cause| self.failed(cause))
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        let mut file = tempfile::tempfile_in(&self.folder)?;
        file.write_all(bytemuck::cast_slice(&self.held))?;
        self.held.clear();
        self.files.push(file);
        Ok(())
    }

    fn merge(&self, mut take: impl FnMut(u64)) -> io::Result<()> {
        let mut sources: Vec<Box<dyn Read + '_>> = Vec::with_capacity(self.files.len() + 1);
        for mut file in &self.files {
            file.rewind()?;
            sources.push(Box::new(BufReader::with_capacity(BUFFER, file)));
        }
        sources.push(Box::new(bytemuck::cast_slice::<u64, u8>(&self.held)));
        let mut heads = BinaryHeap::with_capacity(sources.len());
        for (index, source) in sources.iter_mut().enumerate() {
            heads.extend(next(source)?.map(|number| Reverse((number, index))));
        }
        while let Some(Reverse((number, index))) = heads.pop() {
            take(number);
            heads.extend(next(&mut sources[index])?.map(|number| Reverse((number, index))));
        }
        Ok(())
    }

    fn failed(&self, cause: io::Error) -> EvalError {
        EvalError::Workspace { folder: self.folder.clone(), cause }
    }
}

/// The next number of a source; `None` at its end.
fn next(source: &mut impl Read) -> io::Result<Option<u64>> {
    let mut bytes = [0; size_of::<u64>()];
    match source.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u64::from_ne_bytes(bytes))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
