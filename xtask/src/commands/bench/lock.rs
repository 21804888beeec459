//! One run in a folder at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::interrupt;

/// How long the processes that a killed run left behind may take to notice: they end with the image
/// at hand.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Holds the folder. The lock is handed on to every process, so it lasts while any of them is at
/// work, even when this one was killed.
pub(super) fn hold(out: &Path) -> anyhow::Result<File> {
    let cannot = || format!("{}: cannot be made or written; choose another --out", out.display());
    std::fs::create_dir_all(out).with_context(cannot)?;
    let lock = File::create(out.join(".lock")).with_context(cannot)?;
    let start = Instant::now();
    let mut is_told = false;
    // Where a file system knows no locks, it is up to the user not to run two.
    while let Err(TryLockError::WouldBlock) = lock.try_lock() {
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
    Ok(lock)
}
