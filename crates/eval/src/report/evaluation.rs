//! From a detector's answers, image by image, to the reports of a dataset: one class is in memory at a
//! time.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anomaly::{Calibration, ScoreRule};
use serde::Serialize;
use whole_file::{FolderLock, LOCK, LockError};

use super::{ClassDetails, ClassResult, ClassScores, ImageRecord, Protocol, Report};
use crate::EvalError;
use crate::metrics::{Bootstrap, Workspace};
use crate::pictures::{write_atomically, write_npy_f32};

/// Takes the test images of a dataset in, class by class.
#[derive(Debug)]
pub struct Evaluation {
    rule: ScoreRule,
    workspace: Workspace,
    bootstrap: Option<Bootstrap>,
    /// What intervals of pixel metrics may take, where they are asked for.
    pixel_intervals: Option<Workspace>,
    saved: Option<SavedMaps>,
    /// What stands behind the numbers of the closed classes, where it was asked for.
    details: Option<Vec<ClassDetails>>,
    calibration: Option<Arc<Calibration>>,
    /// The class that is being filled.
    open: Option<ClassScores>,
    /// The closed classes, under each of [`Protocol::ALL`] that is defined.
    results: [Vec<ClassResult>; Protocol::ALL.len()],
}

/// The reports of a dataset, and what stands behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationDetails {
    /// One for each of [`Protocol::ALL`].
    pub reports: Vec<Report>,
    /// One for each class, in the order in which they were taken in.
    pub classes: Vec<ClassDetails>,
}

impl Evaluation {
    /// Without an image yet.
    pub fn new(rule: ScoreRule, workspace: Workspace) -> Self {
        let results = Protocol::ALL.map(|_| Vec::new());
        Self {
            rule,
            workspace,
            bootstrap: None,
            pixel_intervals: None,
            saved: None,
            details: None,
            calibration: None,
            open: None,
            results,
        }
    }

    /// The same with intervals of the image metrics.
    pub fn with_intervals(self, bootstrap: Bootstrap) -> Self {
        Self { bootstrap: Some(bootstrap), ..self }
    }

    /// The same with intervals of the image and the pixel metrics. What is kept for the latter, 8 bytes
    /// a pixel, stays within `workspace`, beside the other's.
    pub fn with_all_intervals(self, bootstrap: Bootstrap, workspace: Workspace) -> Self {
        Self { pixel_intervals: Some(workspace), ..self.with_intervals(bootstrap) }
    }

    /// The same, saving every map and mask.
    pub fn saving(self, saved: SavedMaps) -> Self {
        Self { saved: Some(saved), ..self }
    }

    /// The same, keeping what stands behind the numbers: see [`Evaluation::finish_with_details`].
    pub fn with_details(self) -> Self {
        Self { details: Some(Vec::new()), ..self }
    }

    /// The same with the protocol [`Protocol::Deployed`]. To be called before the first image.
    ///
    /// # Errors
    /// [`EvalError::OtherRule`] when the calibration is of scores by another rule.
    pub fn calibrated(self, calibration: Calibration) -> Result<Self, EvalError> {
        let calibrated = calibration.score_rule();
        if calibrated != self.rule {
            return Err(EvalError::OtherRule { calibrated, rule: self.rule });
        }
        Ok(Self { calibration: Some(Arc::new(calibration)), ..self })
    }

    /// Takes an image of `class` in. The first of another class closes the last one.
    ///
    /// # Errors
    /// [`EvalError::ClassOrder`] when the class was closed already; as [`ClassScores::push`] and
    /// [`SavedMaps::push`].
    pub fn push(&mut self, class: &str, record: ImageRecord<'_>) -> Result<(), EvalError> {
        if self.open.as_ref().is_some_and(|open| open.class() != class) {
            self.close_class()?;
        }
        if self.results[0].iter().any(|closed| closed.class == class) {
            let (class, image) = (class.to_owned(), record.name.to_owned());
            return Err(EvalError::ClassOrder { class, image });
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_class(class),
        };
        let pushed = open.push(record);
        self.open = Some(open);
        pushed?;
        self.saved.as_mut().map_or(Ok(()), |saved| saved.push(class, &record))
    }

    /// The reports of all images, one for each protocol that is defined, in the order of
    /// [`Protocol::ALL`].
    ///
    /// # Errors
    /// As [`ClassScores::finish`] and [`SavedMaps::finish`].
    pub fn finish(mut self) -> Result<Vec<Report>, EvalError> {
        self.close_class()?;
        self.saved.as_ref().map_or(Ok(()), SavedMaps::finish)?;
        let calibration = self.calibration.as_deref();
        let reports = Protocol::defined(calibration).iter().zip(self.results);
        let report = |(&protocol, results): (&Protocol, _)| {
            let report = Report::new(protocol, results);
            match (protocol, calibration) {
                (Protocol::Deployed, Some(calibration)) => report.resting_on(calibration),
                _ => report,
            }
        };
        Ok(reports.map(report).collect())
    }

    fn open_class(&self, class: &str) -> ClassScores {
        let mut scores = ClassScores::new(class, self.workspace.clone());
        if let Some(calibration) = &self.calibration {
            scores = scores.calibrated(calibration.clone());
        }
        if let Some(workspace) = &self.pixel_intervals {
            scores = scores.with_pixel_intervals(workspace.clone());
        }
        scores
    }

    /// The reports, and the details of each class of an evaluation that is
    /// [`with_details`](Evaluation::with_details).
    ///
    /// # Errors
    /// As [`Evaluation::finish`].
    pub fn finish_with_details(mut self) -> Result<EvaluationDetails, EvalError> {
        self.close_class()?;
        let classes = self.details.take().unwrap_or_default();
        Ok(EvaluationDetails { reports: self.finish()?, classes })
    }

    fn close_class(&mut self) -> Result<(), EvalError> {
        let Some(mut scores) = self.open.take() else { return Ok(()) };
        if let Some(saved) = &mut self.saved {
            saved.close_class(&scores, self.rule);
        }
        if let Some(details) = &mut self.details {
            details.push(ClassDetails::of(&mut scores, self.rule, self.calibration.as_deref())?);
        }
        let protocols = Protocol::defined(self.calibration.as_deref());
        for (&protocol, results) in protocols.iter().zip(&mut self.results) {
            let mut result = scores.finish(self.rule, protocol)?;
            if let Some(bootstrap) = &self.bootstrap {
                result.intervals = scores.intervals(self.rule, protocol, bootstrap)?;
            }
            results.push(result);
        }
        Ok(())
    }
}

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
