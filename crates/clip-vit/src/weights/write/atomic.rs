//! All or nothing: a file is written under a temporary name in its own folder, then renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::weights::WeightError;

/// Replaces `path` by what `fill` writes; on any error `path` stays as it was.
pub(super) fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), WeightError>,
) -> Result<(), WeightError> {
    let failed = |source| WeightError::write(path, source);
    if path.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = temporary(folder).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 20, temporary.as_file_mut());
    fill(&mut writer)?;
    writer.flush().map_err(failed)?;
    drop(writer);
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder);
    Ok(())
}

/// A temporary file with the permissions of an ordinary one.
fn temporary(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".weights-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Makes the new name last, where a system can; the content is safe already.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
}
