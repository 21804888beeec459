//! From a detector's answers, image by image, to the reports of a dataset: one class is in memory at a
//! time.

use std::sync::Arc;

use anomaly::{Calibration, ScoreRule};

use super::{ClassResult, ClassScores, ClassStudy, ImageRecord, Protocol, Report, SavedMaps};
use crate::EvalError;
use crate::metrics::{Bootstrap, Workspace};

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
    studies: Option<Vec<ClassStudy>>,
    calibration: Option<Arc<Calibration>>,
    /// The class that is being filled.
    open: Option<ClassScores>,
    /// The closed classes, under each of [`Protocol::ALL`] that is defined.
    results: [Vec<ClassResult>; Protocol::ALL.len()],
}

/// The reports of a dataset, and what stands behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Studied {
    /// One for each of [`Protocol::ALL`].
    pub reports: Vec<Report>,
    /// One for each class, in the order in which they were taken in.
    pub classes: Vec<ClassStudy>,
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
            studies: None,
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

    /// The same, keeping what stands behind the numbers: see [`Evaluation::finish_studied`].
    pub fn studied(self) -> Self {
        Self { studies: Some(Vec::new()), ..self }
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

    /// The reports, and the study of each class of an evaluation that is
    /// [`studied`](Evaluation::studied).
    ///
    /// # Errors
    /// As [`Evaluation::finish`].
    pub fn finish_studied(mut self) -> Result<Studied, EvalError> {
        self.close_class()?;
        let classes = self.studies.take().unwrap_or_default();
        Ok(Studied { reports: self.finish()?, classes })
    }

    fn close_class(&mut self) -> Result<(), EvalError> {
        let Some(mut scores) = self.open.take() else { return Ok(()) };
        if let Some(saved) = &mut self.saved {
            saved.close_class(&scores, self.rule);
        }
        if let Some(studies) = &mut self.studies {
            studies.push(ClassStudy::of(&mut scores, self.rule, self.calibration.as_deref())?);
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
