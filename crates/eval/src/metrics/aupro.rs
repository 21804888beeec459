//! Per-region overlap: how much of each anomalous region a threshold finds, whatever the region's
//! size, against the share of normal pixels it flags. Two definitions are in use; both are here.

use super::tie::{Tie, regions};

/// The number of steps of the research standard.
const STEPS: f32 = 200.0;

/// Both areas while the threshold goes down.
pub(super) struct Overlap {
    curve: Curve,
    exact: ExactArea,
    steps: Steps,
}

impl Overlap {
    /// Above the highest score. There is at least one region and one normal pixel.
    pub(super) fn new(curve: Curve, scores: [f32; 2], limit: f64) -> Self {
        let exact = ExactArea { limit, area: 0.0, last: Point::default(), is_done: false };
        let steps = Steps { limit, thresholds: thresholds(scores), points: Vec::new() };
        Self { curve, exact, steps }
    }

    /// Lowers the threshold to the next tie.
    pub(super) fn lower(&mut self, tie: &Tie) {
        self.steps.pass(tie.score(), &self.curve);
        self.curve.lower(tie);
        if !self.exact.is_done {
            self.exact.extend(self.curve.point());
        }
    }

    /// Every threshold, interpolated at the limit, divided by the limit.
    pub(super) fn exact(&self) -> f64 {
        self.exact.area / self.exact.limit
    }

    /// The 200-step research standard: a threshold every 200th of the range, the points under the
    /// limit kept, their false-positive rates stretched to 0..1.
    ///
    /// Points are put in order by false-positive rate, and from the lower threshold to the higher one
    /// where rates are equal: coarse thresholds often share a rate, so the order is part of the
    /// number.
    pub(super) fn two_hundred_steps(&self) -> Option<f64> {
        let mut kept = self.steps.points.clone();
        kept.reverse();
        kept.retain(|point| point.fpr < self.steps.limit);
        kept.sort_by(|a, b| a.fpr.total_cmp(&b.fpr));
        let (first, last) = (kept.first()?.fpr, kept.last()?.fpr);
        let area: f64 = kept.windows(2).map(|pair| trapezoid(&pair[0], &pair[1])).sum();
        (last > first).then(|| area / (last - first))
    }
}

/// The curve at a threshold that goes down.
pub(super) struct Curve {
    regions: f64,
    negatives: f64,
    false_alarms: u64,
    /// The sum of shares of regions found.
    found: u128,
}

impl Curve {
    /// The curve's start, above the highest score.
    pub(super) fn new(regions: u64, negatives: u64) -> Self {
        let (regions, negatives) = (regions as f64, negatives as f64);
        Self { regions, negatives, false_alarms: 0, found: 0 }
    }

    fn lower(&mut self, tie: &Tie) {
        self.false_alarms += tie.counts.negatives;
        self.found += tie.found;
    }

    fn point(&self) -> Point {
        Point {
            fpr: self.false_alarms as f64 / self.negatives,
            overlap: regions(self.found) / self.regions,
        }
    }
}

/// The area under the curve up to a false-positive rate.
struct ExactArea {
    limit: f64,
    area: f64,
    last: Point,
    is_done: bool,
}

impl ExactArea {
    fn extend(&mut self, next: Point) {
        self.is_done = next.fpr > self.limit;
        let next = if self.is_done { self.last.towards(&next, self.limit) } else { next };
        self.area += trapezoid(&self.last, &next);
        self.last = next;
    }
}

/// The curve at equal steps of the score.
struct Steps {
    limit: f64,
    /// Rising; those that were passed are taken off.
    thresholds: Vec<f64>,
    points: Vec<Point>,
}

impl Steps {
    /// Notes the curve at every threshold from which on `score` is not flagged: only what lies
    /// strictly above one is.
    fn pass(&mut self, score: f32, curve: &Curve) {
        while self.thresholds.pop_if(|threshold| f64::from(score) <= *threshold).is_some() {
            self.points.push(curve.point());
        }
    }
}

/// A threshold's place on the curve.
#[derive(Clone, Copy, Default)]
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

/// From the lowest score upwards, a 200th of the range apart, the highest score excluded. The step
/// is rounded to f32, as it is where maps are f32, so there are 200 or 201. None where the range is
/// empty.
fn thresholds([low, high]: [f32; 2]) -> Vec<f64> {
    let step = f64::from((high - low) / STEPS);
    let (low, high) = (f64::from(low), f64::from(high));
    if !(step > 0.0 && step.is_finite()) {
        return Vec::new();
    }
    let count = ((high - low) / step).ceil();
    (0..count as usize).map(|index| low + index as f64 * step).collect()
}

/// Which region each pixel of a mask lies in, and how large each region is.
pub(super) struct Regions {
    /// 0 outside, else the region's index plus 1.
    labels: Vec<u32>,
    areas: Vec<u32>,
}

impl Regions {
    /// The regions of a mask `[height, width]`; its length is a multiple of `width`.
    pub(super) fn of(mask: &[bool], width: usize) -> Self {
        let mut regions = Self { labels: vec![0; mask.len()], areas: Vec::new() };
        for start in 0..mask.len() {
            if mask[start] && regions.labels[start] == 0 {
                regions.flood(mask, width, start);
            }
        }
        regions
    }

    /// For each pixel the label that [`Regions::area`] takes.
    pub(super) fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Pixels of the region that a label stands for; `None` outside.
    pub(super) fn area(&self, label: u32) -> Option<u32> {
        self.areas.get((label as usize).wrapping_sub(1)).copied()
    }

    /// Pixels of each region.
    pub(super) fn areas(&self) -> &[u32] {
        &self.areas
    }

    /// Labels everything connected to `start` as a new region.
    fn flood(&mut self, mask: &[bool], width: usize, start: usize) {
        let label = self.areas.len() as u32 + 1;
        let mut area = 0;
        let mut open = vec![start];
        self.labels[start] = label;
        while let Some(pixel) = open.pop() {
            area += 1;
            for next in neighbours(pixel, width, mask.len() / width) {
                if mask[next] && self.labels[next] == 0 {
                    self.labels[next] = label;
                    open.push(next);
                }
            }
        }
        self.areas.push(area);
    }
}

/// The up to eight pixels around one, and the pixel itself.
fn neighbours(pixel: usize, width: usize, height: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (pixel % width, pixel / width);
    let columns = x.saturating_sub(1)..=(x + 1).min(width - 1);
    let rows = y.saturating_sub(1)..=(y + 1).min(height - 1);
    rows.flat_map(move |row| columns.clone().map(move |column| row * width + column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(rows: &[&str]) -> Regions {
        let mask: Vec<bool> = rows.concat().bytes().map(|byte| byte == b'#').collect();
        Regions::of(&mask, rows[0].len())
    }

    #[test]
    fn corners_connect_and_edges_do_not_wrap() {
        assert_eq!(regions(&["#.", ".#"]).areas(), [2]);
        assert_eq!(regions(&["..#", "#.."]).areas(), [1, 1]);
        assert_eq!(regions(&["#.#", "#.#", "###"]).areas(), [7]);
        assert_eq!(regions(&["#.#.#"]).areas(), [1, 1, 1]);
        assert_eq!(regions(&["...", "..."]).areas(), [0_u32; 0]);
    }

    #[test]
    fn every_pixel_knows_its_region() {
        let regions = regions(&["#...", "..##"]);
        let areas: Vec<_> = regions.labels().iter().map(|&label| regions.area(label)).collect();
        let expected = [Some(1), None, None, None, None, None, Some(2), Some(2)];
        assert_eq!(areas, expected);
    }
}
