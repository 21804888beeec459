//! Ctrl-C asks once: the step under way is finished and what was learned is written. The terminal is usable
//! after it, and lets Ctrl-C through under the dashboard.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use inspect::Cancellation;

#[cfg(unix)]
pub(crate) use self::unix::{let_ctrl_c_through, remember, restore};

#[cfg(not(unix))]
pub(crate) use self::others::{let_ctrl_c_through, remember, restore};

static ASKED: LazyLock<Cancellation> = LazyLock::new(Cancellation::default);

static LISTENING: AtomicBool = AtomicBool::new(false);

/// From here on the first Ctrl-C is noted; a second one ends the program.
pub(crate) fn listen() -> anyhow::Result<()> {
    if LISTENING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if ASKED.is_asked() {
            restore();
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

#[cfg(unix)]
mod unix {
    //! Terminals with termios.

    use std::io::{Write, stdin, stdout};
    use std::sync::Mutex;
    use std::thread::sleep;
    use std::time::Duration;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// Leaves the dashboard's screen and shows the cursor.
    const OWN_SCREEN: &[u8] = b"\x1b[?1049l\x1b[?25h";

    /// The settings before the dashboard took the terminal.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    /// Notes the settings as they are.
    pub(crate) fn remember() {
        if let Ok(mut before) = BEFORE.lock() {
            *before = tcgetattr(stdin()).ok();
        }
    }

    /// Waits a moment for the dashboard's raw mode, and takes out of it that Ctrl-C is a key like any.
    pub(crate) fn let_ctrl_c_through() {
        for _ in 0..100 {
            match tcgetattr(stdin()) {
                Ok(mut modes) if !modes.local_modes.contains(LocalModes::ISIG) => {
                    modes.local_modes.insert(LocalModes::ISIG);
                    // Where it cannot be set, q and s end the run.
                    tcsetattr(stdin(), OptionalActions::Now, &modes).ok();
                    return;
                }
                Ok(_) => sleep(Duration::from_millis(10)),
                Err(_) => return,
            }
        }
    }

    /// Gives the terminal back at once, for an end without clearing up.
    pub(crate) fn restore() {
        let Ok(before) = BEFORE.lock() else { return };
        if let Some(before) = before.as_ref() {
            tcsetattr(stdin(), OptionalActions::Now, before).ok();
            stdout().write_all(OWN_SCREEN).ok();
            stdout().flush().ok();
        }
    }
}

#[cfg(not(unix))]
mod others {
    //! Terminals whose settings are left alone.

    pub(crate) fn remember() {}

    pub(crate) fn let_ctrl_c_through() {}

    pub(crate) fn restore() {}
}
