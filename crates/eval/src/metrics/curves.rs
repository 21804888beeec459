//! ROC and precision-recall curves for a person to look at: the points of the exact curve, thinned so
//! that no step between two kept ones is wider than a hundredth.

use serde::Serialize;

use super::tie::{Counts, Ranking, Tie};

/// The step between two points that a reader could still see.
const STEP: f64 = 0.01;

/// Two curves of the same scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curves {
    /// `[false-positive rate, true-positive rate]`, from `[0, 0]` to `[1, 1]`.
    pub roc: Vec<[f64; 2]>,
    /// `[recall, precision]`, from the highest threshold that finds something down.
    pub precision_recall: Vec<[f64; 2]>,
    /// The threshold of the best F1: what scores at least as much is flagged.
    pub best_threshold: f32,
}

impl Curves {
    /// The curves of finite scores, `labels` `true` where anomalous; both slices are equally long.
    /// `None` unless there are both kinds.
    pub(crate) fn of_finite(scores: &[f32], labels: &[bool]) -> Option<Self> {
        let ranking = Ranking::new(scores, labels);
        let mut recorder = Recorder::new(ranking.counts())?;
        ranking.ties(|tie| recorder.lower(&tie));
        Some(recorder.finish())
    }
}

/// Takes ties from the highest score down and keeps the points that can be told apart.
pub(super) struct Recorder {
    totals: Counts,
    flagged: Counts,
    curves: Curves,
    best_f1: f64,
    /// The last point of each curve, kept or not.
    last: [Option<[f64; 2]>; 2],
}

impl Recorder {
    /// `None` unless there are both kinds among `totals`: no curve is defined then.
    pub(super) fn new(totals: Counts) -> Option<Self> {
        let curves = Curves { roc: vec![[0.0, 0.0]], ..Curves::default() };
        let flagged = Counts::default();
        let start = Self { totals, flagged, curves, best_f1: 0.0, last: [None, None] };
        totals.has_both().then_some(start)
    }

    /// Lowers the threshold to the next tie.
    pub(super) fn lower(&mut self, tie: &Tie) {
        self.flagged.add(tie.counts);
        let share = |count: u64, of: u64| count as f64 / of as f64;
        let recall = share(self.flagged.positives, self.totals.positives);
        let rate = share(self.flagged.negatives, self.totals.negatives);
        keep(&mut self.curves.roc, &mut self.last[0], [rate, recall]);
        if tie.counts.positives > 0 {
            let precision = share(self.flagged.positives, self.flagged.all());
            keep(&mut self.curves.precision_recall, &mut self.last[1], [recall, precision]);
            let f1 = share(2 * self.flagged.positives, self.totals.positives + self.flagged.all());
            if f1 > self.best_f1 {
                (self.best_f1, self.curves.best_threshold) = (f1, tie.score());
            }
        }
    }

    /// The curves once every tie has been passed.
    pub(super) fn finish(mut self) -> Curves {
        let curves = [&mut self.curves.roc, &mut self.curves.precision_recall];
        for (curve, last) in curves.into_iter().zip(self.last) {
            curve.extend(last.filter(|last| curve.last() != Some(last)));
        }
        self.curves
    }
}

/// Keeps `point` when it lies a step from the last kept one, and the point before it where the curve
/// made a leap, so that a corner stays one.
fn keep(curve: &mut Vec<[f64; 2]>, last: &mut Option<[f64; 2]>, point: [f64; 2]) {
    let far =
        |from: &[f64; 2]| (from[0] - point[0]).abs() >= STEP || (from[1] - point[1]).abs() >= STEP;
    if curve.last().is_none_or(far) {
        let corner = last.filter(|last| far(last) && curve.last() != Some(last));
        curve.extend(corner);
        curve.push(point);
    }
    *last = Some(point);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(points: &[[f64; 2]]) -> f64 {
        points.windows(2).map(|p| (p[1][0] - p[0][0]) * (p[0][1] + p[1][1]) / 2.0).sum()
    }

    #[test]
    fn few_scores_keep_every_point_and_their_area() {
        let (scores, labels) = ([0.9, 0.8, 0.7, 0.7, 0.1], [true, false, true, false, false]);
        let curves = Curves::of_finite(&scores, &labels).unwrap();
        let expected = super::super::of_finite(&scores, &labels).auroc.unwrap();
        assert!((area(&curves.roc) - expected).abs() < 1e-12, "{curves:?}");
        assert_eq!(curves.precision_recall, [[0.5, 1.0], [1.0, 0.5]]);
        assert_eq!(curves.best_threshold, 0.9, "a tie of F1 keeps the higher threshold");
        assert_eq!(Curves::of_finite(&scores, &[true; 5]), None);
    }

    #[test]
    fn many_scores_are_thinned_and_their_area_stays() {
        let scores: Vec<f32> = (0..20_000u32).map(|n| ((n * 7919) % 20_011) as f32).collect();
        let labels: Vec<bool> =
            (0..20_000u32).map(|n| (n * 31) % 97 + (n * 7919) % 20_011 / 300 > 90).collect();
        let curves = Curves::of_finite(&scores, &labels).unwrap();
        assert!(curves.roc.len() < 300, "{} points", curves.roc.len());
        let expected = super::super::of_finite(&scores, &labels).auroc.unwrap();
        assert!((area(&curves.roc) - expected).abs() < 2e-3, "{} {expected}", area(&curves.roc));
        assert_eq!(curves.roc.last(), Some(&[1.0, 1.0]));
    }
}
