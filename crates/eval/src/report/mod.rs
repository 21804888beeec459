//! From a class's maps and image scores to the numbers of a table, under a protocol that the report
//! names.
//!
//! The image score and the normalisation follow the method's release; a class's protocols come from the
//! same maps.

mod benchmark;
mod comparison;
mod decisions;
mod evaluation;
pub mod html;
mod intervals;
mod saved;
mod scores;
mod study;
mod table;
mod trial;

use std::fmt;

use anomaly::{Calibration, ImageThreshold, PixelThreshold};
use serde::Serialize;

use crate::metrics::mean_of_defined;
pub use benchmark::{
    Ablation, AblationEntry, Benchmark, BenchmarkPage, Cell, DatasetOutcome, DatasetPictures,
    Level, Measured, Outcome, Pair, Provenance, Published, ResultTable, StageTime, TABLE_LEGEND,
    TableColumn, TableRow, Unread,
};
pub use comparison::{Auroc, Comparison, ComparisonRow, Entry, MethodResults, Number, Spread};
pub use decisions::Decisions;
pub use evaluation::{Evaluation, Studied};
pub use intervals::Intervals;
pub use saved::SavedMaps;
pub use scores::{ClassScores, ImageRecord};
pub use study::{CaseKind, ClassStudy, DeployedScores, ImagePlace, choose_cases};
pub use trial::{ExpertShare, ExpertView, TapRouting, TrainingStep, TrialPage};

/// What is done to maps and scores before they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// As the published tables are made: maps and image-head scores are min-max normalised over all
    /// test images of the class before an image's score is made of them. Transductive: a score
    /// depends on the other test images.
    Paper,
    /// Maps and image-head scores as the detector gives them.
    Raw,
    /// As the detector is used: maps and image-head scores are brought to the ranges of a calibration,
    /// and decisions are made by its thresholds. Nothing is taken from the test set. Undefined without
    /// a calibration.
    Deployed,
}

impl Protocol {
    /// All of them, in the order in which reports are printed.
    pub const ALL: [Protocol; 3] = [Protocol::Paper, Protocol::Raw, Protocol::Deployed];

    /// Those that are defined: all with a calibration, else all but [`Protocol::Deployed`].
    pub fn defined(calibration: Option<&Calibration>) -> &'static [Protocol] {
        match calibration {
            Some(_) => &Self::ALL,
            None => &[Protocol::Paper, Protocol::Raw],
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Paper => "paper",
            Self::Raw => "raw",
            Self::Deployed => "deployed",
        })
    }
}

/// The metrics of a class or a mean of classes, as fractions of 1; `None` (`null`) where undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// AUROC of the image scores.
    pub image_auroc: Option<f64>,
    /// Average precision of the image scores.
    pub image_ap: Option<f64>,
    /// The best F1 of the image scores.
    pub image_f1_max: Option<f64>,
    /// Expected calibration error of the image scores, 15 bins of equal width; undefined where a
    /// score lies outside 0..=1. Lower is better.
    pub image_ece: Option<f64>,
    /// AUROC over all pixels.
    pub pixel_auroc: Option<f64>,
    /// Average precision over all pixels.
    pub pixel_ap: Option<f64>,
    /// The best F1 over all pixels.
    pub pixel_f1_max: Option<f64>,
    /// Intersection over union at the threshold of the best F1 over all pixels.
    pub pixel_iou: Option<f64>,
    /// AUPRO to a false-positive rate of 0.3, every threshold, interpolated at 0.3.
    pub aupro_exact: Option<f64>,
    /// AUPRO by the 200-step research standard.
    pub aupro_200: Option<f64>,
}

/// A class's metrics and what they were taken from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassResult {
    /// The class.
    pub class: String,
    /// Test images.
    pub images: usize,
    /// Anomalous ones among them.
    pub anomalous: usize,
    /// The numbers, in JSON beside the fields above.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Intervals of the image metrics, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Intervals>,
    /// What calibrated thresholds do, under [`Protocol::Deployed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Decisions>,
}

/// What a report under [`Protocol::Deployed`] says of its calibration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationSummary {
    /// The dataset that it was measured on.
    pub data: String,
    /// The split of its normal images.
    pub split: String,
    /// How many there were.
    pub images: usize,
    /// The threshold of calibrated scores, and how sure it is.
    pub image_threshold: ImageThreshold,
    /// The threshold of map values.
    pub pixel_threshold: PixelThreshold,
}

/// The classes of a dataset under one protocol. [`Display`](fmt::Display) prints the table, in
/// percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The protocol behind every number.
    pub protocol: Protocol,
    /// One row for each class.
    pub classes: Vec<ClassResult>,
    /// For each metric its mean over the classes where it is defined; every class counts the same.
    pub mean: Metrics,
    /// Intervals of the image metrics' means, where every class has intervals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_intervals: Option<Intervals>,
    /// The means of the decisions' rates, where every class has decisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_decisions: Option<Decisions>,
    /// What scores and decisions rest on, under [`Protocol::Deployed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationSummary>,
}

impl Report {
    /// A report of results that were all finished under `protocol`.
    pub fn new(protocol: Protocol, classes: Vec<ClassResult>) -> Self {
        let mean = Metrics::mean(classes.iter().map(|class| &class.metrics));
        let mean_intervals = Intervals::of_mean(&classes);
        let decisions: Option<Vec<&Decisions>> =
            classes.iter().map(|class| class.decisions.as_ref()).collect();
        let decisions = decisions.filter(|rows| !rows.is_empty());
        let mean_decisions = decisions.map(|rows| Decisions::mean(rows.into_iter()));
        Self { protocol, classes, mean, mean_intervals, mean_decisions, calibration: None }
    }

    /// The same, saying what calibration it rests on.
    #[must_use]
    pub fn resting_on(self, calibration: &Calibration) -> Self {
        let Calibration { images, image_threshold, pixel_threshold, .. } = calibration;
        let summary = CalibrationSummary {
            data: images.data.name.clone(),
            split: images.split.clone(),
            images: images.data.images.len(),
            image_threshold: *image_threshold,
            pixel_threshold: *pixel_threshold,
        };
        Self { calibration: Some(summary), ..self }
    }
}

impl Metrics {
    /// Each metric's mean over the rows where it is defined; `None` where no row defines it.
    pub fn mean<'a>(rows: impl Iterator<Item = &'a Metrics>) -> Metrics {
        let columns: Vec<[Option<f64>; 10]> = rows.map(Metrics::columns).collect();
        let mean = |column: usize| mean_of_defined(columns.iter().filter_map(|row| row[column]));
        Metrics {
            image_auroc: mean(0),
            image_ap: mean(1),
            image_f1_max: mean(2),
            image_ece: mean(3),
            pixel_auroc: mean(4),
            pixel_ap: mean(5),
            pixel_f1_max: mean(6),
            pixel_iou: mean(7),
            aupro_exact: mean(8),
            aupro_200: mean(9),
        }
    }

    /// The metrics in the order of the table.
    fn columns(&self) -> [Option<f64>; 10] {
        [
            self.image_auroc,
            self.image_ap,
            self.image_f1_max,
            self.image_ece,
            self.pixel_auroc,
            self.pixel_ap,
            self.pixel_f1_max,
            self.pixel_iou,
            self.aupro_exact,
            self.aupro_200,
        ]
    }
}
