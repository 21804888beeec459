//! The report as a table for a terminal: percent with one decimal, `n/a` where a metric is
//! undefined.

use std::fmt;

use super::{CalibrationSummary, Intervals, Protocol, Report};
use crate::metrics::Interval;

pub(super) const HEADS: [&str; 10] =
    ["I-AUROC", "I-AP", "I-F1", "I-ECE", "P-AUROC", "P-AP", "P-F1", "P-IoU", "AUPRO", "AUPRO200"];

/// Heads of the decisions by calibrated thresholds.
pub(super) const DECISION_HEADS: [&str; 6] = ["I-TPR", "I-FPR", "I-F1", "P-TPR", "P-FPR", "P-F1"];

/// Heads of the columns of [`Intervals`].
const INTERVAL_HEADS: [&str; 8] =
    ["I-AUROC", "I-AP", "I-F1", "P-AUROC", "P-AP", "P-F1", "P-IoU", "AUPRO"];

/// Width of an interval: `100.0-100.0`.
const INTERVAL: usize = 11;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.classes.iter().map(|class| class.class.chars().count());
        let width = names.max().unwrap_or(0).max("class".len());
        writeln!(f, "protocol {}: {}", self.protocol, explained(self.protocol))?;
        write!(f, "{:<width$}  {:>6}  {:>5}", "class", "images", "anom.")?;
        for head in HEADS {
            write!(f, "  {head:>w$}", w = column_width(head))?;
        }
        for class in &self.classes {
            write!(f, "\n{:<width$}  {:>6}  {:>5}", class.class, class.images, class.anomalous)?;
            write_cells(f, &HEADS, &class.metrics.columns())?;
        }
        let images: usize = self.classes.iter().map(|class| class.images).sum();
        let anomalous: usize = self.classes.iter().map(|class| class.anomalous).sum();
        write!(f, "\n{:<width$}  {images:>6}  {anomalous:>5}", "mean")?;
        write_cells(f, &HEADS, &self.mean.columns())?;
        write!(
            f,
            "\nI: image, P: pixel, percent. AUPRO: every threshold to FPR 0.3; AUPRO200: the 200-step standard."
        )?;
        write!(f, "\nI-ECE: 15 bins, lower is better. P-IoU: at the threshold of P-F1.")?;
        write_intervals(f, self, width)?;
        write_decisions(f, self, width)
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
    let columns = if rows.iter().any(|(_, intervals)| intervals.has_pixels()) { 8 } else { 3 };
    INTERVAL_HEADS[..columns].iter().try_for_each(|head| write!(f, "  {head:>INTERVAL$}"))?;
    for (name, intervals) in rows {
        write!(f, "\n{name:<width$}")?;
        for interval in &intervals.columns()[..columns] {
            let percents = |found: Interval| [100.0 * found.low, 100.0 * found.high];
            let cell = interval.map(percents).map(|[low, high]| format!("{low:.1}-{high:.1}"));
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
    DECISION_HEADS.iter().try_for_each(|head| write!(f, "  {head:>w$}", w = column_width(head)))?;
    for (name, decisions) in rows {
        let Some(decisions) = decisions else { continue };
        write!(f, "\n{name:<width$}")?;
        write_cells(f, &DECISION_HEADS, &decisions.columns())?;
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
