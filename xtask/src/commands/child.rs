//! A command of this program in a process of its own: started, listened to, and understood when it
//! fails. Grids and benchmarks are made of them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use moeclip_train::Failure;
use serde_json::Value;
use whole_file::FolderLock;

use crate::interrupt;

/// How long a process may take to end by itself once Ctrl-C was pressed. Where it was not told, or
/// its step takes longer, it is ended: its checkpoints are whole.
const GRACE: Duration = Duration::from_secs(60);

/// Time between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Lines that are kept to find out why a process failed.
const KEPT: usize = 60;

/// A command of this program to be run.
pub(crate) struct Child<'a> {
    /// What it does, for messages.
    pub(crate) stage: &'a str,
    pub(crate) arguments: Vec<OsString>,
    /// Variables that are set for it, besides those of this process.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Everything that it says goes there.
    pub(crate) log: PathBuf,
    /// Who else hears it.
    pub(crate) heard: Heard,
}

/// Who hears what a process says on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The user, line by line.
    ByUser,
    /// Nobody: several processes would talk at once.
    InLogOnly,
}

/// Why a run did not come to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Ctrl-C; no fault of the run.
    Interrupted,
    Failed(Failure),
}

impl Trouble {
    /// Turns errors of a stage into failures.
    pub(crate) fn at(stage: &str) -> impl Fn(anyhow::Error) -> Trouble {
        let stage = stage.to_owned();
        move |error| {
            let (stage, reason) = (stage.clone(), crate::one_line(&error));
            Trouble::Failed(Failure { stage, reason })
        }
    }
}

impl Child<'_> {
    /// Runs it; what it printed last is its result, as JSON. Each line that it prints goes to `take`.
    /// `lock` stays locked as long as it runs.
    pub(crate) fn run(
        self,
        lock: &FolderLock,
        take: impl FnMut(&str) + Send,
    ) -> Result<Value, Trouble> {
        let failed = |reason| Trouble::Failed(Failure { stage: self.stage.into(), reason });
        let ended = self.end(lock, take).map_err(|error| failed(crate::one_line(&error)))?;
        if interrupt::asked() {
            return Err(Trouble::Interrupted);
        }
        if !ended.status.success() {
            return Err(failed(reason(ended.status, &ended.said)));
        }
        serde_json::from_str(&ended.printed).map_err(|_| failed("it printed no result".into()))
    }

    fn end(&self, lock: &FolderLock, take: impl FnMut(&str) + Send) -> anyhow::Result<Ended> {
        let program = std::env::current_exe().context("this program cannot be found again")?;
        let cannot = || format!("{}: cannot be written", self.log.display());
        let mut log = whole_file::append(&self.log).with_context(cannot)?;
        writeln!(log, "== {}", self.stage).with_context(cannot)?;
        let mut child = Command::new(program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(lock.share().context("the lock cannot be handed on")?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("a process cannot be started")?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let heard = self.heard;
        thread::scope(|scope| {
            let printed = scope.spawn(|| out.map(|out| last_line(out, take)).unwrap_or_default());
            let said = scope.spawn(|| err.map(|err| pass_on(err, log, heard)).unwrap_or_default());
            let status = wait(&mut child)?;
            let (printed, said) =
                (printed.join().unwrap_or_default(), said.join().unwrap_or_default());
            Ok(Ended { status, printed, said })
        })
    }
}

/// A process that is over.
struct Ended {
    status: ExitStatus,
    /// Its last line on stdout.
    printed: String,
    /// Its last lines on stderr.
    said: Vec<String>,
}

fn wait(child: &mut std::process::Child) -> anyhow::Result<ExitStatus> {
    let mut asked_at = None;
    loop {
        if let Some(status) = child.try_wait().context("a process cannot be waited for")? {
            return Ok(status);
        }
        if interrupt::asked() {
            let asked_at = asked_at.get_or_insert_with(Instant::now);
            if asked_at.elapsed() > GRACE {
                child.kill().context("a process cannot be ended")?;
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Hands every line on; the last one with something in it is returned.
fn last_line(out: impl Read, mut take: impl FnMut(&str)) -> String {
    let lines = BufReader::new(out).lines().map_while(Result::ok);
    let lines = lines.filter(|line| !line.trim().is_empty());
    lines.inspect(|line| take(line)).last().unwrap_or_default()
}

/// Passes every line on to the log and to who else hears it; the last ones are returned.
fn pass_on(err: impl Read, mut log: File, heard: Heard) -> Vec<String> {
    let mut kept = Vec::new();
    for line in BufReader::new(err).lines().map_while(Result::ok) {
        // A reader that went away, or a full disk, must not end a run.
        if heard == Heard::ByUser {
            let _ = writeln!(std::io::stderr(), "    {line}");
        }
        let _ = writeln!(log, "{line}");
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(line);
    }
    kept
}

/// Why a process failed, in one line.
fn reason(status: ExitStatus, said: &[String]) -> String {
    if let Some(signal) = signal(status) {
        return signal;
    }
    if let Some(error) = said.iter().rev().find_map(|line| line.strip_prefix("error: ")) {
        return error.to_owned();
    }
    if let Some(at) = said.iter().rposition(|line| line.contains("panicked at")) {
        // The message stands in the line below the place.
        return format!("panicked: {}", said.get(at + 1).unwrap_or(&said[at]).trim());
    }
    format!("ended with {status}; its log says more")
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    status.signal().map(|signal| match signal {
        9 => "killed (signal 9); the system may have been out of memory".to_owned(),
        other => format!("killed by signal {other}"),
    })
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<String> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn why(status: i32, said: &[&str]) -> String {
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        reason(ExitStatus::from_raw(status), &said)
    }

    #[test]
    fn a_failure_is_one_line_whatever_ended_it() {
        assert!(why(9, &["training 3/20"]).contains("out of memory"));
        assert_eq!(why(11, &[]), "killed by signal 11");
        assert_eq!(
            why(1 << 8, &["note: x", "error: taps = [99] must be", "bye"]),
            "taps = [99] must be"
        );
        let panic =
            ["thread 'main' panicked at x.rs:3:1:", "index out of bounds", "note: run with"];
        assert_eq!(why(101 << 8, &panic), "panicked: index out of bounds");
        assert!(why(3 << 8, &["nothing of use"]).contains("its log says more"));
    }

    #[test]
    fn the_last_line_with_something_in_it_is_the_result() {
        let mut lines = 0;
        let last = last_line("{\"a\":1}\n{\"b\":2}\n\n".as_bytes(), |_| lines += 1);
        assert_eq!((last.as_str(), lines), ("{\"b\":2}", 2));
        assert_eq!(last_line("".as_bytes(), |_| ()), "");
    }
}
