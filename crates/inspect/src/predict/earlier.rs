//! What lies in the folder already: results of an earlier run, which go when a new list replaces
//! theirs, and whatever is somebody else's, which stays.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use moeclip_data::{MAP_SUFFIX, OVERLAY_SUFFIX, PREDICTIONS, is_written};
use serde::Deserialize;
use walkdir::{DirEntry, WalkDir};

use super::names::{NPY_SUFFIX, PictureFiles};
use super::{PredictOutput, Target};
use crate::error::{Context, refuse};
use crate::{InspectError, Warning, Watcher};

/// What an earlier run left in a folder.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// Files that its list names, or that a killed run left under a name of this one.
    own: Vec<PathBuf>,
    /// How many of them this run does not write again.
    stale: usize,
    /// Maps and overlays that no list names.
    unlisted: Vec<PathBuf>,
}

impl Earlier {
    /// Looks through the folder. Changes nothing.
    ///
    /// # Errors
    /// A file that this run would write over and that it does not own, its own input among them.
    pub(super) fn find(
        output: &PredictOutput,
        targets: &[Target],
        files: &[PictureFiles],
    ) -> Result<Self, InspectError> {
        let out = &output.out;
        if !out.is_dir() {
            return Ok(Self::default());
        }
        let list = out.join(PREDICTIONS);
        let listed = Listed::read(&list)?;
        let planned: HashSet<PathBuf> =
            files.iter().flat_map(|files| files.all(output.npy)).collect();
        let mut found = Self::default();
        for file in results_in(out) {
            match (listed.names(file.strip_prefix(out).unwrap_or(&file)), planned.contains(&file)) {
                (true, is_planned) => {
                    found.stale += usize::from(!is_planned);
                    found.own.push(file);
                }
                (false, true) if !belongs_elsewhere(out) => found.own.push(file),
                (false, true) => {}
                (false, false) => found.unlisted.push(file),
            }
        }
        found.refuse_others(files.iter().flat_map(|files| files.all(output.npy)))?;
        found.refuse_targets(targets)?;
        Ok(found)
    }

    /// Files of this run that are there must be the earlier run's.
    fn refuse_others(
        &self,
        mut planned: impl Iterator<Item = PathBuf>,
    ) -> Result<(), InspectError> {
        let own: HashSet<&Path> = self.own.iter().map(PathBuf::as_path).collect();
        let is_other =
            |path: &PathBuf| !own.contains(path.as_path()) && path.symlink_metadata().is_ok();
        if let Some(path) = planned.find(is_other) {
            let path = path.display();
            refuse!(
                "{path}: is there, and is no result of a run into this folder; it would be written \
                 over, so choose another --out"
            );
        }
        Ok(())
    }

    /// A picture that is looked at must not be one of those that go.
    fn refuse_targets(&self, targets: &[Target]) -> Result<(), InspectError> {
        if self.own.is_empty() {
            return Ok(());
        }
        let own: HashSet<PathBuf> =
            self.own.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let is_own =
            |target: &&Target| target.path.canonicalize().is_ok_and(|path| own.contains(&path));
        if let Some(target) = targets.iter().find(is_own) {
            let path = target.path.display();
            refuse!("{path}: is a result of the run that this one replaces; choose another --out");
        }
        Ok(())
    }

    /// Removes the results of the earlier run, and folders that are empty then.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub(super) fn remove(self, out: &Path, watch: &mut dyn Watcher) -> Result<(), InspectError> {
        let mut folders = HashSet::new();
        for file in &self.own {
            fs::remove_file(file)
                .with_context(|| format!("{}: cannot be removed", file.display()))?;
            let below = file.ancestors().skip(1).take_while(|folder| *folder != out);
            folders.extend(below.map(Path::to_path_buf));
        }
        let mut folders: Vec<PathBuf> = folders.into_iter().collect();
        // The deepest first.
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        // One that is not empty stays.
        folders.iter().for_each(|folder| fs::remove_dir(folder).unwrap_or_default());
        let folder = out.to_path_buf();
        if self.stale > 0 {
            watch.warn(Warning::EarlierRemoved { folder: folder.clone(), files: self.stale });
        }
        if let Some(first) = self.unlisted.into_iter().min() {
            watch.warn(Warning::Unlisted { folder, first });
        }
        Ok(())
    }
}

/// Whether a folder without a list lies below one that has a list: what is in it may be that run's.
fn belongs_elsewhere(out: &Path) -> bool {
    let Ok(out) = std::path::absolute(out) else { return true };
    let mut lists = out.ancestors().map(|folder| folder.join(PREDICTIONS).is_file());
    lists.next() == Some(false) && lists.any(|is_there| is_there)
}

/// Maps, overlays and `.npy` of runs into `out`: not those below a folder that has its own list.
fn results_in(out: &Path) -> Vec<PathBuf> {
    let is_own = |entry: &DirEntry| {
        entry.depth() == 0
            || !entry.file_type().is_dir()
            || !entry.path().join(PREDICTIONS).is_file()
    };
    let mut found = Vec::new();
    // Where nobody may look, no run has written.
    for entry in WalkDir::new(out).into_iter().filter_entry(is_own).flatten() {
        if entry.file_type().is_file() && is_result(entry.path()) {
            found.push(entry.into_path());
        }
    }
    found
}

/// Whether `predict` wrote a file. An array has no place for a mark: the pictures beside it tell.
fn is_result(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let pictures = [MAP_SUFFIX, OVERLAY_SUFFIX];
    match name.strip_suffix(NPY_SUFFIX) {
        Some(stem) => {
            pictures.iter().any(|end| is_written(&path.with_file_name(format!("{stem}{end}"))))
        }
        None => pictures.iter().any(|end| name.ends_with(end)) && is_written(path),
    }
}

/// What is read of a line of the list.
#[derive(Deserialize)]
struct ListedFiles {
    map: String,
    overlay: String,
}

/// The ends of all paths that a list names: it says them as its run's working folder saw them.
#[derive(Default)]
struct Listed(HashSet<PathBuf>);

impl Listed {
    /// Of a list that is not there: nothing.
    fn read(list: &Path) -> Result<Self, InspectError> {
        if list.symlink_metadata().is_err() {
            return Ok(Self::default());
        }
        let cannot = || format!("{}: cannot be read; choose another --out", list.display());
        let text = fs::read(list).with_context(cannot)?;
        let mut listed = Self::default();
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            match serde_json::from_slice(line) {
                Ok(ListedFiles { map, overlay }) => listed.take(&map, &overlay),
                Err(_) if number == 0 && !line.trim_ascii().is_empty() => {
                    refuse!(
                        "{}: is no list of predict and would be written over; choose another --out",
                        list.display()
                    );
                }
                // A line that a crash tore.
                Err(_) => {}
            }
        }
        Ok(listed)
    }

    fn take(&mut self, map: &str, overlay: &str) {
        let npy = map.strip_suffix(MAP_SUFFIX).map(|stem| format!("{stem}{NPY_SUFFIX}"));
        for path in [Some(map), Some(overlay), npy.as_deref()].into_iter().flatten() {
            let mut path = Path::new(path).components();
            while let Some(end) = Some(path.as_path()).filter(|end| !end.as_os_str().is_empty()) {
                self.0.insert(end.to_path_buf());
                path.next();
            }
        }
    }

    fn names(&self, inside: &Path) -> bool {
        self.0.contains(inside)
    }
}
