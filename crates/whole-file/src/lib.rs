//! Files that are whole or absent, files that grow, and locks on folders: one owner, so that all of
//! them follow the umask and none is half there after a crash.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

/// The file of a [`FolderLock`].
pub const LOCK: &str = ".lock";

/// How the names of unfinished files begin.
pub const UNFINISHED: &str = ".tmp";

/// Replaces `path` by `bytes`, for good. On any error `path` stays as it was.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Opens a file to add to its end; it is made where it is absent.
pub fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Gives a synced file its name, for good.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to);
    Ok(())
}

/// Where a system cannot sync folders, a name lasts as well as the system makes it.
fn sync_folder_of(path: &Path) {
    if let Ok(folder) = File::open(parent(path)) {
        folder.sync_all().ok();
    }
}

/// Finds out whether files can be made in a folder, and leaves nothing.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// The folder that a path lies in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A buffered file that has its name only once it is committed; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct WholeFile {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl WholeFile {
    /// An empty file beside `path`, as open as the umask allows; an error where `path` is a folder.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut builder = Builder::new();
        builder.prefix(UNFINISHED);
        // A temporary file is its owner's alone; this one becomes an ordinary file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = BufWriter::with_capacity(1 << 16, builder.tempfile_in(parent(path))?);
        Ok(Self { file, path: path.into() })
    }

    /// A second handle to the file, past the buffer; it stays open behind the commit.
    pub fn handle(&self) -> io::Result<File> {
        self.file.get_ref().as_file().try_clone()
    }

    /// Puts the file in place of `path`; bytes and name survive a power cut. On any error `path` is as
    /// it was.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().as_file().sync_all()?;
        let path = self.path.clone();
        self.commit_unsynced()?;
        sync_folder_of(&path);
        Ok(())
    }

    /// As [`WholeFile::commit`], but a power cut may undo or tear it: for what can be made again.
    pub fn commit_unsynced(self) -> io::Result<()> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.persist(&self.path).map(drop).map_err(|error| error.error)
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for WholeFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// A folder held until this and every [`FolderLock::share`] of it are closed, also by being killed.
#[derive(Debug)]
pub struct FolderLock(File);

/// Why a folder is not held.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("{}: is in use; wait until that has ended, or choose another folder", .0.display())]
    Held(PathBuf),
    /// It cannot be made or written.
    #[error("{}: cannot be made or written: {source}; choose another folder", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl FolderLock {
    /// Makes the folder where it is absent and locks its file [`LOCK`]. Where a file system knows no
    /// locks, it is up to the user not to run two.
    pub fn hold(folder: &Path) -> Result<Self, LockError> {
        let made = fs::create_dir_all(folder).and_then(|()| {
            // Somebody else's file of this name keeps its bytes.
            File::options().write(true).create(true).truncate(false).open(folder.join(LOCK))
        });
        let file = made.map_err(|source| LockError::Folder { folder: folder.into(), source })?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(LockError::Held(folder.into())),
            _ => Ok(Self(file)),
        }
    }

    /// The locked file, to hand on to a child process.
    pub fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}
