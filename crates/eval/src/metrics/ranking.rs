//! Image scores sorted from high to low, once, and counted as often as a resample asks.

use super::BinaryMetrics;
use super::threshold::Thresholds;
use super::tie::{Counts, Tie, key};

/// Finite scores with their labels, sorted from high to low.
pub(super) struct Ranking {
    entries: Vec<RankedScore>,
}

#[derive(Clone, Copy)]
struct RankedScore {
    key: u32,
    label: bool,
    /// Its place before the sort.
    index: usize,
}

impl Ranking {
    /// Ranks finite scores; both slices are equally long.
    pub(super) fn new(scores: &[f32], labels: &[bool]) -> Self {
        let pairs = scores.iter().zip(labels).enumerate();
        let mut entries: Vec<RankedScore> = pairs
            .map(|(index, (&score, &label))| RankedScore { key: key(score), label, index })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        Self { entries }
    }

    /// The metrics of the scores as they are.
    pub(super) fn metrics(&self) -> BinaryMetrics {
        self.weighted(|_| 1)
    }

    /// How many there are of each kind.
    pub(super) fn counts(&self) -> Counts {
        count(&self.entries, |_| 1)
    }

    /// Every tie, from the highest score down.
    pub(super) fn ties(&self, mut take: impl FnMut(Tie)) {
        for tied in self.entries.chunk_by(|a, b| a.key == b.key) {
            take(Tie { key: tied[0].key, counts: count(tied, |_| 1), found: 0 });
        }
    }

    /// The metrics where the score that stood at an index is there `weight(index)` times.
    pub(super) fn weighted(&self, weight: impl Fn(usize) -> u64) -> BinaryMetrics {
        let count = |entries: &[RankedScore]| count(entries, &weight);
        let mut thresholds = Thresholds::new(count(&self.entries));
        for tied in self.entries.chunk_by(|a, b| a.key == b.key) {
            thresholds.lower(&Tie { key: tied[0].key, counts: count(tied), found: 0 });
        }
        thresholds.metrics()
    }
}

/// How many there are of each kind where an entry counts `weight(index)` times.
fn count(entries: &[RankedScore], weight: impl Fn(usize) -> u64) -> Counts {
    let mut counts = Counts::default();
    for entry in entries {
        let weight = weight(entry.index);
        counts.add(match entry.label {
            true => Counts { positives: weight, negatives: 0 },
            false => Counts { positives: 0, negatives: weight },
        });
    }
    counts
}
