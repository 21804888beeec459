//! AUROC, average precision and F1-max: what a threshold on a score is worth, over all thresholds.

use super::ranking::Ranking;

/// The share of pairs (anomalous, normal) in the right order, ties counting half.
pub(super) fn auroc(ranking: &Ranking) -> Option<f64> {
    let pairs = u128::from(ranking.positives()) * u128::from(ranking.negatives());
    if pairs == 0 {
        return None;
    }
    let mut above = 0_u64;
    let mut twice_ordered = 0_u128;
    for tie in ranking.ties() {
        let tied = tie.positives.len() as u64;
        twice_ordered += u128::from(tie.negatives) * u128::from(2 * above + tied);
        above += tied;
    }
    Some(twice_ordered as f64 / (2 * pairs) as f64)
}

/// The sum over thresholds of (recall gained) x precision.
pub(super) fn average_precision(ranking: &Ranking) -> Option<f64> {
    if !ranking.has_both() {
        return None;
    }
    let mut counts = Counts::default();
    let gained = ranking.ties().map(|tie| {
        counts.add(tie.positives.len(), tie.negatives);
        tie.positives.len() as f64 * counts.precision()
    });
    Some(gained.sum::<f64>() / ranking.positives() as f64)
}

/// The highest harmonic mean of precision and recall.
pub(super) fn f1_max(ranking: &Ranking) -> Option<f64> {
    if !ranking.has_both() {
        return None;
    }
    let mut counts = Counts::default();
    let f1s = ranking.ties().map(|tie| {
        counts.add(tie.positives.len(), tie.negatives);
        2.0 * counts.hits as f64 / (ranking.positives() + counts.flagged()) as f64
    });
    Some(f1s.fold(0.0, f64::max))
}

/// What lies at or above the current threshold.
#[derive(Default)]
struct Counts {
    hits: u64,
    false_alarms: u64,
}

impl Counts {
    fn add(&mut self, positives: usize, negatives: u64) {
        self.hits += positives as u64;
        self.false_alarms += negatives;
    }

    fn flagged(&self) -> u64 {
        self.hits + self.false_alarms
    }

    fn precision(&self) -> f64 {
        self.hits as f64 / self.flagged() as f64
    }
}
