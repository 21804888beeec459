//! Finds the pictures of a folder, or takes a single one: the input of a detector that runs on
//! one's own images.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::DataError;
use crate::written::is_written;

/// File endings that count as images when a folder is searched, compared without case. What a file
/// is, its content decides.
#[cfg(not(feature = "dicom"))]
pub const IMAGE_EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp"];
/// File endings that count as images when a folder is searched, compared without case. What a file
/// is, its content decides.
#[cfg(feature = "dicom")]
pub const IMAGE_EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "dcm"];

/// The image at `path`, or all images below the folder `path`, sorted. Hidden files and folders are
/// left out, and so are the pictures that this program wrote.
///
/// # Errors
/// [`DataError`] naming `path` when it cannot be read or holds no image.
pub fn images(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let metadata = fs::metadata(path).map_err(|e| DataError::unreadable(path, e))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let walk = WalkDir::new(path).follow_links(true).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(|e| e.depth() == 0 || !is_hidden(e)) {
        let entry = entry.map_err(|e| DataError::unreadable(e.path().unwrap_or(path), &e))?;
        if entry.file_type().is_file() && is_image(entry.path()) && !is_written(entry.path()) {
            found.push(entry.into_path());
        }
    }
    if found.is_empty() {
        let reason = format!("no image in this folder ({})", IMAGE_EXTENSIONS.join(", "));
        return Err(DataError::layout(path, reason));
    }
    Ok(found)
}

/// The images that lie directly in `folder`, sorted by name, without those that this program wrote.
pub(crate) fn images_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = entries(folder)?;
    files.retain(|path| is_image(path) && path.is_file() && !is_written(path));
    Ok(files)
}

/// The folders that lie directly in `folder`, sorted by name.
pub(crate) fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut folders = entries(folder)?;
    folders.retain(|path| path.is_dir());
    Ok(folders)
}

/// Name of a file or folder for people and prompts.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = read().map_err(|e| DataError::unreadable(folder, e))?;
    paths.retain(|path| !name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        IMAGE_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}
