//! One run in a folder at a time.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use whole_file::{FolderLock, LockError};

use crate::interrupt;

/// How long the processes that a killed run left behind may take to notice: they end with the image
/// at hand.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Holds the folder. The lock is handed on to every process, so it lasts while any of them is at
/// work, even when this one was killed.
pub(super) fn hold(out: &Path) -> anyhow::Result<FolderLock> {
    let cannot = || format!("{}: cannot be made or written; choose another --out", out.display());
    let start = Instant::now();
    let mut is_told = false;
    loop {
        match FolderLock::hold(out) {
            Err(LockError::Held(_)) => {}
            Err(LockError::Folder { source, .. }) => return Err(source).with_context(cannot),
            Ok(lock) => return Ok(lock),
        }
        if start.elapsed() > PATIENCE || interrupt::asked() {
            bail!(
                "{}: another bench-14 is at work here; wait, or choose another --out",
                out.display()
            );
        }
        if !std::mem::replace(&mut is_told, true) {
            eprintln!("note: waiting for another bench-14, or what a killed one left, to end");
        }
        sleep(LOOK_EVERY);
    }
}
