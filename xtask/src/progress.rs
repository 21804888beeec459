//! A bar with an ETA on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use inspect::{Cancellation, Severity, Warning, Watcher, WorkKind};

use crate::interrupt;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress on stderr, so that stdout stays for results.
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: Option<PlainLines>,
}

struct PlainLines {
    what: &'static str,
    start: Instant,
    last: Option<Instant>,
    always_last: bool,
}

impl Progress {
    /// Progress of `total` units of `what`.
    pub(crate) fn new(what: &'static str, total: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            let plain = PlainLines { what, start: Instant::now(), last: None, always_last: true };
            let bar = ProgressBar::hidden();
            bar.set_length(total as u64);
            return Self { bar, plain: Some(plain) };
        }
        let bar = ProgressBar::new(total as u64);
        let template = "{prefix} {bar:30} {pos}/{len}  {elapsed} passed, {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        Self { bar, plain: None }
    }

    /// The same for work that is mostly over at once: no plain line before it has lasted.
    pub(crate) fn of_short_work(what: &'static str, total: usize) -> Self {
        let mut progress = Self::new(what, total);
        if let Some(plain) = &mut progress.plain {
            plain.last = Some(plain.start);
            plain.always_last = false;
        }
        progress
    }

    /// One unit is done.
    pub(crate) fn advance(&mut self, message: String) {
        self.bar.inc(1);
        match &mut self.plain {
            None => self.bar.set_message(message),
            Some(plain) => plain.print(self.bar.position(), self.bar.length(), &message),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl PlainLines {
    fn print(&mut self, done: u64, total: Option<u64>, message: &str) {
        let total = total.unwrap_or(done);
        let due = self.last.is_none_or(|last| last.elapsed() >= LINE_EVERY)
            || (self.always_last && done == total);
        if !due {
            return;
        }
        self.last = Some(Instant::now());
        let per_unit = self.start.elapsed().as_secs_f64() / done.max(1) as f64;
        let left = per_unit * total.saturating_sub(done) as f64;
        eprintln!("{} {done}/{total}, {left:.0} s left  {message}", self.what);
    }
}

/// What the library tells, on stderr; Ctrl-C ends its work.
#[derive(Default)]
pub(crate) struct Terminal {
    /// Of the work under way.
    progress: Option<Progress>,
}

impl Watcher for Terminal {
    fn warn(&mut self, warning: Warning) {
        tell(&warning);
    }

    fn begin(&mut self, work: WorkKind, units: usize) {
        let new = if work.is_short() { Progress::of_short_work } else { Progress::new };
        self.progress = Some(new(work.name(), units));
    }

    fn advance(&mut self, said: String) {
        self.progress.iter_mut().for_each(|progress| progress.advance(said.clone()));
    }

    fn end(&mut self) {
        self.progress.take().iter().for_each(Progress::finish);
    }

    fn cancellation(&self) -> Cancellation {
        interrupt::cancellation()
    }
}

/// Says a warning of the library.
pub(crate) fn tell(warning: &Warning) {
    match warning.severity() {
        Severity::Note => eprintln!("note: {warning}"),
        Severity::Warning => eprintln!("warning: {warning}"),
    }
}
