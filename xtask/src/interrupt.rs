//! Ctrl-C asks once: the step under way is finished and what was learned is written.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::terminal;

static ASKED: AtomicBool = AtomicBool::new(false);

static LISTENING: AtomicBool = AtomicBool::new(false);

/// From here on the first Ctrl-C is noted; a second one ends the program.
pub(crate) fn listen() -> anyhow::Result<()> {
    if LISTENING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            terminal::restore();
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether it was asked to stop.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
