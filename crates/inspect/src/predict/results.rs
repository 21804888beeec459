//! The folder of a run: held by one run at a time, with a list that grows line by line.
//!
//! The list has its final name from the first picture on and is not renamed in the end, so that what is
//! done can be read while hours of work go on, and after a crash. A line is written when its files are
//! whole, and files without a line are taken away again: whatever the list names is there, and what the
//! run left there, the list names.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anomaly::ImageMap;
use image::RgbImage;
use moeclip_data::PREDICTIONS;
use moeclip_eval::pictures::{write_map_png, write_npy_f32, write_png};
use moeclip_eval::{MapRange, MapView};
use whole_file::{FolderLock, LOCK, LockError};

use super::earlier::Earlier;
use super::names::{PictureFiles, assign};
use super::{PredictOutput, Prediction, Target};
use crate::error::{Context, refuse};
use crate::{InspectError, Watcher};

/// A folder that no other run writes to, before anything is written.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) files: Vec<PictureFiles>,
    out: PathBuf,
    earlier: Earlier,
    lock: FolderLock,
    made: MadeFolders,
}

/// Folders that were made for a run. They go again unless it begins.
#[derive(Debug)]
struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    /// Those that are not there yet, the innermost first.
    fn above(folder: &Path) -> Self {
        let is_named = |path: &&Path| !path.as_os_str().is_empty();
        let absent = folder.ancestors().filter(is_named).take_while(|path| !path.exists());
        Self(absent.map(Path::to_path_buf).collect())
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        if let Some(innermost) = self.0.first() {
            fs::remove_file(innermost.join(LOCK)).unwrap_or_default();
        }
        // What somebody else has put there stays, and the folder with it.
        self.0.iter().for_each(|folder| fs::remove_dir(folder).unwrap_or_default());
    }
}

impl Reserved {
    /// Holds the folder for the pictures' results.
    ///
    /// # Errors
    /// A folder that another run is writing to, or in which something would be written over.
    pub(super) fn hold(output: &PredictOutput, targets: &[Target]) -> Result<Self, InspectError> {
        let out = &output.out;
        if out.to_str().is_none() {
            refuse!("{}: lines of JSON cannot name it; choose an --out in UTF-8", out.display());
        }
        let files = assign(targets, output)?;
        // Not even a lock is written beside what is refused.
        Earlier::find(output, targets, &files)?;
        let made = MadeFolders::above(out);
        let lock = FolderLock::hold(out).map_err(|error| match error {
            LockError::Held(folder) => InspectError::refused(format!(
                "{}: another run is writing to it; wait for its end, or choose another --out",
                folder.display()
            )),
            LockError::Folder { folder, source } => InspectError::At {
                message: format!(
                    "{}: cannot be made or written; check the path and its permissions",
                    folder.display()
                ),
                source: Box::new(source.into()),
            },
        })?;
        let earlier = Earlier::find(output, targets, &files)?;
        Ok(Self { files, out: out.clone(), earlier, lock, made })
    }

    /// Begins a list without lines, in place of that of an earlier run, whose results go.
    ///
    /// # Errors
    /// What cannot be written or removed.
    pub(super) fn begin(self, watch: &mut dyn Watcher) -> Result<GrowingList, InspectError> {
        let path = self.out.join(PREDICTIONS);
        let empty = || {
            whole_file::write(&path, b"")?;
            whole_file::append(&path)
        };
        let file = empty().with_context(|| cannot_write(&path))?;
        self.earlier.remove(&self.out, watch)?;
        self.made.keep();
        Ok(GrowingList { file, path, bytes: 0, _lock: self.lock })
    }
}

/// `predictions.jsonl`.
pub(super) struct GrowingList {
    file: File,
    path: PathBuf,
    /// Those of all whole lines.
    bytes: u64,
    _lock: FolderLock,
}

impl GrowingList {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line; on an error nothing of it stays.
    pub(super) fn push(&mut self, prediction: &Prediction) -> Result<(), InspectError> {
        let line = serde_json::to_string(prediction)? + "\n";
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // Where that fails too, readers find a line that is torn.
            self.file.set_len(self.bytes).unwrap_or_default();
            return Err(error).with_context(|| cannot_write(&self.path));
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Makes the list survive a power cut.
    pub(super) fn finish(self) -> Result<PathBuf, InspectError> {
        self.file.sync_all().with_context(|| cannot_write(&self.path))?;
        Ok(self.path)
    }
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

/// What is to be written of a picture.
pub(super) struct DrawnPicture {
    pub(super) map: ImageMap,
    /// What the map's PNG has as black and white.
    pub(super) range: MapRange,
    /// What the map ranges over.
    pub(super) own_range: MapRange,
    pub(super) overlay: RgbImage,
}

/// Files that are taken away again unless they are kept.
#[must_use]
#[derive(Default)]
pub(super) struct NewFiles(Vec<PathBuf>);

impl NewFiles {
    /// Writes the files of a picture.
    ///
    /// # Errors
    /// What cannot be written; then no file of the picture is left.
    pub(super) fn write(
        files: &PictureFiles,
        drawn: &DrawnPicture,
        with_npy: bool,
    ) -> Result<Self, InspectError> {
        let mut new = Self::default();
        let (map, overlay, npy) = (files.map(), files.overlay(), files.npy());
        let folder = whole_file::parent(&map);
        fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot be made", folder.display()))?;
        let view = MapView::new(drawn.map.width, drawn.map.height, &drawn.map.values)?;
        write_map_png(&map, view, drawn.range)?;
        new.0.push(map);
        write_png(&overlay, &drawn.overlay)?;
        new.0.push(overlay);
        if with_npy {
            let shape = [view.height(), view.width()];
            write_npy_f32(&npy, &shape, view.values())?;
            new.0.push(npy);
        }
        Ok(new)
    }

    /// They have their line.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        // What cannot be removed is told by the next run, as a file that no list names.
        self.0.iter().for_each(|path| fs::remove_file(path).unwrap_or_default());
    }
}

/// Refuses a picture of which a file is there already: nobody else writes here, so the file system takes
/// two names for one.
pub(super) fn refuse_taken(files: &PictureFiles, with_npy: bool) -> Result<(), InspectError> {
    let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
    if let Some(path) = files.all(with_npy).find(is_there) {
        let path = path.display();
        refuse!("{path}: is there already and is not written over; rename the picture");
    }
    Ok(())
}
