//! The paper's numbers, compiled in: what tables put beside ours.

use anyhow::Context;
use moeclip_eval::report::Published;

const NUMBERS: &str = include_str!("../../../docs/paper.toml");

/// Every number of the paper's tables.
pub(crate) fn published() -> anyhow::Result<Published> {
    toml::from_str(NUMBERS).context("docs/paper.toml")
}
