//! Every pixel metric from one pass over the ties, from the highest score to the lowest.

use super::aupro::{Curve, Overlap};
use super::tie::{Counts, Tie, key, score};
use super::{AUPRO_FPR_LIMIT, BinaryMetrics, PixelMetrics};

/// What is known of all pixels before the first tie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) counts: Counts,
    /// Connected anomalous regions.
    pub(super) regions: u64,
    /// The keys of the highest and the lowest score; in the wrong order while there is none.
    pub(super) keys: [u32; 2],
}

impl Totals {
    pub(super) fn none() -> Self {
        Self { counts: Counts::default(), regions: 0, keys: [u32::MAX, u32::MIN] }
    }

    /// Takes in a range of scores.
    pub(super) fn widen(&mut self, low: f32, high: f32) {
        let [highest, lowest] = self.keys;
        self.keys = [highest.min(key(high)), lowest.max(key(low))];
    }
}

/// All pixel metrics while the threshold goes down.
pub(super) struct Sweep {
    thresholds: Thresholds,
    overlap: Overlap,
}

impl Sweep {
    /// Above the highest score. `None` without both kinds of pixels: nothing is defined then.
    pub(super) fn new(totals: &Totals) -> Option<Self> {
        let [highest, lowest] = totals.keys;
        let curve = Curve::new(totals.regions, totals.counts.negatives);
        totals.counts.has_both().then(|| Self {
            thresholds: Thresholds::new(totals.counts),
            overlap: Overlap::new(curve, [score(lowest), score(highest)], AUPRO_FPR_LIMIT),
        })
    }

    /// Lowers the threshold to the next tie.
    pub(super) fn lower(&mut self, tie: &Tie) {
        self.thresholds.lower(tie);
        self.overlap.lower(tie);
    }

    /// Of a bootstrap's draw, in which there are normal and anomalous pixels. The range of its scores is
    /// not known, so AUPRO by 200 steps is left out.
    pub(super) fn of_draw(counts: Counts, regions: u64) -> Self {
        let curve = Curve::new(regions, counts.negatives);
        let overlap = Overlap::new(curve, [0.0; 2], AUPRO_FPR_LIMIT);
        Self { thresholds: Thresholds::new(counts), overlap }
    }

    /// Lowers the threshold past normal pixels of whatever scores: only their number counts.
    pub(super) fn lower_past(&mut self, key: u32, negatives: u64) {
        let counts = Counts { positives: 0, negatives };
        self.lower(&Tie { key, counts, found: 0 });
    }

    /// The metrics once every tie has been passed.
    pub(super) fn metrics(&self) -> PixelMetrics {
        let binary = self.thresholds.metrics();
        PixelMetrics {
            auroc: binary.auroc,
            ap: binary.ap,
            f1_max: binary.f1_max,
            iou: self.thresholds.iou(),
            aupro_exact: Some(self.overlap.exact()),
            aupro_200: self.overlap.two_hundred_steps(),
        }
    }
}

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
