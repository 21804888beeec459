//! From a detector's answers, image by image, to the reports of a dataset: one class is in memory at a
//! time.

use std::sync::Arc;

use moeclip::Calibration;

use super::{ClassResult, ClassScores, ImageRecord, Protocol, Report, SavedMaps, ScoreRule};
use crate::EvalError;
use crate::metrics::{Bootstrap, Workspace};

/// Takes the test images of a dataset in, class by class.
#[derive(Debug)]
pub struct Evaluation {
    rule: ScoreRule,
    workspace: Workspace,
    bootstrap: Option<Bootstrap>,
    saved: Option<SavedMaps>,
    calibration: Option<Arc<Calibration>>,
    /// The class that is being filled.
    open: Option<ClassScores>,
    /// The closed classes, under each of [`Protocol::ALL`] that is defined.
    results: [Vec<ClassResult>; Protocol::ALL.len()],
}

impl Evaluation {
    /// Without an image yet.
    pub fn new(rule: ScoreRule, workspace: Workspace) -> Self {
        let results = Protocol::ALL.map(|_| Vec::new());
        Self {
            rule,
            workspace,
            bootstrap: None,
            saved: None,
            calibration: None,
            open: None,
            results,
        }
    }

    /// The same with intervals of the image metrics.
    pub fn with_intervals(self, bootstrap: Bootstrap) -> Self {
        Self { bootstrap: Some(bootstrap), ..self }
    }

    /// The same, saving every map and mask.
    pub fn saving(self, saved: SavedMaps) -> Self {
        Self { saved: Some(saved), ..self }
    }

    /// The same with the protocol [`Protocol::Deployed`]. To be called before the first image.
    ///
    /// # Errors
    /// [`EvalError::OtherRule`] when the calibration is of scores by another rule.
    pub fn calibrated(self, calibration: Calibration) -> Result<Self, EvalError> {
        let calibrated = ScoreRule::of(calibration.conditions.domain);
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
        let (workspace, calibration) = (&self.workspace, &self.calibration);
        let open = self.open.get_or_insert_with(|| {
            let scores = ClassScores::new(class, workspace.clone());
            match calibration {
                Some(calibration) => scores.calibrated(calibration.clone()),
                None => scores,
            }
        });
        open.push(record)?;
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

    fn close_class(&mut self) -> Result<(), EvalError> {
        let Some(mut scores) = self.open.take() else { return Ok(()) };
        if let Some(saved) = &mut self.saved {
            saved.close_class(&scores, self.rule);
        }
        let protocols = Protocol::defined(self.calibration.as_deref());
        for (&protocol, results) in protocols.iter().zip(&mut self.results) {
            let mut result = scores.finish(self.rule, protocol)?;
            let intervals = |bootstrap| scores.intervals(self.rule, protocol, bootstrap);
            result.intervals = self.bootstrap.as_ref().and_then(intervals);
            results.push(result);
        }
        Ok(())
    }
}
