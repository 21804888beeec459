//! The unit that every metric counts in: all that shares one score. Metrics read ties from the
//! highest score to the lowest, wherever the scores were kept and however they were sorted.

use super::BinaryMetrics;
use super::sweep::Thresholds;

/// All that shares one score.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tie {
    /// The score's [`key`].
    pub(super) key: u32,
    pub(super) counts: Counts,
    /// The sum over the anomalous pixels of the [`share`] of its region that each is; 0 where scores
    /// have no regions.
    pub(super) found: u128,
}

/// How many scores there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) positives: u64,
    pub(super) negatives: u64,
}

impl Tie {
    pub(super) fn score(&self) -> f32 {
        score(self.key)
    }
}

impl Counts {
    /// Whether both kinds are there: without, nothing is defined.
    pub(super) fn has_both(&self) -> bool {
        self.positives > 0 && self.negatives > 0
    }

    pub(super) fn all(&self) -> u64 {
        self.positives + self.negatives
    }

    /// All of it so many times.
    pub(super) fn times(self, times: u64) -> Self {
        Self { positives: times * self.positives, negatives: times * self.negatives }
    }

    pub(super) fn add(&mut self, other: Counts) {
        self.positives += other.positives;
        self.negatives += other.negatives;
    }
}

/// An integer that sorts upwards where the score goes down. Both zeros get the same.
pub(super) fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    let upwards = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !upwards
}

/// The score of a key.
pub(super) fn score(key: u32) -> f32 {
    let upwards = !key;
    let bits = if upwards >> 31 == 1 { upwards & !(1 << 31) } else { !upwards };
    f32::from_bits(bits)
}

/// Binary digits of a share behind the point.
const SHARE_BITS: u32 = 96;

/// The share of a region of `area` pixels that one pixel is, in fixed point. Sums of shares are sums
/// of integers: the same in any order. What the division drops adds up to less than 2^-64 a region,
/// while a sum of f64 would round at 2^-53; four thousand million regions fit.
pub(super) fn share(area: u32) -> u128 {
    (1 << SHARE_BITS) / u128::from(area.max(1))
}

/// A sum of shares as a number of regions.
pub(super) fn regions(found: u128) -> f64 {
    found as f64 / (1_u128 << SHARE_BITS) as f64
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_and_give_the_score_back() {
        let downwards = [f32::MAX, 2.5, 1e-40, 0.0, -1e-40, -1.0, f32::MIN];
        for pair in downwards.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
        }
        assert_eq!(downwards.map(|value| score(key(value))), downwards);
        assert_eq!(key(-0.0), key(0.0));
    }

    #[test]
    fn the_shares_of_a_region_add_up_to_one() {
        for area in [1, 2, 3, 7, 5329, 268_324, u32::MAX] {
            assert_eq!(regions(share(area) * u128::from(area)), 1.0, "{area} pixels");
        }
    }
}
