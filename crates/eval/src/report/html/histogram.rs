//! How scores of normal and anomalous images are spread: the ones above the line, the others below
//! it, so that nobody has to tell two colours apart.

use maud::{Markup, Render, html};

use super::plane::{Axis, Plane, view_box};

/// Bins over the range of all scores.
const BINS: usize = 24;

/// A histogram of scores.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// What it shows, in a few words.
    pub title: String,
    /// Scores of normal images.
    pub normal: Vec<f32>,
    /// Scores of anomalous images.
    pub anomalous: Vec<f32>,
    /// What scores at least as much is flagged.
    pub threshold: Option<f32>,
    /// What the threshold is.
    pub threshold_name: String,
}

impl Render for Histogram {
    fn render(&self) -> Markup {
        let (low, high) = self.range();
        let x = Axis::even("score", low, high);
        let shares = [shares(&self.normal, &x), shares(&self.anomalous, &x)];
        let most = shares.iter().flatten().copied().fold(0.0, f64::max).max(1e-9);
        let percent = |share: f64| format!("{:.0}%", 100.0 * share.abs());
        let ticks = [-most, 0.0, most].map(|share| (share, percent(share))).to_vec();
        let y = Axis { name: "share of the kind".into(), low: -most, high: most, ticks };
        let plane = Plane { x: &x, y: &y };
        html! {
            figure {
                figcaption { strong { (self.title) } }
                svg viewBox=(view_box()) role="img" aria-label=(self.description()) {
                    (plane.frame())
                    @for (class, shares, side) in [("normal", &shares[0], 1.0), ("anomalous", &shares[1], -1.0)] {
                        path class=(class) d=(columns(&plane, shares, side)) {}
                    }
                    @if let Some(threshold) = self.threshold {
                        @let place = format!("{:.1}", plane.across(f64::from(threshold)));
                        path.mark d={ "M" (place) " " (plane.down(most)) "V" (plane.down(-most)) } {}
                    }
                }
                (self.legend())
            }
        }
    }
}

impl Histogram {
    fn range(&self) -> (f64, f64) {
        let scores = self.normal.iter().chain(&self.anomalous).map(|&score| f64::from(score));
        scores.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), score| {
            (low.min(score), high.max(score))
        })
    }

    fn description(&self) -> String {
        let threshold = self.threshold.map(|value| format!(", {} {value:.3}", self.threshold_name));
        format!(
            "Scores of {} normal images, above, and {} anomalous ones, below{}",
            self.normal.len(),
            self.anomalous.len(),
            threshold.unwrap_or_default()
        )
    }

    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                li { span.swatch.normal {} (self.normal.len()) " normal, above" }
                li { span.swatch.anomalous {} (self.anomalous.len()) " anomalous, below" }
                @if let Some(threshold) = self.threshold {
                    li { "dashed: " (self.threshold_name) ", " (format!("{threshold:.3}")) }
                }
            }
        }
    }
}

/// The share of the scores that lies in each bin.
fn shares(scores: &[f32], axis: &Axis) -> Vec<f64> {
    let mut counts = vec![0.0; BINS];
    let span = axis.high - axis.low;
    for &score in scores {
        let bin = ((f64::from(score) - axis.low) / span * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1.0 / scores.len() as f64;
    }
    counts
}

/// Columns upwards (`side` 1) or downwards (-1) from the middle.
fn columns(plane: &Plane<'_>, shares: &[f64], side: f64) -> String {
    let (axis, zero) = (plane.x, plane.down(0.0));
    let edge = |bin: usize| {
        plane.across(axis.low + (axis.high - axis.low) * bin as f64 / shares.len() as f64)
    };
    let filled = shares.iter().enumerate().filter(|(_, share)| **share > 0.0);
    let columns = filled.map(|(bin, share)| {
        let (left, right, end) = (edge(bin) + 0.5, edge(bin + 1) - 0.5, plane.down(side * share));
        format!("M{left:.1} {zero:.1}V{end:.1}H{right:.1}V{zero:.1}Z")
    });
    columns.collect()
}
