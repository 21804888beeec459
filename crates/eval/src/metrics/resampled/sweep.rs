//! All draws side by side, while the threshold goes down.

use crate::metrics::PixelMetrics;
use crate::metrics::sweep::Sweep;
use crate::metrics::tie::{Counts, Tie};

/// What a group holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupTotals {
    pub(super) counts: Counts,
    pub(super) regions: u64,
}

/// The metrics of every draw.
pub(super) struct Draws {
    /// How often each draw takes a group, group by group.
    weights: Vec<u64>,
    /// Without a draw in which nothing is defined.
    draws: Vec<Option<Sweep>>,
    /// Of each draw the normal pixels passed since its metrics moved last: these move only where an
    /// anomalous pixel is found.
    passed: Vec<u64>,
    tie: GroupedTie,
}

/// What shares one score, by group.
struct GroupedTie {
    key: u32,
    groups: Vec<GroupCounts>,
    /// Groups that hold something.
    touched: Vec<usize>,
    has_anomalous: bool,
}

#[derive(Clone, Copy, Default)]
struct GroupCounts {
    counts: Counts,
    share: u128,
}

impl Draws {
    /// Above the highest score; a draw says how often it takes each group.
    pub(super) fn new(totals: &[GroupTotals], draws: &[Vec<u64>]) -> Self {
        let times = |draw: &Vec<u64>, group: usize| draw.get(group).copied().unwrap_or_default();
        let groups = 0..totals.len();
        let weights = groups.clone().flat_map(|group| draws.iter().map(move |d| times(d, group)));
        let draw = |draw: &Vec<u64>| {
            let (mut counts, mut regions) = (Counts::default(), 0);
            for group in groups.clone() {
                counts.add(totals[group].counts.times(times(draw, group)));
                regions += totals[group].regions * times(draw, group);
            }
            counts.has_both().then(|| Sweep::of_draw(counts, regions))
        };
        Self {
            weights: weights.collect(),
            draws: draws.iter().map(draw).collect(),
            passed: vec![0; draws.len()],
            tie: GroupedTie::new(totals.len()),
        }
    }

    /// Takes a normal pixel in; keys come in order.
    pub(super) fn normal(&mut self, key: u32, group: usize) {
        self.at(key, group).counts.negatives += 1;
    }

    /// Takes an anomalous pixel in, with the share of its region that it is.
    pub(super) fn anomalous(&mut self, key: u32, group: usize, share: u128) {
        let found = self.at(key, group);
        found.counts.positives += 1;
        found.share += share;
        self.tie.has_anomalous = true;
    }

    /// The metrics of each draw; AUPRO by 200 steps is left out.
    pub(super) fn finish(mut self) -> Vec<PixelMetrics> {
        self.close_tie();
        let key = self.tie.key;
        let finish = |(draw, passed): (Option<Sweep>, u64)| {
            let Some(mut draw) = draw else { return PixelMetrics::default() };
            draw.lower_past(key, passed);
            draw.metrics()
        };
        self.draws.into_iter().zip(self.passed).map(finish).collect()
    }

    fn at(&mut self, key: u32, group: usize) -> &mut GroupCounts {
        if key != self.tie.key {
            self.close_tie();
            self.tie.key = key;
        }
        let found = &mut self.tie.groups[group];
        if found.counts == Counts::default() {
            self.tie.touched.push(group);
        }
        found
    }

    fn close_tie(&mut self) {
        if self.tie.has_anomalous {
            self.lower()
        } else {
            self.pass()
        }
        for group in self.tie.touched.drain(..) {
            self.tie.groups[group] = GroupCounts::default();
        }
        self.tie.has_anomalous = false;
    }

    /// Passes a tie of normal pixels.
    fn pass(&mut self) {
        for &group in &self.tie.touched {
            let count = self.tie.groups[group].counts.negatives;
            let row = &self.weights[group * self.passed.len()..][..self.passed.len()];
            for (passed, weight) in self.passed.iter_mut().zip(row) {
                *passed += count * weight;
            }
        }
    }

    /// Lowers every draw's threshold to a tie with anomalous pixels.
    fn lower(&mut self) {
        let stride = self.passed.len();
        let draws = self.draws.iter_mut().zip(&mut self.passed).enumerate();
        for (index, (draw, passed)) in draws {
            let mut tie = Tie { key: self.tie.key, ..Tie::default() };
            for &group in &self.tie.touched {
                let (weight, found) =
                    (self.weights[group * stride + index], self.tie.groups[group]);
                tie.counts.add(found.counts.times(weight));
                tie.found += found.share * u128::from(weight);
            }
            match draw {
                Some(draw) if tie.counts.positives > 0 => {
                    draw.lower_past(tie.key, std::mem::take(passed));
                    draw.lower(&tie);
                }
                _ => *passed += tie.counts.negatives,
            }
        }
    }
}

impl GroupedTie {
    fn new(groups: usize) -> Self {
        let groups = vec![GroupCounts::default(); groups];
        Self { key: 0, groups, touched: Vec::new(), has_anomalous: false }
    }
}
