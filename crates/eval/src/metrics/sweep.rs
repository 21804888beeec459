//! Every pixel metric from one pass over the ties, from the highest score to the lowest.

use super::aupro::{Curve, Overlap};
use super::threshold::Thresholds;
use super::tie::{Counts, Tie, key, score};
use super::{AUPRO_FPR_LIMIT, PixelMetrics};

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
