//! How training went.

use crate::report::html::{Axis, Line, LineChart, LineStyle, Markup, html};

/// Steps behind and before one that its smoothed value is a mean of, as a share of all steps.
const SMOOTHED: usize = 40;

/// The losses of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingStep {
    /// Steps done, this one included.
    pub step: usize,
    /// What is minimised.
    pub total: f64,
    /// Its part that teaches maps and scores, without what keeps experts apart and busy.
    pub detection: f64,
}

pub(super) fn body(steps: &[TrainingStep]) -> Markup {
    let charts = [
        chart("Loss", steps, |step| step.total),
        chart("Loss of maps and scores", steps, |step| step.detection),
    ];
    html! {
        div.charts { @for chart in &charts { (chart) } }
    }
}

fn chart(title: &str, steps: &[TrainingStep], of: fn(&TrainingStep) -> f64) -> LineChart {
    let points: Vec<[f64; 2]> = steps.iter().map(|step| [step.step as f64, of(step)]).collect();
    let smooth = smoothed(&points, points.len() / SMOOTHED);
    let last = points.last().map_or(0.0, |point| point[0]);
    let ends = points.iter().map(|point| point[1]).filter(|value| value.is_finite());
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let end = smooth.last().map_or(f64::NAN, |point| point[1]);
    LineChart {
        title: title.into(),
        description: format!("{title} over {} steps, {end:.3} in the end", points.len()),
        x: Axis::even("step", 0.0, last),
        y: Axis::even("loss", low, high),
        lines: vec![
            Line { name: Some("each step".into()), points, style: LineStyle::Faint },
            Line { name: Some("running mean".into()), points: smooth, style: LineStyle::First },
        ],
    }
}

/// The mean of every point and of up to `reach` points on both sides.
fn smoothed(points: &[[f64; 2]], reach: usize) -> Vec<[f64; 2]> {
    let mean = |at: usize| {
        let window = &points[at.saturating_sub(reach)..(at + reach + 1).min(points.len())];
        window.iter().map(|point| point[1]).sum::<f64>() / window.len() as f64
    };
    (0..points.len()).map(|at| [points[at][0], mean(at)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_mean_takes_what_there_is_on_both_sides() {
        let points = [[1.0, 3.0], [2.0, 0.0], [3.0, 6.0]];
        assert_eq!(smoothed(&points, 1), [[1.0, 1.5], [2.0, 3.0], [3.0, 3.0]]);
        assert_eq!(smoothed(&points, 0), points);
    }
}
