//! AUROC, average precision, F1-max and the IoU there: what a threshold on a score is worth, over all
//! thresholds.

use super::BinaryMetrics;
use super::tie::{Counts, Tie};

/// The metrics while the threshold goes down. Counts stay integers until the last division.
pub(super) struct Thresholds {
    totals: Counts,
    /// What lies at or above the threshold.
    flagged: Counts,
    /// Twice the number of pairs (anomalous, normal) in the right order, ties counting half.
    twice_ordered: u128,
    /// The sum of (anomalous scores gained) x precision.
    gained: f64,
    best: Best,
}

/// The threshold with the best F1 so far.
#[derive(Clone, Copy, Default)]
struct Best {
    f1: f64,
    iou: f64,
}

impl Thresholds {
    /// Above the highest of scores of which there are `totals`.
    pub(super) fn new(totals: Counts) -> Self {
        let (flagged, best) = (Counts::default(), Best::default());
        Self { totals, flagged, twice_ordered: 0, gained: 0.0, best }
    }

    /// Lowers the threshold to the next tie.
    pub(super) fn lower(&mut self, tie: &Tie) {
        let twice_above = 2 * self.flagged.positives + tie.counts.positives;
        self.twice_ordered += u128::from(tie.counts.negatives) * u128::from(twice_above);
        self.flagged.add(tie.counts);
        // Without a hit more, precision, F1 and IoU only fall.
        if tie.counts.positives > 0 {
            let (hits, flagged) = (self.flagged.positives as f64, self.flagged.all() as f64);
            self.gained += tie.counts.positives as f64 * (hits / flagged);
            let f1 = 2.0 * hits / (self.totals.positives + self.flagged.all()) as f64;
            if f1 > self.best.f1 {
                let union = self.totals.positives + self.flagged.negatives;
                self.best = Best { f1, iou: hits / union as f64 };
            }
        }
    }

    /// The metrics once every tie has been passed.
    pub(super) fn metrics(&self) -> BinaryMetrics {
        if !self.totals.has_both() {
            return BinaryMetrics::default();
        }
        let pairs = u128::from(self.totals.positives) * u128::from(self.totals.negatives);
        BinaryMetrics {
            auroc: Some(self.twice_ordered as f64 / (2 * pairs) as f64),
            ap: Some(self.gained / self.totals.positives as f64),
            f1_max: Some(self.best.f1),
        }
    }

    /// Intersection over union of what is flagged and what is anomalous, at the threshold of F1-max.
    pub(super) fn iou(&self) -> Option<f64> {
        self.totals.has_both().then_some(self.best.iou)
    }
}
