//! Ctrl-C asks once: the step under way is finished and what was learned is written.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use inspect::Cancellation;

use crate::terminal;

static ASKED: LazyLock<Cancellation> = LazyLock::new(Cancellation::default);

static LISTENING: AtomicBool = AtomicBool::new(false);

/// From here on the first Ctrl-C is noted; a second one ends the program.
pub(crate) fn listen() -> anyhow::Result<()> {
    if LISTENING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if ASKED.is_asked() {
            terminal::restore();
            std::process::exit(130);
        }
        ASKED.ask();
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether it was asked to stop.
pub(crate) fn asked() -> bool {
    ASKED.is_asked()
}

/// What Ctrl-C asks.
pub(crate) fn cancellation() -> Cancellation {
    ASKED.clone()
}
