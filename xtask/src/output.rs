//! Lines for people, JSON for machines.

use serde::Serialize;

/// Prints one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
