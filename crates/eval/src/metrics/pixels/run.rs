//! Runs: pixels in order of buckets, as words of 16 bits, the same in memory and in a file. For each
//! bucket that holds something a head, then the lower halves of its normal pixels, then three words
//! for each anomalous one: the lower half and the region's area.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use crate::metrics::tie::{Counts, Tie, share};

/// Upper halves of a key.
pub(super) const BUCKETS: usize = 1 << 16;
/// Words of a [`Head`].
pub(super) const HEAD_WORDS: usize = 9;
/// Words of an anomalous pixel.
pub(super) const POSITIVE_WORDS: usize = 3;

/// Words read at once: a multiple of [`POSITIVE_WORDS`], within the first cache.
const CHUNK: usize = POSITIVE_WORDS << 11;

/// What comes before a bucket's pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) bucket: u16,
    pub(super) counts: Counts,
}

/// Pixels in order of buckets.
#[derive(Debug)]
pub(super) struct Run {
    words: Words,
    /// Buckets that hold something.
    buckets: usize,
}

#[derive(Debug)]
enum Words {
    Memory(Vec<u16>),
    File(File),
}

/// What reads buckets in order: a table that counts them, or a longer run.
pub(super) trait Sink {
    /// A bucket begins.
    fn begin(&mut self, head: Head) -> io::Result<()>;
    /// Some of its normal pixels.
    fn negatives(&mut self, words: &[u16]) -> io::Result<()>;
    /// Some of its anomalous pixels, all after the normal ones.
    fn positives(&mut self, words: &[u16]) -> io::Result<()>;
    /// The bucket is complete.
    fn end(&mut self);
}

impl Head {
    pub(super) fn to_words(self) -> [u16; HEAD_WORDS] {
        let mut words = [self.bucket; HEAD_WORDS];
        let numbers = [self.counts.negatives, self.counts.positives];
        for (index, word) in words[1..].iter_mut().enumerate() {
            *word = (numbers[index / 4] >> (16 * (index % 4))) as u16;
        }
        words
    }

    fn of_words(words: [u16; HEAD_WORDS]) -> Self {
        let number = |first: usize| (0..4).map(|i| u64::from(words[first + i]) << (16 * i)).sum();
        let counts = Counts { negatives: number(1), positives: number(5) };
        Self { bucket: words[0], counts }
    }
}

impl Run {
    pub(super) fn in_memory(words: Vec<u16>, buckets: usize) -> Self {
        Self { words: Words::Memory(words), buckets }
    }

    pub(super) fn in_file(file: File, buckets: usize) -> Self {
        Self { words: Words::File(file), buckets }
    }

    /// Bytes of memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.words {
            Words::Memory(words) => size_of_val(&words[..]),
            Words::File(_) => 0,
        }
    }

    /// Reads from the beginning; a file through a buffer of so many bytes.
    fn reader(&self, buffer: usize) -> io::Result<RunReader<'_>> {
        let input: Box<dyn Read> = match &self.words {
            Words::Memory(words) => Box::new(bytemuck::cast_slice::<u16, u8>(words)),
            Words::File(file) => {
                let mut file = file;
                file.rewind()?;
                Box::new(BufReader::with_capacity(buffer, file))
            }
        };
        let mut reader = RunReader { input, left: self.buckets, head: None };
        reader.advance()?;
        Ok(reader)
    }
}

/// Reads runs side by side: every bucket once, in order, with the pixels of all. `buffer` is the
/// bytes that each file is read through.
pub(super) fn merge<'a>(
    runs: impl Iterator<Item = &'a Run>,
    buffer: usize,
    sink: &mut impl Sink,
) -> io::Result<()> {
    let mut readers = runs.map(|run| run.reader(buffer)).collect::<io::Result<Vec<_>>>()?;
    let mut chunk = vec![0; CHUNK];
    while let Some(bucket) = readers.iter().filter_map(RunReader::bucket).min() {
        let mut counts = Counts::default();
        readers.iter().filter_map(|reader| reader.counts_of(bucket)).for_each(|c| counts.add(c));
        sink.begin(Head { bucket, counts })?;
        for reader in &mut readers {
            if let Some(counts) = reader.counts_of(bucket) {
                reader.words(counts.negatives, &mut chunk, |words| sink.negatives(words))?;
            }
        }
        for reader in &mut readers {
            if let Some(counts) = reader.counts_of(bucket) {
                let words = counts.positives * POSITIVE_WORDS as u64;
                reader.words(words, &mut chunk, |words| sink.positives(words))?;
                reader.advance()?;
            }
        }
        sink.end();
    }
    Ok(())
}

/// Where the reading of a run stands: behind a head.
struct RunReader<'a> {
    input: Box<dyn Read + 'a>,
    /// Heads to come.
    left: usize,
    head: Option<Head>,
}

impl RunReader<'_> {
    fn bucket(&self) -> Option<u16> {
        self.head.map(|head| head.bucket)
    }

    fn counts_of(&self, bucket: u16) -> Option<Counts> {
        self.head.filter(|head| head.bucket == bucket).map(|head| head.counts)
    }

    fn advance(&mut self) -> io::Result<()> {
        self.head = None;
        if self.left > 0 {
            let mut words = [0; HEAD_WORDS];
            self.input.read_exact(bytemuck::cast_slice_mut(&mut words))?;
            self.head = Some(Head::of_words(words));
            self.left -= 1;
        }
        Ok(())
    }

    /// The next `count` words, in chunks.
    fn words(
        &mut self,
        count: u64,
        chunk: &mut [u16],
        mut take: impl FnMut(&[u16]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let next = left.min(chunk.len() as u64) as usize;
            let words = &mut chunk[..next];
            self.input.read_exact(bytemuck::cast_slice_mut(words))?;
            take(words)?;
            left -= next as u64;
        }
        Ok(())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_from_its_words() {
        let counts = Counts { negatives: 0x0123_4567_89ab_cdef, positives: u64::MAX - 5 };
        let head = Head::of_words(Head { bucket: 0xbeef, counts }.to_words());
        assert_eq!((head.bucket, head.counts), (0xbeef, counts));
    }
}
