//! Skeleton.
use crate::cli::Common;
/// d
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example: cargo xtask demo")]
pub(crate) struct DemoArgs {}
pub(crate) fn run(_args: DemoArgs, _common: Common) -> anyhow::Result<()> { Ok(()) }
