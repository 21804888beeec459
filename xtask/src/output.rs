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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // A temporary file is its owner's alone; this one becomes an ordinary file, as open as the umask
    // allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).with_context(cannot)?;
    file.write_all(content.as_ref()).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}
