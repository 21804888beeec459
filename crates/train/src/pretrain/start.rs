//! Where the weights of both towers start.

use burn::tensor::TensorData;
use clip_vit::{ClipSpec, Precision, RandomWeights, WeightError, WeightSource};

use super::vocabulary::Vocabulary;

/// The token table's name.
pub(super) const TABLE: &str = "token_embedding.weight";

/// CLIP's start, as far as [`RandomWeights`] leave it out: what a block adds to the stream starts smaller
/// the deeper the tower is, by `1 / sqrt(2 layers)`, and shifts start at nothing. The token table has a
/// vocabulary's rows only.
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
        if name == TABLE {
            return self.rows(shape);
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
