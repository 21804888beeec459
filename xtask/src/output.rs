//! Lines for people, JSON for machines.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

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
