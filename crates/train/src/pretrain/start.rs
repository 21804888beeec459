//! Where the weights of both towers start.

use burn::tensor::TensorData;
use clip_vit::{ClipSpec, Precision, RandomWeights, WeightError, WeightSource};

use super::vocabulary::Vocabulary;

/// The token table's name.
pub(super) const TABLE: &str = "token_embedding.weight";

/// The name of the filters that patches are embedded by.
const FILTERS: &str = "visual.conv1.weight";

/// What a filter of even brightness is multiplied with; others by [`DETAIL`] times their frequency.
const BRIGHTNESS: f32 = 0.1;
const DETAIL: f32 = 0.5;

/// CLIP's start, as far as [`RandomWeights`] leave it out: what a block adds to the stream starts smaller
/// the deeper the tower is, by `1 / sqrt(2 layers)`, and shifts start at nothing. The token table has a
/// vocabulary's rows only.
///
/// Patches are not embedded by random filters: to these a scratch is a twentieth of what the patch's
/// brightness is, and a short run is over before they have learned better. The filters start as waves
/// (the cosine transform), of grey and of two opposed colours, finer ones stronger: as pictures have less
/// of them, all channels start alike.
pub(super) struct Start<'a> {
    drawn: RandomWeights,
    spec: &'a ClipSpec,
    vocabulary: &'a Vocabulary,
}

impl<'a> Start<'a> {
    /// The start of a CLIP of these sizes.
    pub(super) fn new(seed: u64, spec: &'a ClipSpec, vocabulary: &'a Vocabulary) -> Self {
        Self { drawn: RandomWeights::new(seed), spec, vocabulary }
    }

    /// The whole token table, `[vocab, width]` row by row.
    pub(super) fn table(&self) -> Result<Vec<f32>, WeightError> {
        let shape = [self.spec.text.vocab, self.spec.text.width];
        Ok(self.drawn.tensor(TABLE, &shape, Precision::F32)?.iter::<f32>().collect())
    }

    fn rows(&self, shape: &[usize]) -> Result<TensorData, WeightError> {
        let (table, width) = (self.table()?, self.spec.text.width);
        let row = |id: &i64| table.chunks(width).nth(*id as usize);
        let rows = self.vocabulary.ids().iter().filter_map(row).flatten().copied();
        Ok(TensorData::new(rows.collect::<Vec<f32>>(), shape))
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

impl WeightSource for Start<'_> {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        match name {
            TABLE => return self.rows(shape),
            FILTERS => return Ok(TensorData::new(waves(self.spec.vision.patch, shape[0]), shape)),
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
}
