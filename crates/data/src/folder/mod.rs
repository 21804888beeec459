//! Finds the pictures of a folder, or takes a single one: the input of a detector that runs on
//! one's own images. What may have been meant and is not taken is a fault, never passed over in
//! silence.

mod kind;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::DataError;
use crate::fault::{Fault, FaultKind};
use crate::written::is_written;
use kind::FileKind;

/// File endings that count as images when a folder is searched, compared without case. What a file
/// is, its content decides.
pub const IMAGE_EXTENSIONS: &[&str] = &[
    "png",
    "jpg",
    "jpeg",
    "jpe",
    "jfif",
    "bmp",
    "dib",
    "tif",
    "tiff",
    "btf",
    "tf8",
    "bigtiff",
    "webp",
    "gif",
    "pbm",
    "pgm",
    "ppm",
    "pnm",
    "pam",
    #[cfg(feature = "dicom")]
    "dcm",
];

/// What systems, sharing servers and archivers put into folders of pictures: thumbnails, deleted and
/// former files. Compared without case; names that begin with a dot are passed over as well.
const SYSTEM_NAMES: [&str; 24] = [
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "@sharebin",
    "@tmp",
    "@__thumb",
    "#recycle",
    "#snapshot",
    "~snapshot",
    "$recycle.bin",
    "recycler",
    "recycled",
    "system volume information",
    "lost+found",
    "network trash folder",
    "temporary items",
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "picasa.ini",
    "icon\r",
    "lost.dir",
];

/// How many endings a message names.
const ENDINGS_NAMED: usize = 8;

/// The images of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundImages {
    /// Their files, sorted.
    pub images: Vec<PathBuf>,
    /// What may have been meant and is not among them: pictures that are not read
    /// ([`FaultKind::NotRead`]), links that lead nowhere or in a circle and what was never fetched
    /// ([`FaultKind::BrokenLink`]), folders that cannot be read ([`FaultKind::Unreadable`]).
    pub faults: Vec<Fault>,
}

/// The image at `path`, or all images below the folder `path`, sorted. Hidden files and folders are
/// left out, and so are what systems keep in folders (thumbnails, deleted files) and the pictures that
/// this program wrote.
///
/// A file without an ending, or with that of another kind of picture, is an image where its content
/// says so.
///
/// # Errors
/// [`DataError`] naming `path` when it cannot be read or holds no image.
pub fn images(path: &Path) -> Result<FoundImages, DataError> {
    let metadata = fs::metadata(path).map_err(|e| DataError::unreadable(path, e))?;
    if !metadata.is_dir() {
        return Ok(FoundImages { images: vec![path.to_path_buf()], faults: Vec::new() });
    }
    let search = Search::of(path, usize::MAX)?;
    if !search.found.images.is_empty() {
        return Ok(search.found);
    }
    Err(DataError::layout(path, search.nothing()))
}

/// Counts files by their endings, the most frequent first: ".gif 2, without ending 1".
pub fn by_ending<'a>(files: impl IntoIterator<Item = &'a Path>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    files.into_iter().for_each(|file| *counts.entry(ending(file)).or_default() += 1);
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others: usize = counts.iter().skip(ENDINGS_NAMED).map(|(_, count)| count).sum();
    let named = counts.iter().take(ENDINGS_NAMED).map(|(ending, count)| match ending.as_str() {
        "" => format!("without ending {count}"),
        ending => format!(".{ending} {count}"),
    });
    let others = (others > 0).then(|| format!("others {others}"));
    named.chain(others).collect::<Vec<_>>().join(", ")
}

/// The images that lie directly in `folder`, sorted by name; none is no error.
pub(crate) fn images_in(folder: &Path) -> Result<FoundImages, DataError> {
    Ok(Search::of(folder, 1)?.found)
}

/// The images below `folder` at any depth, sorted; none is no error.
pub(crate) fn images_below(folder: &Path) -> Result<FoundImages, DataError> {
    Ok(Search::of(folder, usize::MAX)?.found)
}

/// The folders that lie directly in `folder`, sorted by name.
pub(crate) fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = read().map_err(|e| DataError::unreadable(folder, e))?;
    paths.retain(|path| !is_passed_over(path.file_name().unwrap_or_default()) && path.is_dir());
    paths.sort();
    Ok(paths)
}

/// Name of a file or folder for people and prompts.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether `name` has an ending of an image behind a dot.
pub(crate) fn is_image(name: &Path) -> bool {
    let ending = ending(name);
    IMAGE_EXTENSIONS.contains(&ending.as_str())
}

/// A folder being searched.
#[derive(Default)]
struct Search {
    found: FoundImages,
    /// Files that are no images.
    others: Vec<PathBuf>,
}

impl Search {
    /// Down to `depth`; one entry that cannot be read does not end it.
    fn of(folder: &Path, depth: usize) -> Result<Self, DataError> {
        let mut search = Self::default();
        let walk = WalkDir::new(folder).follow_links(true).max_depth(depth).sort_by_file_name();
        let is_wanted = |e: &DirEntry| e.depth() == 0 || !is_passed_over(e.file_name());
        for entry in walk.into_iter().filter_entry(is_wanted) {
            match entry {
                Ok(entry) if entry.file_type().is_file() => search.take(entry.into_path()),
                Ok(_) => {}
                Err(error) if error.depth() == 0 => {
                    return Err(DataError::unreadable(folder, said(&error)));
                }
                Err(error) => search.found.faults.extend(fault_of(&error)),
            }
        }
        Ok(search)
    }

    fn take(&mut self, file: PathBuf) {
        let kind = if is_image(&file) { FileKind::Image } else { kind::of(&file) };
        match kind {
            FileKind::Image if is_written(&file) => {}
            FileKind::Image => self.found.images.push(file),
            FileKind::NotRead(detail) => {
                self.found.faults.push(Fault::new(FaultKind::NotRead, &file, detail));
                self.others.push(file);
            }
            FileKind::NoteOf(kept) => {
                let detail = unfetched(&kept).unwrap_or_default();
                self.found.faults.push(Fault::new(FaultKind::BrokenLink, kept, detail));
                self.others.push(file);
            }
            FileKind::NoPicture => self.others.push(file),
        }
    }

    /// Why there is no image, with what is there instead.
    fn nothing(&self) -> String {
        let mut reason = format!("no image in this folder ({})", IMAGE_EXTENSIONS.join(", "));
        let is_link = |fault: &&Fault| fault.kind != FaultKind::NotRead;
        if !self.others.is_empty() {
            let others = by_ending(self.others.iter().map(PathBuf::as_path));
            reason.push_str(&format!("; there are: {others}"));
        }
        if let Some(fault) = self.found.faults.iter().find(is_link) {
            reason.push_str(&format!("; {}: {}", name(&fault.path), fault.detail));
        }
        reason
    }
}

/// The fault of an entry that cannot be followed; none for a link of a name that no picture has.
fn fault_of(error: &walkdir::Error) -> Option<Fault> {
    let path = error.path()?;
    if is_passed_over(path.file_name().unwrap_or_default()) {
        return None;
    }
    if let Some(ancestor) = error.loop_ancestor() {
        let ancestor = name(ancestor);
        let detail = format!("a link back to {ancestor:?}, a folder above it; remove the link");
        return Some(Fault::new(FaultKind::BrokenLink, path, detail));
    }
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        let detail = format!("cannot be read: {}; check that you may read it", said(error));
        return Some(Fault::new(FaultKind::Unreadable, path, detail));
    }
    let to = fs::read_link(path).unwrap_or_default();
    let detail = format!("a link to {:?}, which is not there; fetch it or remove the link", to);
    kind::may_be_picture(path).then(|| Fault::new(FaultKind::BrokenLink, path, detail))
}

/// What to do for a file or folder that is not there, where DVC's note of it lies in its place.
pub(crate) fn unfetched(path: &Path) -> Option<String> {
    let mut note = path.as_os_str().to_owned();
    note.push(".dvc");
    let note = PathBuf::from(note);
    let is_kept = note.is_file() && fs::symlink_metadata(path).is_err();
    is_kept.then(|| format!("only {} is here; fetch it with `dvc pull`", name(&note)))
}

/// What the system said.
fn said(error: &walkdir::Error) -> String {
    error.io_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether a file or folder of this name is passed over wherever pictures are looked for: it is hidden,
/// or one of those that systems keep.
pub fn is_passed_over(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || SYSTEM_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What stands behind a name's last dot, in small letters.
fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}
