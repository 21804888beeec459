//! Pixel scores of any number of maps, one map at a time, in bounded memory and exact.
//!
//! How: a score becomes an integer of 32 bits that sorts as the score does. Its upper half is a
//! bucket, its lower half is kept, and beside it, for an anomalous pixel, the area of its region. A
//! batch of pixels is put in order of buckets (`Batch`): a run, 2 bytes for each normal pixel and
//! 6 for each anomalous one. Runs that outgrow the limit are merged into a temporary file (`store`),
//! and files of one size into a larger one, so that few are open. To count, all runs are read side by
//! side (`run`), bucket by bucket, and a bucket's pixels are counted by their lower half in a table of
//! 65,536 rows (`Histogram`). The rows are the ties of the whole set, in order: nothing is compared,
//! sorted or rounded on the way, and the largest thing in memory is a batch, whatever the scores are.
//!
//! Everything that is added up is an integer, so the limit and the order of maps change no bit.

mod run;
mod store;

use std::path::PathBuf;

use super::aupro::Regions;
use super::curves::{Curves, Recorder};
use super::sweep::{Sweep, Totals};
use super::tie::{Counts, Tie, key};
use super::{MaskedMap, PixelMetrics};
use crate::{EvalError, MapView};
use run::{BUCKETS, HEAD_WORDS, Head, Histogram, POSITIVE_WORDS, Run};
use store::Store;

/// Pixels between two looks at the limit; a batch of fewer is looked at as often.
const STRIDE: usize = 4096;

/// What pixel metrics may take while they are collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Bytes of memory for pixels, besides 5 MB of tables and the regions of one mask. Never too few;
    /// fewer is slower.
    pub memory: usize,
    /// Where pixels go that do not fit. The files have no names and are gone with the process.
    pub folder: PathBuf,
}

impl Default for Workspace {
    /// 256 MiB, and the system's folder for temporary files.
    fn default() -> Self {
        Self { memory: 256 << 20, folder: std::env::temp_dir() }
    }
}

/// A score, and how many normal pixels have a higher one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelLevel {
    /// The score.
    pub value: f32,
    /// Normal pixels above it.
    pub above: u64,
}

/// Collects maps and masks, and measures all that were collected.
#[derive(Debug)]
pub struct PixelScores {
    batch: Batch,
    store: Store,
    totals: Totals,
}

/// The metrics of pixels with the curves behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasuredPixels {
    /// The numbers.
    pub metrics: PixelMetrics,
    /// ROC and precision over recall; `None` where undefined.
    pub curves: Option<Curves>,
}

impl PixelScores {
    /// Without a pixel yet.
    pub fn new(workspace: Workspace) -> Self {
        let batch = Batch::new(workspace.memory / 8);
        Self { batch, store: Store::new(workspace), totals: Totals::none() }
    }

    /// Takes a map in. Maps may differ in size.
    ///
    /// # Errors
    /// [`EvalError::Workspace`] when the temporary files cannot be written or read.
    pub fn push(&mut self, masked: MaskedMap<'_>) -> Result<(), EvalError> {
        let range = masked.map.range();
        self.totals.widen(range.low(), range.high());
        match masked.mask {
            Some(mask) if mask.contains(&true) => {
                self.push_regions(masked.map, &Regions::of(mask, masked.map.width()))
            }
            _ => self.push_normal(masked.map),
        }
    }

    /// The metrics of all maps that were taken in. More may follow.
    ///
    /// # Errors
    /// As [`PixelScores::push`].
    pub fn metrics(&mut self) -> Result<PixelMetrics, EvalError> {
        self.close_batch()?;
        let Some(mut sweep) = Sweep::new(&self.totals) else {
            return Ok(PixelMetrics::default());
        };
        self.store.read(&mut Histogram::new(|tie| sweep.lower(&tie)))?;
        Ok(sweep.metrics())
    }

    /// The metrics and, from the same pass, the curves.
    ///
    /// # Errors
    /// As [`PixelScores::push`].
    pub fn metrics_and_curves(&mut self) -> Result<MeasuredPixels, EvalError> {
        self.close_batch()?;
        let (sweep, recorder) = (Sweep::new(&self.totals), Recorder::new(self.totals.counts));
        let (Some(mut sweep), Some(mut recorder)) = (sweep, recorder) else {
            return Ok(MeasuredPixels::default());
        };
        self.store.read(&mut Histogram::new(|tie| {
            sweep.lower(&tie);
            recorder.lower(&tie);
        }))?;
        Ok(MeasuredPixels { metrics: sweep.metrics(), curves: Some(recorder.finish()) })
    }

    /// The lowest score with at most `pixels` normal pixels above it, in one pass; more may be taken in
    /// after. Without a pixel, or with fewer than that, the level is the lowest number there is.
    ///
    /// # Errors
    /// As [`PixelScores::push`].
    pub fn level_with_at_most(&mut self, pixels: u64) -> Result<PixelLevel, EvalError> {
        self.close_batch()?;
        let mut level = PixelLevel { value: f32::MIN, above: 0 };
        let mut is_found = false;
        self.store.read(&mut Histogram::new(|tie: Tie| {
            if !is_found && level.above + tie.counts.negatives > pixels {
                level.value = tie.score();
                is_found = true;
            }
            level.above += if is_found { 0 } else { tie.counts.negatives };
        }))?;
        Ok(level)
    }

    fn push_normal(&mut self, map: MapView<'_>) -> Result<(), EvalError> {
        for scores in map.values().chunks(self.stride()) {
            self.make_room(scores.len())?;
            self.batch.negatives.extend(scores.iter().map(|&score| key(score)));
        }
        self.totals.counts.negatives += map.values().len() as u64;
        Ok(())
    }

    fn push_regions(&mut self, map: MapView<'_>, regions: &Regions) -> Result<(), EvalError> {
        let stride = self.stride();
        let chunks = map.values().chunks(stride).zip(regions.labels().chunks(stride));
        for (scores, labels) in chunks {
            self.make_room(scores.len())?;
            for (&score, &label) in scores.iter().zip(labels) {
                match regions.area(label) {
                    None => self.batch.negatives.push(key(score)),
                    Some(area) => self.batch.positives.push(Positive { key: key(score), area }),
                }
            }
        }
        let anomalous: u64 = regions.areas().iter().map(|&area| u64::from(area)).sum();
        self.totals.counts.positives += anomalous;
        self.totals.counts.negatives += map.values().len() as u64 - anomalous;
        self.totals.regions += regions.areas().len() as u64;
        Ok(())
    }

    fn stride(&self) -> usize {
        STRIDE.min(self.batch.capacity())
    }

    /// Closes the batch when it does not take `pixels` more.
    fn make_room(&mut self, pixels: usize) -> Result<(), EvalError> {
        if self.batch.takes(pixels) { Ok(()) } else { self.close_batch() }
    }

    fn close_batch(&mut self) -> Result<(), EvalError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let run = self.batch.to_run();
        self.batch.clear();
        self.store.keep(run)
    }
}

/// Most bytes of a batch, whatever the limit: its run should be written within the cache.
const LARGEST: usize = 16 << 20;

/// Pixels as they come.
#[derive(Debug)]
struct Batch {
    /// Keys of the normal pixels.
    negatives: Vec<u32>,
    positives: Vec<Positive>,
    bytes: usize,
}

/// An anomalous pixel.
#[derive(Clone, Copy, Debug)]
struct Positive {
    key: u32,
    /// Pixels of its region.
    area: u32,
}

/// Where the next pixel of a bucket goes.
#[derive(Clone, Copy, Default)]
struct Heads {
    negative: usize,
    positive: usize,
}

impl Batch {
    /// An empty batch that takes so many bytes; at least one pixel.
    fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(size_of::<Positive>(), LARGEST);
        Self { negatives: Vec::new(), positives: Vec::new(), bytes }
    }

    /// Pixels that an empty batch takes, whatever their kind.
    fn capacity(&self) -> usize {
        self.bytes / size_of::<Positive>()
    }

    /// Whether `pixels` more fit, whatever their kind.
    fn takes(&self, pixels: usize) -> bool {
        let held = size_of_val(&self.negatives[..]) + size_of_val(&self.positives[..]);
        held + pixels * size_of::<Positive>() <= self.bytes
    }

    fn is_empty(&self) -> bool {
        self.negatives.is_empty() && self.positives.is_empty()
    }

    fn clear(&mut self) {
        self.negatives.clear();
        self.positives.clear();
    }

    /// The batch in order of buckets.
    fn to_run(&self) -> Run {
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
