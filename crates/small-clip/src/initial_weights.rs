//! Where the weights of both towers start.
//!
//! A small tower that is taught for an hour has no time to find out what every image tower finds out.
//! So positions start as waves over the grid and the image tower's attention as Trockman and Kolter found
//! it in trained ones ("Mimetic initialization of self-attention layers", 2023): a token looks at tokens
//! like itself, near ones above all, and a share of what it sees there is taken from it. What is left is
//! how it differs from its surroundings.

use burn::tensor::TensorData;
use clip_vit::{ClipSpec, Precision, RandomWeights, WeightError, WeightSource};

use crate::captions::Vocabulary;

/// The token table's name.
pub(crate) const TABLE: &str = "token_embedding.weight";

/// The name of the filters that patches are embedded by.
const FILTERS: &str = "visual.conv1.weight";

/// What a filter of even brightness is multiplied with; others by [`DETAIL`] times their frequency.
const BRIGHTNESS: f32 = 0.1;
const DETAIL: f32 = 0.5;

/// The learned positions of the image tower.
const POSITIONS: &str = "visual.positional_embedding";

/// Height of the waves that positions start as.
const POSITION_WAVE: f32 = 0.5;

/// How much of what attention gathers is taken from a token.
const TAKEN: f32 = 0.4;

/// CLIP's start, as far as [`RandomWeights`] leave it out: what a block adds to the stream starts smaller
/// the deeper the tower is, by `1 / sqrt(2 layers)`, and shifts start at nothing. The token table has a
/// vocabulary's rows only.
///
/// Patches are not embedded by random filters: to these a scratch is a twentieth of what the patch's
/// brightness is, and a short run is over before they have learned better. The filters start as waves
/// (the cosine transform), of grey and of two opposed colours, finer ones stronger: as pictures have less
/// of them, all channels start alike.
pub(crate) struct InitialWeights<'a> {
    drawn: RandomWeights,
    spec: &'a ClipSpec,
    vocabulary: &'a Vocabulary,
}

impl<'a> InitialWeights<'a> {
    /// The start of a CLIP of these sizes.
    pub(crate) fn new(seed: u64, spec: &'a ClipSpec, vocabulary: &'a Vocabulary) -> Self {
        Self { drawn: RandomWeights::new(seed), spec, vocabulary }
    }

    /// The whole token table, `[vocab, width]` row by row.
    pub(crate) fn table(&self) -> Result<Vec<f32>, WeightError> {
        let shape = [self.spec.text.vocab, self.spec.text.width];
        Ok(self.drawn.tensor(TABLE, &shape, Precision::F32)?.iter::<f32>().collect())
    }

    fn rows(&self, shape: &[usize]) -> Result<TensorData, WeightError> {
        let (table, width) = (self.table()?, self.spec.text.width);
        let row = |id: &i64| table.chunks(width).nth(*id as usize);
        let rows = self.vocabulary.ids().iter().filter_map(row).flatten().copied();
        Ok(TensorData::new(rows.collect::<Vec<f32>>(), shape))
    }

    /// Queries, keys and values, `[3 * width, width]`: keys are the queries, so that like finds like.
    fn alike(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        let drawn = self.drawn.tensor(name, shape, precision)?;
        let mut values: Vec<f32> = drawn.iter::<f32>().collect();
        let part = values.len() / 3;
        values.copy_within(..part, part);
        Ok(TensorData::new(values, shape))
    }

    /// What attention adds, `[width, width]`: the values turned back and taken away.
    fn taken(&self, name: &str, shape: &[usize]) -> Result<TensorData, WeightError> {
        let width = self.spec.vision.width;
        let queries = name.replace("attn.out_proj.weight", "attn.in_proj_weight");
        let drawn = self.drawn.tensor(&queries, &[3 * width, width], Precision::F32)?;
        let drawn: Vec<f32> = drawn.iter::<f32>().collect();
        let values = &drawn[2 * width * width..];
        let turned = (0..width * width).map(|at| -TAKEN * values[at % width * width + at / width]);
        Ok(TensorData::new(turned.collect::<Vec<f32>>(), shape))
    }

    /// Positions `[1 + grid * grid, width]`: sines and cosines of row and column, nothing for the class
    /// token.
    fn positions(&self) -> Vec<f32> {
        let (grid, width) = (self.spec.vision.grid, self.spec.vision.width);
        let quarter = (width / 4).max(1);
        let wave = |place: usize, channel: usize| {
            let (row, column) = ((place / grid) as f32, (place % grid) as f32);
            let frequency = 100.0_f32.powf(-((channel % quarter) as f32) / quarter as f32);
            POSITION_WAVE
                * match channel / quarter {
                    0 => (row * frequency).sin(),
                    1 => (row * frequency).cos(),
                    2 => (column * frequency).sin(),
                    _ => (column * frequency).cos(),
                }
        };
        let patches = (0..grid * grid * width).map(|at| wave(at / width, at % width));
        std::iter::repeat_n(0.0, width).chain(patches).collect()
    }

    fn factor(&self, name: &str) -> f32 {
        let layers = match name.starts_with("visual.") {
            true => self.spec.vision.layers,
            false => self.spec.text.layers,
        };
        let adds = name.ends_with("attn.out_proj.weight") || name.ends_with("mlp.c_proj.weight");
        match name {
            _ if name.ends_with("bias") => 0.0,
            _ if adds => (2.0 * layers as f32).sqrt().recip(),
            _ => 1.0,
        }
    }
}

impl WeightSource for InitialWeights<'_> {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        match name {
            TABLE => return self.rows(shape),
            FILTERS => return Ok(TensorData::new(waves(self.spec.vision.patch, shape[0]), shape)),
            POSITIONS => return Ok(TensorData::new(self.positions(), shape)),
            _ if name.starts_with("visual.") && name.ends_with("attn.in_proj_weight") => {
                return self.alike(name, shape, precision);
            }
            _ if name.starts_with("visual.") && name.ends_with("attn.out_proj.weight") => {
                return self.taken(name, shape);
            }
            _ => {}
        }
        let factor = self.factor(name);
        let mut drawn = self.drawn.tensor(name, shape, precision)?;
        if factor != 1.0 {
            let values: Vec<f32> = drawn.iter::<f32>().map(|value| factor * value).collect();
            drawn = TensorData::new(values, shape).convert_dtype(drawn.dtype);
        }
        Ok(drawn)
    }
}

/// Filters `[channels, 3, patch, patch]`, the coarsest waves of each colour.
fn waves(patch: usize, channels: usize) -> Vec<f32> {
    let root = |n: f32| n.sqrt().recip();
    let colours =
        [[root(3.0); 3], [root(2.0), -root(2.0), 0.0], [root(6.0), root(6.0), -2.0 * root(6.0)]];
    let mut order: Vec<[usize; 2]> =
        (0..patch * patch).map(|index| [index / patch, index % patch]).collect();
    order.sort_by_key(|[down, across]| (down + across, *down));
    // Grey has more of the detail than colours have.
    let coloured = channels / 5;
    let counts = [channels - 2 * coloured, coloured, coloured];
    let filters = colours.into_iter().zip(counts).flat_map(|(colour, count)| {
        let order = order.clone();
        (0..count).map(move |index| (colour, order[index % (patch * patch)]))
    });
    filters.flat_map(|(colour, wave)| filter(patch, colour, wave)).collect()
}

/// One wave in one colour, `[3, patch, patch]`.
fn filter(patch: usize, colour: [f32; 3], wave: [usize; 2]) -> Vec<f32> {
    let side = patch as f32;
    let axis = |frequency: usize, place: usize| {
        let length = if frequency == 0 { 1.0 } else { 2.0_f32 };
        let angle = std::f32::consts::PI * (place as f32 + 0.5) * frequency as f32 / side;
        (length / side).sqrt() * angle.cos()
    };
    let [down, across] = wave;
    let gain = match down + across {
        0 => BRIGHTNESS,
        frequency => DETAIL * frequency as f32,
    };
    let pixel = |part: f32, index: usize| {
        gain * part * axis(down, index / patch) * axis(across, index % patch)
    };
    let plane = |part: f32| (0..patch * patch).map(move |index| pixel(part, index));
    colour.into_iter().flat_map(plane).collect()
}

#[cfg(test)]
mod tests {
    use clip_vit::ClipSpecBuilder;
    use clip_vit::tokenizer::Tokenizer;

    use super::*;

    #[test]
    fn filters_are_waves_at_right_angles() {
        let filters = waves(4, 20);
        let filters: Vec<&[f32]> = filters.chunks(48).collect();
        assert_eq!(filters.len(), 20);
        for (i, one) in filters.iter().enumerate() {
            for (j, other) in filters.iter().enumerate() {
                let product: f32 = one.iter().zip(*other).map(|(a, b)| a * b).sum();
                assert!(i == j || product.abs() < 1e-4, "{i} and {j}: {product}");
            }
            assert!(one.iter().map(|value| value * value).sum::<f32>() > 0.009);
        }
    }

    #[test]
    fn attention_starts_by_taking_like_from_like() {
        let spec = ClipSpecBuilder::new()
            .vision(8, 3, 8, 2)
            .text(8, 1)
            .tokens(24, 49_408)
            .build()
            .unwrap();
        let tokenizer = Tokenizer::new(24);
        let vocabulary = Vocabulary::of(&tokenizer, &["a photo".into()], 1);
        let start = InitialWeights::new(3, &spec, &vocabulary);
        let read = |name: &str, shape: &[usize]| -> Vec<f32> {
            start.tensor(name, shape, Precision::F32).unwrap().iter::<f32>().collect()
        };
        let block = "visual.transformer.resblocks.1.attn";
        let mixed = read(&format!("{block}.in_proj_weight"), &[24, 8]);
        assert_eq!(mixed[..64], mixed[64..128]);
        let out = read(&format!("{block}.out_proj.weight"), &[8, 8]);
        for (row, column) in (0..8).flat_map(|row| (0..8).map(move |column| (row, column))) {
            assert_eq!(out[row * 8 + column], -TAKEN * mixed[128 + column * 8 + row]);
        }
        let places = read(POSITIONS, &[10, 8]);
        assert!(places[..8].iter().all(|value| *value == 0.0));
        let near = |a: usize, b: usize| -> f32 {
            (0..8).map(|channel| places[a * 8 + channel] * places[b * 8 + channel]).sum()
        };
        assert!(near(1, 1) > near(1, 2) && near(1, 2) > near(1, 9));
    }
}
