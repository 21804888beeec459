//! Counts a bucket's pixels by the lower half of their keys, and hands out what it counted as ties.

use std::io;

use super::super::tie::{Counts, Tie, share};
use super::run::{BUCKETS, Head, POSITIVE_WORDS, Sink};

/// Rows that one word of the occupancy stands for.
const ROWS_PER_WORD: usize = u64::BITS as usize;

/// One bucket at a time; gives each tie to `take`, from the highest score to the lowest.
pub(super) struct Histogram<F> {
    take: F,
    bucket: u16,
    /// Rows by the lower half of the key, all zero between buckets.
    negatives: Vec<u64>,
    positives: Vec<u64>,
    found: Vec<u128>,
    /// A bit for each row that holds something, so that empty ones cost nothing.
    occupied: Vec<u64>,
    last_share: Share,
}

/// The share that was worked out last: neighbours mostly lie in one region.
#[derive(Clone, Copy)]
struct Share {
    area: u32,
    share: u128,
}

impl<F: FnMut(Tie)> Histogram<F> {
    pub(super) fn new(take: F) -> Self {
        Self {
            take,
            bucket: 0,
            negatives: vec![0; BUCKETS],
            positives: vec![0; BUCKETS],
            found: vec![0; BUCKETS],
            occupied: vec![0; BUCKETS / ROWS_PER_WORD],
            last_share: Share { area: 1, share: share(1) },
        }
    }

    fn occupy(&mut self, row: usize) {
        self.occupied[row / ROWS_PER_WORD] |= 1 << (row % ROWS_PER_WORD);
    }

    fn share(&mut self, area: u32) -> u128 {
        if area != self.last_share.area {
            self.last_share = Share { area, share: share(area) };
        }
        self.last_share.share
    }

    /// Empties a row.
    fn tie(&mut self, row: usize) -> Tie {
        let take = |column: &mut u64| std::mem::take(column);
        let negatives = take(&mut self.negatives[row]);
        let positives = take(&mut self.positives[row]);
        let found = std::mem::take(&mut self.found[row]);
        let key = u32::from(self.bucket) << 16 | row as u32;
        Tie { key, counts: Counts { positives, negatives }, found }
    }
}

impl<F: FnMut(Tie)> Sink for Histogram<F> {
    fn begin(&mut self, head: Head) -> io::Result<()> {
        self.bucket = head.bucket;
        Ok(())
    }

    fn negatives(&mut self, words: &[u16]) -> io::Result<()> {
        for &word in words {
            let row = usize::from(word);
            self.negatives[row] += 1;
            self.occupy(row);
        }
        Ok(())
    }

    fn positives(&mut self, words: &[u16]) -> io::Result<()> {
        let (pixels, _) = words.as_chunks::<POSITIVE_WORDS>();
        for &[word, low, high] in pixels {
            let row = usize::from(word);
            self.positives[row] += 1;
            self.found[row] += self.share(u32::from(high) << 16 | u32::from(low));
            self.occupy(row);
        }
        Ok(())
    }

    fn end(&mut self) {
        for word in 0..self.occupied.len() {
            let mut rows = std::mem::take(&mut self.occupied[word]);
            while rows != 0 {
                let row = word * ROWS_PER_WORD + rows.trailing_zeros() as usize;
                rows &= rows - 1;
                let tie = self.tie(row);
                (self.take)(tie);
            }
        }
    }
}
