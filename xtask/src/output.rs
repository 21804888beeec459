//! What is shown: results as lines for people or as JSON for machines; while work is done a bar with an ETA
//! on a terminal, plain lines elsewhere, and what the library warns of.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use inspect::{Cancellation, Severity, Warning, Watcher, WorkKind};

use crate::interrupt;
use anyhow::Context;
use serde::Serialize;
use std::path::Path;

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

    /// The same below others that are shown.
    fn among(self, bars: &MultiProgress) -> Self {
        let Self { bar, plain } = self;
        let bar = if plain.is_none() { bars.add(bar) } else { bar };
        Self { bar, plain }
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
    /// Work of which nothing is shown.
    hidden: Option<WorkKind>,
    bars: MultiProgress,
    /// Of the work under way; that of an image's tiles is the last, behind that of all images. What is
    /// hidden has none.
    progress: Vec<Option<Progress>>,
}

impl Terminal {
    /// One that shows nothing of a kind of work.
    pub(crate) fn without(hidden: Option<WorkKind>) -> Self {
        Self { hidden, ..Self::default() }
    }
}

impl Watcher for Terminal {
    fn warn(&mut self, warning: Warning) {
        tell(&warning);
    }

    fn begin(&mut self, work: WorkKind, units: usize) {
        let is_part = work == WorkKind::Tiles;
        if !is_part {
            // Work that an error ended is not told of as over.
            self.progress.drain(..).flatten().for_each(|progress| progress.finish());
        }
        let new = if work.is_short() || is_part { Progress::of_short_work } else { Progress::new };
        let is_shown = self.hidden != Some(work);
        self.progress.push(is_shown.then(|| new(work.name(), units).among(&self.bars)));
    }

    fn advance(&mut self, said: String) {
        if let Some(Some(progress)) = self.progress.last_mut() {
            progress.advance(said);
        }
    }

    fn end(&mut self) {
        if let Some(Some(progress)) = self.progress.pop() {
            progress.finish();
        }
    }

    fn report(&mut self, line: &str) {
        // A reader that went away must not end a run.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn cancellation(&self) -> Cancellation {
        interrupt::cancellation()
    }
}

/// Says a warning of the library.
pub(crate) fn tell(warning: &Warning) {
    let severity = warning.severity();
    let warning = crate::program().naming(&warning.to_string());
    match severity {
        Severity::Note => eprintln!("note: {warning}"),
        Severity::Warning => eprintln!("warning: {warning}"),
    }
}

/// Prints one line of JSON. A reader that went away is an error here, where `println!` would panic.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(value)?;
    writeln!(std::io::stdout(), "{line}").context("nobody reads the output")
}

/// Writes JSON as a file that is whole or absent.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    write_whole(path, serde_json::to_string(value)? + "\n")
}

/// Writes a file that is whole or absent.
pub(crate) fn write_whole(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let cannot = || format!("{}: cannot be written; check its folder", path.display());
    whole_file::write(path, content.as_ref()).with_context(cannot)
}
