//! The report as a table for a terminal: percent with one decimal, `n/a` where a metric is
//! undefined.

use std::fmt;

use super::{Intervals, Metrics, Protocol, Report};
use crate::metrics::Interval;

pub(super) const HEADS: [&str; 10] =
    ["I-AUROC", "I-AP", "I-F1", "I-ECE", "P-AUROC", "P-AP", "P-F1", "P-IoU", "AUPRO", "AUPRO200"];

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
            write_cells(f, &class.metrics)?;
        }
        let images: usize = self.classes.iter().map(|class| class.images).sum();
        let anomalous: usize = self.classes.iter().map(|class| class.anomalous).sum();
        write!(f, "\n{:<width$}  {images:>6}  {anomalous:>5}", "mean")?;
        write_cells(f, &self.mean)?;
        write!(
            f,
            "\nI: image, P: pixel, percent. AUPRO: every threshold to FPR 0.3; AUPRO200: the 200-step standard."
        )?;
        write!(f, "\nI-ECE: 15 bins, lower is better. P-IoU: at the threshold of P-F1.")?;
        write_intervals(f, self, width)
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
    HEADS[..3].iter().try_for_each(|head| write!(f, "  {head:>INTERVAL$}"))?;
    for (name, intervals) in rows {
        write!(f, "\n{name:<width$}")?;
        for interval in [intervals.image_auroc, intervals.image_ap, intervals.image_f1_max] {
            let percents = |found: Interval| [100.0 * found.low, 100.0 * found.high];
            let cell = interval.map(percents).map(|[low, high]| format!("{low:.1}-{high:.1}"));
            write!(f, "  {:>INTERVAL$}", cell.as_deref().unwrap_or("n/a"))?;
        }
    }
    Ok(())
}

fn write_cells(f: &mut fmt::Formatter<'_>, metrics: &Metrics) -> fmt::Result {
    for (head, value) in HEADS.iter().zip(metrics.columns()) {
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
    }
}
