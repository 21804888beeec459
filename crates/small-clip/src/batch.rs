//! What one part of a step looks at: crops or whole pictures, and two sentences about each.

use std::f32::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::captions::{CaptionPair, Captions, ImageLabel, State};
use crate::pictures::{Colour, Pictures, View, Window, normalised};
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
    pub labels: Vec<ImageLabel>,
    /// What is said; twins share their sentences.
    pub captions: Vec<CaptionPair>,
    /// Which of `captions` is about each of `labels`.
    pub caption_of: Vec<usize>,
    /// For each patch of each picture, 1 where it was replaced: `[pictures, patches]`.
    pub replaced: Vec<f32>,
    /// For each picture, 1 where `replaced` is a target: not where a defect is seen.
    pub supervised: Vec<f32>,
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
            if let Some((view, label)) = pictures.normal_view(side, &mut rng) {
                let pixels = view.pixels(pictures.bytes(view.picture), pictures.side());
                filled.captions.push(captions.pair(&label, &mut rng));
                filled.add(config, pictures, &view, pixels, label);
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
            let label = pictures.label(index);
            let pixels = view.pixels(pictures.bytes(index), side);
            filled.captions.push(captions.plain_pair(label.category));
            filled.add(config, pictures, &view, pixels, label);
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
        let Some((view, label)) = pictures.defective_view(self.side, rng) else { return };
        self.captions.push(captions.pair(&label, rng));
        let (whole, picture) = (pictures.side(), view.picture);
        let pixels = view.pixels(pictures.bytes(picture), whole);
        self.add(config, pictures, &view, pixels, label);
        let label = ImageLabel { state: State::Sound, ..label };
        let pixels = view.pixels(pictures.sound_bytes(picture), whole);
        self.add(config, pictures, &view, pixels, label);
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
        let Some(((view, label), (other, _))) = view.zip(pictures.normal_view(self.side, rng))
        else {
            return;
        };
        let (whole, patch) = (pictures.side(), config.model.patch);
        let sound = view.pixels(pictures.bytes(view.picture), whole);
        let other = other.pixels(pictures.bytes(other.picture), whole);
        let mut pixels = sound.clone();
        let replaced = replace(&mut pixels, &other, patch, rng);
        let state = if replaced.contains(&1.0) { State::Damaged } else { State::Sound };
        let changed = ImageLabel { state, ..label };
        self.captions.push(captions.pair(&changed, rng));
        self.add(config, pictures, &view, pixels, changed);
        let first = self.replaced.len() - replaced.len();
        self.replaced[first..].copy_from_slice(&replaced);
        if let Some(supervised) = self.supervised.last_mut() {
            *supervised = 1.0;
        }
        self.add(config, pictures, &view, sound, label);
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
        label: ImageLabel,
    ) {
        self.pixels.extend(normalised(&pixels));
        self.corners.push(view.corner(pictures.side(), config.model.patch));
        self.labels.push(label);
        self.caption_of.push(self.captions.len().saturating_sub(1));
        let patches = self.side / config.model.patch;
        self.replaced.resize(self.replaced.len() + patches * patches, 0.0);
        self.supervised.push(if label.state.is_defective() { 0.0 } else { 1.0 });
    }

    /// The last picture is the sound twin of the one before it.
    fn add_twins(&mut self) {
        let sound = self.labels.len().saturating_sub(1);
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

/// A change of a pixel by less than this share of white cannot be seen.
const NOTICED: f32 = 0.04;

/// Changed pixels that make a patch a replaced one.
const ENOUGH: usize = 4;

/// Which pixels are replaced, and how much, 0 to 1.
struct Blob {
    shares: Vec<f32>,
}

/// Replaces a part of `pixels`, `side` by `side`, drawing on `other` of the same size; returns for each
/// patch of `patch` pixels whether it was changed, 1 or 0.
///
/// What the self-supervised term has to find: a blob or a band of the crop is filled with another
/// place of the same picture, another picture, the same place in other colours, or nearly one
/// colour, behind a soft edge. Whoever can tell where that was has learned what is regular on a
/// surface. No defect is involved: the crops are of normal pictures.
pub(crate) fn replace(
    pixels: &mut [Colour],
    other: &[Colour],
    patch: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<f32> {
    let side = (pixels.len() as f64).sqrt().round() as usize;
    let before = pixels.to_vec();
    for _ in 0..rng.random_range(1..=2) {
        let blob =
            if rng.random_bool(0.6) { Blob::round(side, rng) } else { Blob::band(side, rng) };
        let filling = filling(pixels, other, side, rng);
        for ((pixel, fill), share) in pixels.iter_mut().zip(filling).zip(&blob.shares) {
            *pixel = mix(*pixel, fill, *share);
        }
    }
    changed(&before, pixels, side, patch)
}

/// What a blob is filled with, for every pixel.
fn filling(pixels: &[Colour], other: &[Colour], side: usize, rng: &mut ChaCha8Rng) -> Vec<Colour> {
    let moved = |from: &[Colour], rng: &mut ChaCha8Rng| -> Vec<Colour> {
        let (down, right) = (rng.random_range(0..side), rng.random_range(0..side));
        let transposed = rng.random_bool(0.5);
        let source = |index: usize| {
            let (y, x) = (index / side, index % side);
            let (y, x) = if transposed { (x, y) } else { (y, x) };
            from[(y + down) % side * side + (x + right) % side]
        };
        (0..side * side).map(source).collect()
    };
    match rng.random_range(0..5) {
        0 => moved(pixels, rng),
        1 => moved(other, rng),
        2 | 3 => {
            let light = rng.random_range(-0.25..0.25_f32);
            let tint: Colour = std::array::from_fn(|_| light + rng.random_range(-0.12..0.12_f32));
            let contrast = rng.random_range(0.5..1.4_f32);
            let mean = mean(pixels);
            let recolour = |pixel: &Colour| {
                std::array::from_fn(|c| {
                    (mean[c] + (pixel[c] - mean[c]) * contrast + tint[c]).clamp(0.0, 1.0)
                })
            };
            pixels.iter().map(recolour).collect()
        }
        _ => {
            let colour: Colour = pixels[rng.random_range(0..pixels.len())];
            let shift = rng.random_range(-0.2..0.2_f32);
            let texture = rng.random_range(0.0..0.8_f32);
            let mean = mean(other);
            let rough = |pixel: &Colour| {
                std::array::from_fn(|c| {
                    (colour[c] + shift + (pixel[c] - mean[c]) * texture).clamp(0.0, 1.0)
                })
            };
            other.iter().map(rough).collect()
        }
    }
}

impl Blob {
    /// A disc with a wavy outline.
    fn round(side: usize, rng: &mut ChaCha8Rng) -> Self {
        let whole = side as f32;
        let middle = [rng.random_range(0.0..whole), rng.random_range(0.0..whole)];
        let radius = rng.random_range(2.5..11.0_f32);
        let stretch = rng.random_range(0.6..1.6_f32);
        let waves: [(f32, f32); 3] =
            std::array::from_fn(|_| (rng.random_range(0.0..0.25), rng.random_range(0.0..TAU)));
        let softness = rng.random_range(0.6..2.0_f32);
        Self::of(side, |y, x| {
            let (y, x) = ((y - middle[0]) * stretch, x - middle[1]);
            let angle = y.atan2(x);
            let wave = |(i, (height, phase)): (usize, &(f32, f32))| {
                height * ((i + 2) as f32 * angle + phase).sin()
            };
            let outline = radius * (1.0 + waves.iter().enumerate().map(wave).sum::<f32>());
            (outline - y.hypot(x)) / softness
        })
    }

    /// A bent band.
    fn band(side: usize, rng: &mut ChaCha8Rng) -> Self {
        let whole = side as f32;
        let middle = [rng.random_range(0.0..whole), rng.random_range(0.0..whole)];
        let angle = rng.random_range(0.0..TAU);
        let half_length = rng.random_range(4.0..0.45 * whole);
        let half_width = rng.random_range(0.5..2.2_f32);
        let bend = rng.random_range(-0.02..0.02_f32);
        let softness = rng.random_range(0.5..1.0_f32);
        Self::of(side, |y, x| {
            let (y, x) = (y - middle[0], x - middle[1]);
            let along = x * angle.cos() + y * angle.sin();
            let across = y * angle.cos() - x * angle.sin() - bend * along * along;
            (half_width - across.abs()).min(half_length - along.abs()) / softness
        })
    }

    /// From the distance to the outline, positive inside.
    fn of(side: usize, distance: impl Fn(f32, f32) -> f32) -> Self {
        let share = |index: usize| {
            let (y, x) = ((index / side) as f32, (index % side) as f32);
            (0.5 + distance(y, x)).clamp(0.0, 1.0)
        };
        Self { shares: (0..side * side).map(share).collect() }
    }
}

fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| from[c] + (to[c] - from[c]) * share)
}

fn mean(pixels: &[Colour]) -> Colour {
    let sum = |c: usize| pixels.iter().map(|pixel| pixel[c]).sum::<f32>();
    std::array::from_fn(|c| sum(c) / pixels.len().max(1) as f32)
}

/// For each patch, whether enough of its pixels have changed.
fn changed(before: &[Colour], after: &[Colour], side: usize, patch: usize) -> Vec<f32> {
    let columns = side / patch;
    let mut counts = vec![0_usize; columns * columns];
    for (index, (before, after)) in before.iter().zip(after).enumerate() {
        let (row, column) = (index / side / patch, index % side / patch);
        let change = before.iter().zip(after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if change > NOTICED && row < columns && column < columns {
            counts[row * columns + column] += 1;
        }
    }
    counts.into_iter().map(|count| if count >= ENOUGH { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_patch_counts_as_replaced_when_enough_of_it_has_changed() {
        let before = vec![[0.5; 3]; 64];
        let mut after = before.clone();
        (0..3).for_each(|x| after[x] = [0.9; 3]);
        assert_eq!(changed(&before, &after, 8, 4), [0.0; 4]);
        after[8] = [0.5, 0.5, 0.4];
        after[63] = [0.51; 3];
        assert_eq!(changed(&before, &after, 8, 4), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_replaced_follows_from_the_seed_and_stays_a_part() {
        let other = vec![[0.9, 0.1, 0.2]; 32 * 32];
        let draw = |seed| {
            let mut pixels = vec![[0.3; 3]; 32 * 32];
            let replaced = replace(&mut pixels, &other, 8, &mut ChaCha8Rng::seed_from_u64(seed));
            (pixels, replaced)
        };
        assert_eq!(draw(1), draw(1));
        let shares = (0..40).map(|seed| draw(seed).1.iter().sum::<f32>());
        let total: f32 = shares.sum();
        assert!((0.05..0.6).contains(&(total / (40.0 * 16.0))), "{total}");
    }
}
