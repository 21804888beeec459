//! Lines for people, JSON for machines.

use std::io::Write;

use anyhow::Context;
use serde::Serialize;

/// Prints one line of JSON. A reader that went away is an error here, where `println!` would panic.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(value)?;
    writeln!(std::io::stdout(), "{line}").context("nobody reads the output")
}
