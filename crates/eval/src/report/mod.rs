//! From a class's maps and image scores to the numbers of a table, under a protocol that the report
//! names; and that table for a terminal, in percent with one decimal, `n/a` where a metric is
//! undefined.
//!
//! The image score and the normalisation follow the method's release; a class's protocols come from
//! the same maps.

mod benchmark;
mod comparison;
mod decisions;
mod details;
mod detector_page;
mod evaluation;
pub mod html;
mod metric;
mod scores;

use std::fmt;
use std::io::Write;
use std::path::Path;

use anomaly::{Calibration, ImageThreshold, PixelThreshold};
use serde::Serialize;

use crate::EvalError;
use crate::metrics::Interval;
use crate::pictures::write_atomically;
use benchmark::markdown_escaped;

pub use benchmark::{
    Ablation, AblationEntry, Benchmark, BenchmarkPage, Cell, DatasetOutcome, DatasetPictures,
    Level, Measured, Outcome, Pair, Provenance, Published, ResultTable, StageTime, TABLE_LEGEND,
    TableColumn, TableRow, Unread,
};
pub use comparison::{Auroc, Comparison, ComparisonRow, Entry, MethodResults, Number, Spread};
pub use decisions::{DecisionRate, Decisions};
pub use details::{CaseKind, ClassDetails, DeployedScores, ImagePlace, choose_cases};
pub use detector_page::{DetectorPage, ExpertShare, ExpertView, TapRouting, TrainingStep};
pub use evaluation::{Evaluation, EvaluationDetails, SavedMaps};
pub use metric::{Direction, Intervals, Metric, Metrics};
pub use scores::{ClassScores, ImageRecord};

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

/// Width of an interval: `100.0-100.0`.
const INTERVAL: usize = 11;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.classes.iter().map(|class| class.class.chars().count());
        let width = names.max().unwrap_or(0).max("class".len());
        writeln!(f, "protocol {}: {}", self.protocol, explained(self.protocol))?;
        write!(f, "{:<width$}  {:>6}  {:>5}", "class", "images", "anom.")?;
        write_heads(f, &Metric::ALL.map(Metric::head))?;
        for class in &self.classes {
            write!(f, "\n{:<width$}  {:>6}  {:>5}", class.class, class.images, class.anomalous)?;
            write_cells(f, &Metric::ALL.map(Metric::head), &class.metrics.values())?;
        }
        let images: usize = self.classes.iter().map(|class| class.images).sum();
        let anomalous: usize = self.classes.iter().map(|class| class.anomalous).sum();
        write!(f, "\n{:<width$}  {images:>6}  {anomalous:>5}", "mean")?;
        write_cells(f, &Metric::ALL.map(Metric::head), &self.mean.values())?;
        write_legend(f)?;
        write_intervals(f, self, width)?;
        write_decisions(f, self, width)?;
        write_undefined(f, self)
    }
}

/// How many classes are named before they are counted.
const NAMED: usize = 3;

/// Why there is `n/a` in the table.
fn write_undefined(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let lacking = |metric: Metric| {
        let classes = report.classes.iter().filter(move |class| class.metrics[metric].is_none());
        classes.map(|class| class.class.as_str()).collect::<Vec<_>>()
    };
    let of_one_kind = lacking(Metric::ImageAuroc);
    if !of_one_kind.is_empty() {
        let names = named(&of_one_kind);
        write!(f, "\nn/a of images, {names}: all are normal, or all are anomalous.")?;
    }
    let unmarked = lacking(Metric::PixelAuroc);
    if !unmarked.is_empty() {
        write!(f, "\nn/a of pixels, {}: no mask marks one.", named(&unmarked))?;
    }
    if !lacking(Metric::ImageEce).is_empty() {
        let head = Metric::ImageEce.head();
        write!(f, "\nn/a of {head}: it is of probabilities, and these scores leave 0 to 1.")?;
    }
    Ok(())
}

fn named(classes: &[&str]) -> String {
    let (first, others) = classes.split_at(classes.len().min(NAMED));
    match others.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The intervals, where there are any, under the table that they belong to.
fn write_intervals(f: &mut fmt::Formatter<'_>, report: &Report, width: usize) -> fmt::Result {
    let classes = report.classes.iter().map(|class| (class.class.as_str(), &class.intervals));
    let rows = classes.chain([("mean", &report.mean_intervals)]);
    let rows: Vec<(&str, &Intervals)> =
        rows.filter_map(|(name, intervals)| Some((name, intervals.as_ref()?))).collect();
    let Some((_, Intervals { level, resamples, .. })) = rows.first() else { return Ok(()) };
    let percent = 100.0 * level;
    write!(f, "\n{percent} % bootstrap intervals over images or their groups, {resamples} draws:")?;
    write!(f, "\n{:<width$}", "class")?;
    let has_pixels = rows.iter().any(|(_, intervals)| intervals.has_pixels());
    let is_shown = |metric: &Metric| metric.level() == Level::Image || has_pixels;
    let metrics = Metric::ALL.into_iter().filter(|metric| metric.has_intervals());
    let metrics: Vec<Metric> = metrics.filter(is_shown).collect();
    metrics.iter().try_for_each(|metric| write!(f, "  {:>INTERVAL$}", metric.head()))?;
    for (name, intervals) in rows {
        write!(f, "\n{name:<width$}")?;
        for metric in &metrics {
            let percents = |found: Interval| [100.0 * found.low, 100.0 * found.high];
            let cell =
                intervals[*metric].map(percents).map(|[low, high]| format!("{low:.1}-{high:.1}"));
            write!(f, "  {:>INTERVAL$}", cell.as_deref().unwrap_or("n/a"))?;
        }
    }
    Ok(())
}

/// What calibrated thresholds do, where there are any.
fn write_decisions(f: &mut fmt::Formatter<'_>, report: &Report, width: usize) -> fmt::Result {
    let Some(calibration) = &report.calibration else { return Ok(()) };
    write!(f, "\n{calibration}")?;
    let classes = report.classes.iter().map(|class| (class.class.as_str(), &class.decisions));
    let rows = classes.chain([("mean", &report.mean_decisions)]);
    write!(f, "\n{:<width$}", "class")?;
    let heads = DecisionRate::ALL.map(DecisionRate::head);
    write_heads(f, &heads)?;
    for (name, decisions) in rows {
        let Some(decisions) = decisions else { continue };
        write!(f, "\n{name:<width$}")?;
        write_cells(f, &heads, &decisions.values())?;
    }
    write!(f, "\nTPR, FPR, F1: of decisions by thresholds that were set before, percent.")
}

impl fmt::Display for CalibrationSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, split, images, image_threshold: image, pixel_threshold: pixel } = self;
        let percent = |rate: f64| (1e6 * rate).round() / 1e4;
        write!(
            f,
            "calibrated on {images} normal images of {data} ({split}): scores above {:.4} are \
             anomalous, for an FPR of {} % (true rate {:.2} to {:.2} % with {} %)",
            image.value,
            percent(image.target_fpr),
            percent(image.fpr.low),
            percent(image.fpr.high),
            percent(image.level),
        )?;
        let (value, target) = (pixel.value, percent(pixel.target_fpr));
        write!(f, "; pixels above {value:.4}, for an FPR of {target} %")
    }
}

/// What the heads mean.
fn write_legend(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "\nI: image, P: pixel, percent.")?;
    for metric in Metric::ALL {
        let lower = (metric.direction() == Direction::Lower).then_some("lower is better");
        let notes: Vec<&str> = metric.note().into_iter().chain(lower).collect();
        if !notes.is_empty() {
            write!(f, " {}: {}.", metric.head(), notes.join(", "))?;
        }
    }
    Ok(())
}

fn write_heads(f: &mut fmt::Formatter<'_>, heads: &[&str]) -> fmt::Result {
    heads.iter().try_for_each(|head| write!(f, "  {head:>w$}", w = column_width(head)))
}

fn write_cells(f: &mut fmt::Formatter<'_>, heads: &[&str], values: &[Option<f64>]) -> fmt::Result {
    for (head, value) in heads.iter().zip(values) {
        let cell = value.map_or_else(|| "n/a".to_owned(), |value| format!("{:.1}", 100.0 * value));
        write!(f, "  {cell:>w$}", w = column_width(head))?;
    }
    Ok(())
}

/// A column holds its head and `100.0`.
fn column_width(head: &str) -> usize {
    head.len().max("100.0".len())
}

fn explained(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Paper => {
            "maps and image scores min-max normalised over each class's test images (transductive)"
        }
        Protocol::Raw => "maps and image scores as the detector gives them",
        Protocol::Deployed => {
            "maps and image scores in the ranges of a calibration, nothing taken from the test images"
        }
    }
}

/// Writes a text whole or not at all.
fn write_text(path: &Path, text: &str) -> Result<(), EvalError> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))
}
