//! Scores sorted from high to low and grouped where they tie: the one pass that every metric reads.

use super::MaskedMap;
use super::regions::Regions;

/// Anomalous and normal scores, each sorted from high to low.
pub(super) struct Ranking {
    positives: Vec<Positive>,
    /// Keys of the normal scores.
    negatives: Vec<u32>,
    /// Pixels of each region; empty where scores have no regions.
    areas: Vec<u64>,
}

/// An anomalous score and the region it lies in.
#[derive(Clone, Copy)]
pub(super) struct Positive {
    key: u32,
    /// Index into [`Ranking::areas`].
    pub(super) region: u32,
}

/// All that shares one score.
pub(super) struct Tie<'a> {
    pub(super) score: f32,
    pub(super) positives: &'a [Positive],
    pub(super) negatives: u64,
}

/// The ties of a ranking, from the highest score to the lowest.
pub(super) struct Ties<'a> {
    positives: &'a [Positive],
    negatives: &'a [u32],
}

impl Ranking {
    /// Ranks finite scores; both slices are equally long.
    pub(super) fn of_scores(scores: &[f32], labels: &[bool]) -> Self {
        let mut ranking = Self::empty();
        for (&score, &label) in scores.iter().zip(labels) {
            ranking.push(score, label.then_some(0));
        }
        ranking.sorted()
    }

    /// Ranks every pixel of every map and knows which region each anomalous pixel lies in.
    pub(super) fn of_maps(maps: &[MaskedMap<'_>]) -> Self {
        let mut ranking = Self::empty();
        for MaskedMap { map, mask } in maps {
            match mask {
                None => ranking.negatives.extend(map.values().iter().map(|&score| key(score))),
                Some(mask) => ranking.push_masked(map.values(), &Regions::of(mask, map.width())),
            }
        }
        ranking.sorted()
    }

    pub(super) fn positives(&self) -> u64 {
        self.positives.len() as u64
    }

    pub(super) fn negatives(&self) -> u64 {
        self.negatives.len() as u64
    }

    /// Pixels of each region.
    pub(super) fn areas(&self) -> &[u64] {
        &self.areas
    }

    /// Whether both kinds of score are there: without, nothing is defined.
    pub(super) fn has_both(&self) -> bool {
        !self.positives.is_empty() && !self.negatives.is_empty()
    }

    pub(super) fn ties(&self) -> Ties<'_> {
        Ties { positives: &self.positives, negatives: &self.negatives }
    }

    /// The lowest score, where there is any.
    pub(super) fn lowest(&self) -> Option<f32> {
        let positive = self.positives.last().map(|positive| positive.key);
        let negative = self.negatives.last().copied();
        positive.max(negative).map(score)
    }

    /// The highest score, where there is any.
    pub(super) fn highest(&self) -> Option<f32> {
        self.ties().next().map(|tie| tie.score)
    }

    fn empty() -> Self {
        Self { positives: Vec::new(), negatives: Vec::new(), areas: Vec::new() }
    }

    fn push(&mut self, score: f32, region: Option<u32>) {
        let key = key(score);
        match region {
            Some(region) => self.positives.push(Positive { key, region }),
            None => self.negatives.push(key),
        }
    }

    fn push_masked(&mut self, values: &[f32], regions: &Regions) {
        let first = self.areas.len() as u32;
        for (&score, region) in values.iter().zip(regions.labels()) {
            self.push(score, region.map(|region| first + region));
        }
        self.areas.extend_from_slice(regions.areas());
    }

    fn sorted(mut self) -> Self {
        self.positives.sort_unstable_by_key(|positive| positive.key);
        self.negatives.sort_unstable();
        self
    }
}

impl<'a> Iterator for Ties<'a> {
    type Item = Tie<'a>;

    fn next(&mut self) -> Option<Tie<'a>> {
        let heads =
            [self.positives.first().map(|positive| positive.key), self.negatives.first().copied()];
        let key = heads.into_iter().flatten().min()?;
        let is_tied = self.positives.iter().take_while(|positive| positive.key == key);
        let (positives, rest) = self.positives.split_at(is_tied.count());
        self.positives = rest;
        let negatives = self.negatives.iter().take_while(|&&other| other == key).count();
        self.negatives = &self.negatives[negatives..];
        Some(Tie { score: score(key), positives, negatives: negatives as u64 })
    }
}

/// An integer that sorts upwards where the score goes down. Both zeros get the same.
fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    let upwards = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !upwards
}

/// The score of a key.
fn score(key: u32) -> f32 {
    let upwards = !key;
    let bits = if upwards >> 31 == 1 { upwards & !(1 << 31) } else { !upwards };
    f32::from_bits(bits)
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
    fn ties_run_from_high_to_low() {
        let ranking =
            Ranking::of_scores(&[1.0, 3.0, -2.0, 3.0, 1.0], &[true, false, false, true, true]);
        let ties: Vec<_> =
            ranking.ties().map(|tie| (tie.score, tie.positives.len(), tie.negatives)).collect();
        assert_eq!(ties, [(3.0, 1, 1), (1.0, 2, 0), (-2.0, 0, 1)]);
        assert_eq!((ranking.highest(), ranking.lowest()), (Some(3.0), Some(-2.0)));
    }
}
