//! Every scored map and mask in files that any language reads, beside a list of image scores and
//! labels, so that every number of a report can be recomputed elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anomaly::ScoreRule;
use serde::Serialize;
use whole_file::{FolderLock, LOCK, LockError};

use super::{ClassScores, ImageRecord, Protocol};
use crate::EvalError;
use crate::pictures::{write_atomically, write_npy_f32};

/// The list's name in the folder.
const LIST: &str = "images.jsonl";

/// A folder that is being filled: `maps/000000.npy` and `masks/000000.npy`, float32
/// `[height, width]`, counted over all images; masks are 0 and 1, and an image without one has no
/// such file. `images.jsonl` has a line for each image and is written last, so it is there only when
/// everything is.
#[derive(Debug)]
pub struct SavedMaps {
    folder: PathBuf,
    lines: Vec<Line>,
    _lock: FolderLock,
    /// The first line of the class that is being filled.
    class_start: usize,
}

/// A line of the list. File names start from its folder.
#[derive(Debug, Serialize)]
struct Line {
    image: String,
    class: String,
    group: Option<String>,
    anomalous: bool,
    map: String,
    mask: Option<String>,
    /// The image head's.
    image_score: f32,
    /// What the image metrics of each protocol are taken from.
    scores: BTreeMap<Protocol, f32>,
}

/// Refuses a folder that holds more than a lock.
fn refuse_full(folder: &Path) -> Result<(), EvalError> {
    for entry in fs::read_dir(folder).map_err(|cause| EvalError::write(folder, cause))? {
        let entry = entry.map_err(|cause| EvalError::write(folder, cause))?;
        if entry.file_name() != LOCK {
            return Err(EvalError::NotEmpty { folder: folder.to_owned() });
        }
    }
    Ok(())
}

impl SavedMaps {
    /// Makes the folder, or takes an empty one.
    ///
    /// # Errors
    /// [`EvalError::NotEmpty`] when it holds something, [`EvalError::InUse`] when another run is filling
    /// it, [`EvalError::Write`] when it cannot be made.
    pub fn create(folder: &Path) -> Result<Self, EvalError> {
        let failed = |cause| EvalError::write(folder, cause);
        if folder.exists() {
            refuse_full(folder)?;
        }
        let lock = FolderLock::hold(folder).map_err(|error| match error {
            LockError::Held(folder) => EvalError::InUse { folder },
            LockError::Folder { source, .. } => failed(source),
        })?;
        // Another run may have filled it in between.
        refuse_full(folder)?;
        for part in ["maps", "masks"] {
            fs::create_dir_all(folder.join(part)).map_err(failed)?;
        }
        Ok(Self { folder: folder.to_owned(), lines: Vec::new(), _lock: lock, class_start: 0 })
    }

    /// Writes an image's map and mask. Images come class by class.
    ///
    /// # Errors
    /// [`EvalError::Write`] when a file cannot be written.
    pub fn push(&mut self, class: &str, record: &ImageRecord<'_>) -> Result<(), EvalError> {
        let number = self.lines.len();
        let shape = [record.map.height(), record.map.width()];
        let map = format!("maps/{number:06}.npy");
        write_npy_f32(&self.folder.join(&map), &shape, record.map.values())?;
        let mask = record.mask.map(|_| format!("masks/{number:06}.npy"));
        if let (Some(values), Some(name)) = (record.mask, &mask) {
            let values: Vec<f32> =
                values.iter().map(|&marked| f32::from(u8::from(marked))).collect();
            write_npy_f32(&self.folder.join(name), &shape, &values)?;
        }
        self.lines.push(Line {
            image: record.name.to_owned(),
            class: class.to_owned(),
            group: record.group.map(str::to_owned),
            anomalous: record.label,
            map,
            mask,
            image_score: record.image_score,
            scores: BTreeMap::new(),
        });
        Ok(())
    }

    /// Notes the scores of the class whose images were written since the last call: under `paper`
    /// they are known only now.
    pub fn close_class(&mut self, class: &ClassScores, rule: ScoreRule) {
        for protocol in Protocol::ALL {
            let Some(scores) = class.image_scores(rule, protocol) else { continue };
            for (line, score) in self.lines[self.class_start..].iter_mut().zip(scores) {
                line.scores.insert(protocol, score);
            }
        }
        self.class_start = self.lines.len();
    }

    /// Writes the list.
    ///
    /// # Errors
    /// [`EvalError::Write`] when it cannot be written.
    pub fn finish(&self) -> Result<(), EvalError> {
        write_atomically(&self.folder.join(LIST), |file| {
            self.lines.iter().try_for_each(|line| {
                serde_json::to_writer(&mut *file, line)?;
                file.write_all(b"\n")
            })
        })
    }
}
