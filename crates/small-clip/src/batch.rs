//! What one part of a step looks at: crops or whole pictures, and two sentences about each.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::captions::{CaptionPair, Captions, Facts, State};
use crate::pictures::Pictures;
use crate::replaced::replace;
use crate::view::{Colour, View, Window, normalised};
use crate::{BatchSettings, PretrainConfig};

/// A shard of a batch, on the host.
#[derive(Debug, Clone, Default)]
pub struct Shard {
    /// Side of the pictures in pixels.
    pub side: usize,
    /// `[pictures, 3, side, side]`, normalised.
    pub pixels: Vec<f32>,
    /// Where each was cut from: row and column of its first patch.
    pub corners: Vec<[usize; 2]>,
    /// What is true of each picture.
    pub facts: Vec<Facts>,
    /// What is said; twins share their sentences.
    pub captions: Vec<CaptionPair>,
    /// Which of `captions` is about each of `facts`.
    pub caption_of: Vec<usize>,
    /// For each patch of each picture, 1 where it was replaced: `[pictures, patches]`.
    pub replaced: Vec<f32>,
    /// For each picture, 1 where `replaced` is told of it: not where a defect is seen.
    pub told: Vec<f32>,
    /// Pictures that differ in the state alone.
    pub twins: Vec<TwinPlaces>,
}

/// Places of two pictures of a shard that differ in the state alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwinPlaces {
    /// Of the one that something is wrong with.
    pub defective: usize,
    /// Of the other.
    pub sound: usize,
}

/// Which shard of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardNumber {
    /// The step, counted from 0.
    pub step: usize,
    /// The shard of its batch.
    pub shard: usize,
}

impl Shard {
    /// The shard of a run; it follows from the seed and its number.
    pub fn draw(
        config: &PretrainConfig,
        pictures: &Pictures,
        captions: &Captions,
        number: ShardNumber,
    ) -> Self {
        let mut rng = rng(config.seed, number);
        let BatchSettings { pairs, normal, replaced, shards } = config.batch;
        let ShardNumber { step, shard } = number;
        let crops = &config.pictures.crops;
        let patches = crops.get(step % crops.len().max(1)).copied().unwrap_or(config.model.grid);
        let smallest = crops.iter().min().copied().unwrap_or(patches);
        let part = |count: usize| {
            let tokens = |side: usize| 1 + side * side;
            let fewer = (count * tokens(smallest)).div_ceil(tokens(patches));
            let count = fewer.max(shards).min(count);
            (shard + 1) * count / shards - shard * count / shards
        };
        let side = patches * config.model.patch;
        let mut filled = Self { side, ..Self::default() };
        for _ in 0..part(pairs) {
            filled.add_pair(config, pictures, captions, &mut rng);
        }
        for _ in 0..part(normal) {
            if let Some((view, facts)) = pictures.normal_view(side, &mut rng) {
                let pixels = view.pixels(pictures.bytes(view.picture), pictures.side());
                filled.captions.push(captions.pair(&facts, &mut rng));
                filled.add(config, pictures, &view, pixels, facts);
            }
        }
        if config.losses.replaced > 0.0 {
            for _ in 0..part(replaced) {
                filled.add_replaced(config, pictures, captions, &mut rng);
            }
        }
        filled
    }

    /// Whole pictures as they are, `indices` of `pictures`, each with its plain captions: for measuring.
    pub(crate) fn whole(
        config: &PretrainConfig,
        pictures: &Pictures,
        captions: &Captions,
        indices: std::ops::Range<usize>,
    ) -> Self {
        let side = pictures.side();
        let mut filled = Self { side, ..Self::default() };
        for index in indices {
            let view = View::plain(index, Window { top: 0, left: 0, side });
            let facts = pictures.facts(index);
            let pixels = view.pixels(pictures.bytes(index), side);
            filled.captions.push(captions.plain_pair(facts.category));
            filled.add(config, pictures, &view, pixels, facts);
        }
        filled
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.corners.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.corners.is_empty()
    }

    /// A crop with a defect, and the same one without it: all that differs is what the sentences say.
    fn add_pair(
        &mut self,
        config: &PretrainConfig,
        pictures: &Pictures,
        captions: &Captions,
        rng: &mut ChaCha8Rng,
    ) {
        let Some((view, facts)) = pictures.defective_view(self.side, rng) else { return };
        self.captions.push(captions.pair(&facts, rng));
        let (whole, picture) = (pictures.side(), view.picture);
        let pixels = view.pixels(pictures.bytes(picture), whole);
        self.add(config, pictures, &view, pixels, facts);
        let facts = Facts { state: State::Sound, ..facts };
        let pixels = view.pixels(pictures.sound_bytes(picture), whole);
        self.add(config, pictures, &view, pixels, facts);
        self.add_twins();
    }

    /// A crop parts of which are replaced, which nobody has a name for, and the same one as it was.
    fn add_replaced(
        &mut self,
        config: &PretrainConfig,
        pictures: &Pictures,
        captions: &Captions,
        rng: &mut ChaCha8Rng,
    ) {
        let view = pictures.normal_view(self.side, rng);
        let Some(((view, facts), (other, _))) = view.zip(pictures.normal_view(self.side, rng))
        else {
            return;
        };
        let (whole, patch) = (pictures.side(), config.model.patch);
        let sound = view.pixels(pictures.bytes(view.picture), whole);
        let other = other.pixels(pictures.bytes(other.picture), whole);
        let mut pixels = sound.clone();
        let replaced = replace(&mut pixels, &other, patch, rng);
        let state = if replaced.contains(&1.0) { State::Damaged } else { State::Sound };
        let changed = Facts { state, ..facts };
        self.captions.push(captions.pair(&changed, rng));
        self.add(config, pictures, &view, pixels, changed);
        let first = self.replaced.len() - replaced.len();
        self.replaced[first..].copy_from_slice(&replaced);
        if let Some(told) = self.told.last_mut() {
            *told = 1.0;
        }
        self.add(config, pictures, &view, sound, facts);
        if changed.state.is_defective() {
            self.add_twins();
        }
    }

    /// A picture of which the last of `captions` speaks.
    fn add(
        &mut self,
        config: &PretrainConfig,
        pictures: &Pictures,
        view: &View,
        pixels: Vec<Colour>,
        facts: Facts,
    ) {
        self.pixels.extend(normalised(&pixels));
        self.corners.push(view.corner(pictures.side(), config.model.patch));
        self.facts.push(facts);
        self.caption_of.push(self.captions.len().saturating_sub(1));
        let patches = self.side / config.model.patch;
        self.replaced.resize(self.replaced.len() + patches * patches, 0.0);
        self.told.push(if facts.state.is_defective() { 0.0 } else { 1.0 });
    }

    /// The last picture is the sound twin of the one before it.
    fn add_twins(&mut self) {
        let sound = self.facts.len().saturating_sub(1);
        self.twins.push(TwinPlaces { defective: sound.saturating_sub(1), sound });
    }
}

/// Four words fill the generator's key, so no two shards share a stream.
fn rng(seed: u64, number: ShardNumber) -> ChaCha8Rng {
    const PRETRAINING: u64 = 0x7072_6574_7261_696e;
    let mut key = [0; 32];
    let words = [seed, number.step as u64, number.shard as u64, PRETRAINING];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
