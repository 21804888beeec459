//! The program as people call it, and what it is told by files. One binary: each further one would be
//! linked with all of Burn again.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

mod ablate;
mod bench;
mod calibrate;
mod commands;
mod conditions;
mod copies;
mod datasets;
mod demo;
mod descriptors;
mod inspection;
mod methods;
mod outputs;
mod paper;
mod pretrain;
mod quality;
mod synth;
mod tables;

/// A command of the program in a folder; where datasets lie is not taken from outside.
fn command(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args).current_dir(folder).env_remove("MOECLIP_DATA");
    command
}

/// What became of it.
fn xtask(args: &[&str], folder: &Path) -> Output {
    command(args, folder).output().unwrap()
}

/// The one line that a failing command prints, but for notes.
fn complaint(args: &[&str], folder: &Path) -> String {
    let output = xtask(args, folder);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("note: ")).collect();
    assert_eq!(lines.len(), 1, "{args:?}: {stderr}");
    assert!(lines[0].starts_with("error: "), "{args:?}: {stderr}");
    lines[0].to_owned()
}

/// The one error of a failing command, whatever else it says.
fn error_line(args: &[&str], folder: &Path) -> String {
    let output = xtask(args, folder);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!((output.status.code(), lines.len()), (Some(1), 1), "{args:?}: {stderr}");
    lines[0].to_owned()
}

/// The JSON that a command prints when it goes well.
fn json_of(args: &[&str], folder: &Path) -> Value {
    let output = xtask(args, folder);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}
