//! One process of a run: started, listened to, and understood when it fails.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use moeclip_train::Failure;
use serde_json::Value;

use crate::interrupt;

/// How long a process may take to end by itself once Ctrl-C was pressed. Where it was not told, or
/// its step takes longer, it is ended: its checkpoints are whole.
const GRACE: Duration = Duration::from_secs(60);

/// Time between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Lines that are kept to find out why a process failed.
const KEPT: usize = 60;

/// A command of this program to be run.
pub(super) struct Child<'a> {
    /// What it does, for messages.
    pub(super) stage: &'a str,
    pub(super) arguments: Vec<OsString>,
    /// Everything that it says goes there too.
    pub(super) log: PathBuf,
}

/// Why a run did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Ctrl-C; no fault of the run.
    Interrupted,
    Failed(Failure),
}

impl Trouble {
    /// Turns errors of a stage into failures.
    pub(super) fn at(stage: &str) -> impl Fn(anyhow::Error) -> Trouble {
        let stage = stage.to_owned();
        move |error| {
            let (stage, reason) = (stage.clone(), crate::one_line(&error));
            Trouble::Failed(Failure { stage, reason })
        }
    }
}

impl Child<'_> {
    /// Runs it; what it printed last is its result, as JSON. `lock` stays locked as long as it runs.
    pub(super) fn run(self, lock: &File) -> Result<Value, Trouble> {
        let failed = |reason| Trouble::Failed(Failure { stage: self.stage.into(), reason });
        let ended = self.end(lock).map_err(|error| failed(crate::one_line(&error)))?;
        if interrupt::asked() {
            return Err(Trouble::Interrupted);
        }
        if !ended.status.success() {
            return Err(failed(reason(ended.status, &ended.said)));
        }
        serde_json::from_str(&ended.printed).map_err(|_| failed("it printed no result".into()))
    }

    fn end(&self, lock: &File) -> anyhow::Result<Ended> {
        let program = std::env::current_exe().context("this program cannot be found again")?;
        let cannot = || format!("{}: cannot be written", self.log.display());
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let mut log = log.with_context(cannot)?;
        writeln!(log, "== {}", self.stage).with_context(cannot)?;
        let mut child = Command::new(program)
            .args(&self.arguments)
            .stdin(Stdio::from(lock.try_clone().context("the lock cannot be handed on")?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("a process cannot be started")?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let printed = thread::spawn(move || out.map(last_line).unwrap_or_default());
        let said = thread::spawn(move || err.map(|err| pass_on(err, log)).unwrap_or_default());
        let status = wait(&mut child)?;
        let (printed, said) = (printed.join().unwrap_or_default(), said.join().unwrap_or_default());
        Ok(Ended { status, printed, said })
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

fn last_line(out: impl Read) -> String {
    let lines = BufReader::new(out).lines().map_while(Result::ok);
    lines.filter(|line| !line.trim().is_empty()).last().unwrap_or_default()
}

/// Passes every line on to stderr and the log; the last ones are returned.
fn pass_on(err: impl Read, mut log: File) -> Vec<String> {
    let mut kept = Vec::new();
    for line in BufReader::new(err).lines().map_while(Result::ok) {
        // A reader that went away, or a full disk, must not end a run.
        let _ = writeln!(std::io::stderr(), "    {line}");
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
        assert_eq!(last_line("{\"a\":1}\n{\"b\":2}\n\n".as_bytes()), "{\"b\":2}");
        assert_eq!(last_line("".as_bytes()), "");
    }
}
