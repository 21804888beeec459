//! The bytes of a weight file, memory-mapped where the system can, read into memory where not: the
//! one place that needs `unsafe`.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::WeightError;

/// Bytes of a whole file.
#[derive(Debug)]
pub(super) enum FileBytes {
    /// Pages of the file, read when they are touched.
    Mapped(Mmap),
    /// A copy in memory, where mapping fails (some network and virtual file systems).
    Copied(Vec<u8>),
}

impl FileBytes {
    /// The bytes of `path`, mapped if possible. A folder, a device, a missing or an empty file is
    /// an error.
    pub(super) fn open(path: &Path) -> Result<FileBytes, WeightError> {
        let (file, length) = open_regular(path)?;
        match map(&file) {
            Ok(mapped) => Ok(FileBytes::Mapped(mapped)),
            Err(_) => copy(path, file, length),
        }
    }

    /// Lets go of the pages that were read: a tower that was loaded from them needs their room. They
    /// are read again when they are touched again.
    #[allow(unsafe_code)]
    pub(super) fn let_go(&self) {
        #[cfg(unix)]
        if let FileBytes::Mapped(mapped) = self {
            // SAFETY: nobody can write to these pages, so what is read again is what was read before.
            // Whether the system takes the advice makes no difference but in memory.
            let _ = unsafe { mapped.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }

    /// The bytes of `path`, read into memory.
    #[cfg(test)]
    pub(super) fn read(path: &Path) -> Result<FileBytes, WeightError> {
        let (file, length) = open_regular(path)?;
        copy(path, file, length)
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            FileBytes::Mapped(mapped) => mapped,
            FileBytes::Copied(copied) => copied,
        }
    }
}

fn open_regular(path: &Path) -> Result<(File, u64), WeightError> {
    // Asked before opening, for opening a pipe would wait for its writer.
    let about = std::fs::metadata(path).map_err(|source| WeightError::read(path, source))?;
    if about.is_dir() {
        return Err(WeightError::Folder { file: path.into() });
    }
    if !about.is_file() {
        return Err(WeightError::NotRegular { file: path.into() });
    }
    if about.len() == 0 {
        return Err(WeightError::Empty { file: path.into() });
    }
    let file = File::open(path).map_err(|source| WeightError::read(path, source))?;
    Ok((file, about.len()))
}

#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only and lives in the `FileBytes` that hands out its slices. A file
    // that another process shortens meanwhile ends this one with a signal, as with every mapped
    // file; this project replaces files by renaming, which leaves mapped pages as they are.
    unsafe { Mmap::map(file) }
}

fn copy(path: &Path, mut file: File, length: u64) -> Result<FileBytes, WeightError> {
    let mut copied = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.read_to_end(&mut copied).map_err(|source| WeightError::read(path, source))?;
    Ok(FileBytes::Copied(copied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_and_copied_bytes_are_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        let content: Vec<u8> = (0..10_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let mapped = FileBytes::open(&path).unwrap();
        let copied = FileBytes::read(&path).unwrap();
        assert!(matches!(mapped, FileBytes::Mapped(_)));
        assert!(matches!(copied, FileBytes::Copied(_)));
        assert_eq!(*mapped, *content);
        assert_eq!(*mapped, *copied);
        mapped.let_go();
        assert_eq!(*mapped, *content);
    }
}
