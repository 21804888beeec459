//! Per-region overlap: how much of each anomalous region a threshold finds, whatever the region's
//! size, against the share of normal pixels it flags. Two definitions are in use; both are here.

use super::ranking::{Ranking, Tie};

/// The number of steps of the research standard.
const STEPS: f32 = 200.0;

/// Every threshold, interpolated at `limit`, divided by `limit`.
pub(super) fn exact(ranking: &Ranking, limit: f64) -> Option<f64> {
    let mut curve = Curve::of(ranking)?;
    let mut area = 0.0;
    let mut last = curve.point();
    for tie in ranking.ties() {
        curve.lower(&tie);
        let next = curve.point();
        if next.fpr > limit {
            let cut = last.towards(&next, limit);
            return Some((area + trapezoid(&last, &cut)) / limit);
        }
        area += trapezoid(&last, &next);
        last = next;
    }
    Some(area / limit)
}

/// The 200-step research standard: a threshold every 200th of the range, the points under `limit`
/// kept, their false-positive rates stretched to 0..1.
///
/// Points are put in order by false-positive rate, and from the lower threshold to the higher one
/// where rates are equal: coarse thresholds often share a rate, so the order is part of the number.
pub(super) fn two_hundred_steps(ranking: &Ranking, limit: f64) -> Option<f64> {
    let mut kept = points_at(ranking, &thresholds(ranking)?)?;
    kept.retain(|point| point.fpr < limit);
    kept.sort_by(|a, b| a.fpr.total_cmp(&b.fpr));
    let (first, last) = (kept.first()?.fpr, kept.last()?.fpr);
    let area: f64 = kept.windows(2).map(|pair| trapezoid(&pair[0], &pair[1])).sum();
    (last > first).then(|| area / (last - first))
}

/// A threshold's place on the curve.
#[derive(Clone, Copy)]
struct Point {
    /// The share of normal pixels flagged.
    fpr: f64,
    /// The mean over regions of the share of the region found.
    overlap: f64,
}

impl Point {
    /// The point at `fpr` on the line to `next`.
    fn towards(&self, next: &Point, fpr: f64) -> Point {
        let share = (fpr - self.fpr) / (next.fpr - self.fpr);
        let overlap = self.overlap + share * (next.overlap - self.overlap);
        Point { fpr, overlap }
    }
}

fn trapezoid(from: &Point, to: &Point) -> f64 {
    (to.fpr - from.fpr) * (from.overlap + to.overlap) / 2.0
}

/// The curve while the threshold goes down.
struct Curve<'a> {
    areas: &'a [u64],
    negatives: u64,
    false_alarms: u64,
    /// The sum over regions of the share found.
    found: f64,
}

impl<'a> Curve<'a> {
    /// The curve's start, above the highest score. `None` without regions or without normal pixels.
    fn of(ranking: &'a Ranking) -> Option<Self> {
        ranking.has_both().then(|| Self {
            areas: ranking.areas(),
            negatives: ranking.negatives(),
            false_alarms: 0,
            found: 0.0,
        })
    }

    fn lower(&mut self, tie: &Tie<'_>) {
        self.false_alarms += tie.negatives;
        let shares =
            tie.positives.iter().map(|positive| 1.0 / self.areas[positive.region as usize] as f64);
        self.found += shares.sum::<f64>();
    }

    fn point(&self) -> Point {
        Point {
            fpr: self.false_alarms as f64 / self.negatives as f64,
            overlap: self.found / self.areas.len() as f64,
        }
    }
}

/// From the lowest score upwards, a 200th of the range apart, the highest score excluded. The step
/// is rounded to f32, as it is where maps are f32, so there are 200 or 201. `None` where the range
/// is empty.
fn thresholds(ranking: &Ranking) -> Option<Vec<f64>> {
    let (low, high) = (ranking.lowest()?, ranking.highest()?);
    let step = f64::from((high - low) / STEPS);
    let (low, high) = (f64::from(low), f64::from(high));
    let count = ((high - low) / step).ceil();
    let is_sound = step > 0.0 && step.is_finite();
    is_sound.then(|| (0..count as usize).map(|index| low + index as f64 * step).collect())
}

/// The curve's point at each of the rising `thresholds`; what lies strictly above one is flagged.
fn points_at(ranking: &Ranking, thresholds: &[f64]) -> Option<Vec<Point>> {
    let mut curve = Curve::of(ranking)?;
    let mut ties = ranking.ties().peekable();
    let downwards = thresholds.iter().rev().map(|&threshold| {
        while let Some(tie) = ties.next_if(|tie| f64::from(tie.score) > threshold) {
            curve.lower(&tie);
        }
        curve.point()
    });
    let mut points: Vec<Point> = downwards.collect();
    points.reverse();
    Some(points)
}
