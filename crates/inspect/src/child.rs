//! Work in processes of their own: what each is told, listened to, and understood when it fails. Grids and
//! benchmarks are made of them.
//!
//! A process is told one JSON value, a [`ChildJob`]. What it prints last is its result.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use moeclip_train::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use whole_file::FolderLock;

use crate::backends::Compute;
use crate::bench::BenchRequest;
use crate::error::Context;
use crate::{CacheRequest, Cancellation, ClipSource, EvalRequest, InspectError};

/// How long a process may take to end by itself once it is cancelled. Where it was not told, or its step
/// takes longer, it is ended: its checkpoints are whole.
const GRACE: Duration = Duration::from_secs(60);

/// Time between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Lines that are kept to find out why a process failed.
const KEPT: usize = 60;

/// What a process is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChildJob {
    /// Train adapters, from wherever it was left.
    Train(TrainRequest),
    /// Measure a method on a dataset.
    Eval(EvalRequest),
    /// Measure a part of a benchmark, and make no tables.
    Bench(BenchRequest),
}

/// Adapters to be trained by a description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainRequest {
    /// The CLIP.
    pub clip: ClipSource,
    /// The description.
    pub config: PathBuf,
    /// The adapters to write.
    pub out: PathBuf,
    /// Folder of checkpoints, from which it goes on.
    pub checkpoints: PathBuf,
    /// Steps between two of them.
    pub checkpoint_every: Option<usize>,
    /// Minutes between two of them.
    pub checkpoint_minutes: Option<u64>,
    /// Folder that holds the datasets.
    pub data_root: Option<PathBuf>,
    /// Where decoded pictures are kept.
    pub cache: CacheRequest,
    /// Where to compute.
    pub compute: Compute,
}

/// How a process is started that does a [`ChildJob`].
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// What stands before the job's JSON on its command line.
    pub arguments: Vec<OsString>,
}

/// A process to be run.
pub(crate) struct Child<'a> {
    /// What it does, for messages.
    pub(crate) stage: &'a str,
    pub(crate) launcher: &'a Launcher,
    pub(crate) job: ChildJob,
    /// Variables that are set for it, besides those of this process.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Everything that it says goes there.
    pub(crate) log: PathBuf,
    pub(crate) cancellation: Cancellation,
}

/// A line that a process wrote.
pub(crate) enum ChildLine<'a> {
    /// On stdout: a result.
    Printed(&'a str),
    /// On stderr.
    Said(&'a str),
}

/// Why a run did not come to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It was cancelled; no fault of the run.
    Interrupted,
    Failed(Failure),
}

impl Trouble {
    /// Turns errors of a stage into failures.
    pub(crate) fn at(stage: &str) -> impl Fn(InspectError) -> Trouble {
        let stage = stage.to_owned();
        move |error| Trouble::Failed(Failure { stage: stage.clone(), reason: error.one_line() })
    }
}

impl Child<'_> {
    /// Runs it; what it printed last is its result, as JSON. `hear` is given each line that it writes.
    /// `lock` stays locked as long as it runs.
    pub(crate) fn run(
        self,
        lock: &FolderLock,
        hear: impl FnMut(ChildLine<'_>),
    ) -> Result<Value, Trouble> {
        let failed = |reason| Trouble::Failed(Failure { stage: self.stage.into(), reason });
        let ended = self.end(lock, hear).map_err(Trouble::at(self.stage))?;
        if self.cancellation.is_asked() {
            return Err(Trouble::Interrupted);
        }
        if !ended.status.success() {
            return Err(failed(reason(ended.status, &ended.heard.said)));
        }
        let printed = serde_json::from_str(&ended.heard.printed);
        printed.map_err(|_| failed("it printed no result".into()))
    }

    fn end(
        &self,
        lock: &FolderLock,
        hear: impl FnMut(ChildLine<'_>),
    ) -> Result<Ended, InspectError> {
        let cannot = || format!("{}: cannot be written", self.log.display());
        let mut log = whole_file::append(&self.log).with_context(cannot)?;
        writeln!(log, "== {}", self.stage).with_context(cannot)?;
        let mut child = self.start(lock)?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            let (sender, lines) = channel();
            let (printed, said) = (sender.clone(), sender);
            scope.spawn(move || out.map(|out| pass_on(out, Written::Printed, &printed)));
            scope.spawn(move || err.map(|err| pass_on(err, Written::Said, &said)));
            let mut heard = Heard { log, printed: String::new(), said: Vec::new(), hear };
            let mut asked_at = None;
            loop {
                match lines.recv_timeout(LOOK_EVERY) {
                    Ok(line) => heard.take(line),
                    Err(RecvTimeoutError::Timeout) => {}
                    // Both ends are closed: it ends, or has ended.
                    Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
                }
                if let Some(status) = child.try_wait().context("a process cannot be waited for")? {
                    lines.iter().for_each(|line| heard.take(line));
                    let Heard { printed, said, .. } = heard;
                    return Ok(Ended { status, heard: LastLines { printed, said } });
                }
                if self.cancellation.is_asked() {
                    let asked_at = asked_at.get_or_insert_with(Instant::now);
                    if asked_at.elapsed() > GRACE {
                        child.kill().context("a process cannot be ended")?;
                    }
                }
            }
        })
    }

    fn start(&self, lock: &FolderLock) -> Result<std::process::Child, InspectError> {
        Command::new(&self.launcher.program)
            .args(&self.launcher.arguments)
            .arg(serde_json::to_string(&self.job)?)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(lock.share().context("the lock cannot be handed on")?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("a process cannot be started")
    }
}

/// A process that is over.
struct Ended {
    status: ExitStatus,
    heard: LastLines,
}

/// What a process wrote last.
struct LastLines {
    /// Its last line on stdout.
    printed: String,
    /// Its last lines on stderr.
    said: Vec<String>,
}

/// A line on its way from the thread that reads it.
enum Written {
    Printed(String),
    Said(String),
}

/// Sends every line with something in it.
fn pass_on(from: impl Read, written: fn(String) -> Written, to: &Sender<Written>) {
    // The one who listens outlives the reader.
    let lines = BufReader::new(from).lines().map_while(Result::ok);
    lines.for_each(|line| _ = to.send(written(line)));
}

/// Takes what a process writes: to its log, to who listens, and what is kept.
struct Heard<H> {
    log: File,
    printed: String,
    said: Vec<String>,
    hear: H,
}

impl<H: FnMut(ChildLine<'_>)> Heard<H> {
    fn take(&mut self, line: Written) {
        match line {
            Written::Printed(line) if line.trim().is_empty() => {}
            Written::Printed(line) => {
                (self.hear)(ChildLine::Printed(&line));
                self.printed = line;
            }
            Written::Said(line) => {
                (self.hear)(ChildLine::Said(&line));
                // A full disk must not end a run.
                let _ = writeln!(self.log, "{line}");
                if self.said.len() == KEPT {
                    self.said.remove(0);
                }
                self.said.push(line);
            }
        }
    }
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
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::hold(folder.path()).unwrap();
        let launcher = Launcher {
            program: "sh".into(),
            arguments: ["-c", "echo note >&2; echo '{\"a\":1}'; echo '{\"b\":2}'; echo"]
                .map(Into::into)
                .into(),
        };
        let child = |job: ChildJob| Child {
            stage: "trying",
            launcher: &launcher,
            job,
            environment: Vec::new(),
            log: folder.path().join("log.txt"),
            cancellation: Cancellation::default(),
        };
        let job = ChildJob::Train(TrainRequest {
            clip: ClipSource::default(),
            config: "run.toml".into(),
            out: "a.safetensors".into(),
            checkpoints: "checkpoints".into(),
            checkpoint_every: None,
            checkpoint_minutes: None,
            data_root: None,
            cache: CacheRequest::default(),
            compute: Compute { device: "flex".parse().unwrap(), precision: Default::default() },
        });
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<ChildJob>(&text).unwrap(), job);
        let mut lines = Vec::new();
        let result = child(job).run(&lock, |line| match line {
            ChildLine::Printed(line) | ChildLine::Said(line) => lines.push(line.to_owned()),
        });
        assert_eq!(result.unwrap()["b"], 2);
        lines.sort();
        assert_eq!(lines, ["note", "{\"a\":1}", "{\"b\":2}"]);
        let log = std::fs::read_to_string(folder.path().join("log.txt")).unwrap();
        assert_eq!(log, "== trying\nnote\n");
    }
}
