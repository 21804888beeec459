//! A batch of pixels, and the run that it becomes: one pass counts the buckets, one puts every pixel
//! into its place.

use super::super::tie::Counts;
use super::run::{BUCKETS, HEAD_WORDS, Head, POSITIVE_WORDS, Run};

/// Most bytes of a batch, whatever the limit: its run should be written within the cache.
const LARGEST: usize = 16 << 20;

/// Pixels as they come.
#[derive(Debug)]
pub(super) struct Batch {
    /// Keys of the normal pixels.
    pub(super) negatives: Vec<u32>,
    pub(super) positives: Vec<Positive>,
    bytes: usize,
}

/// An anomalous pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positive {
    pub(super) key: u32,
    /// Pixels of its region.
    pub(super) area: u32,
}

/// Where the next pixel of a bucket goes.
#[derive(Clone, Copy, Default)]
struct Heads {
    negative: usize,
    positive: usize,
}

impl Batch {
    /// An empty batch that takes so many bytes; at least one pixel.
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(size_of::<Positive>(), LARGEST);
        Self { negatives: Vec::new(), positives: Vec::new(), bytes }
    }

    /// Pixels that an empty batch takes, whatever their kind.
    pub(super) fn capacity(&self) -> usize {
        self.bytes / size_of::<Positive>()
    }

    /// Whether `pixels` more fit, whatever their kind.
    pub(super) fn takes(&self, pixels: usize) -> bool {
        let held = size_of_val(&self.negatives[..]) + size_of_val(&self.positives[..]);
        held + pixels * size_of::<Positive>() <= self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.negatives.is_empty() && self.positives.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.negatives.clear();
        self.positives.clear();
    }

    /// The batch in order of buckets.
    pub(super) fn to_run(&self) -> Run {
        let counts = self.counts();
        let filled = counts.iter().filter(|counts| counts.all() > 0).count();
        let pixels = self.negatives.len() + POSITIVE_WORDS * self.positives.len();
        let mut words = vec![0; HEAD_WORDS * filled + pixels];
        let mut places = heads(&counts, &mut words);
        for &key in &self.negatives {
            let place = &mut places[bucket(key)].negative;
            words[*place] = key as u16;
            *place += 1;
        }
        for &Positive { key, area } in &self.positives {
            let place = &mut places[bucket(key)].positive;
            let pixel = [key as u16, area as u16, (area >> 16) as u16];
            words[*place..*place + POSITIVE_WORDS].copy_from_slice(&pixel);
            *place += POSITIVE_WORDS;
        }
        Run::in_memory(words, filled)
    }

    fn counts(&self) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); BUCKETS];
        self.negatives.iter().for_each(|&key| counts[bucket(key)].negatives += 1);
        self.positives.iter().for_each(|pixel| counts[bucket(pixel.key)].positives += 1);
        counts
    }
}

/// Writes the head of every bucket that holds something, and says where its pixels go.
fn heads(counts: &[Counts], words: &mut [u16]) -> Vec<Heads> {
    let mut places = vec![Heads::default(); BUCKETS];
    let mut at = 0;
    for (bucket, &counts) in (0..=u16::MAX).zip(counts).filter(|(_, counts)| counts.all() > 0) {
        words[at..at + HEAD_WORDS].copy_from_slice(&Head { bucket, counts }.to_words());
        let negative = at + HEAD_WORDS;
        let positive = negative + counts.negatives as usize;
        places[usize::from(bucket)] = Heads { negative, positive };
        at = positive + POSITIVE_WORDS * counts.positives as usize;
    }
    places
}

fn bucket(key: u32) -> usize {
    (key >> 16) as usize
}
