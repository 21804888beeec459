//! The finished CLIP as a file that opens like any other: every row of CLIP's token table, in f16.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::AutodiffModule;
use burn::tensor::{DType, ElementConversion, TensorData, backend::Backend};
use clip_vit::weights::write::{HostTensor, write_clip};
use clip_vit::{TextBackbone, WeightError};
use synthetic_world::{Category, Role};

use crate::initial_weights::{InitialWeights, TABLE};
use crate::learner::Pretraining;
use crate::model::ClipModelError;

impl<B: Backend> Pretraining<B> {
    /// Writes both towers behind so many steps to `out`, with cosines at CLIP's scale of 100. Rows of tokens that no caption has
    /// are those of the start; what read patches while it was trained is left out.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when the file cannot be written.
    pub fn write_clip(&self, steps: usize, out: &Path) -> Result<(), WeightError> {
        let unwritable = |tensor: &str, reason: String| WeightError::Unwritable {
            file: out.into(),
            tensor: tensor.into(),
            reason,
        };
        let sizes = self.config.model.spec();
        let spec = sizes.map_err(|error| unwritable("the sizes", error.to_string()))?;
        let mut weights = self.model.vision.named_weights();
        weights.append(&mut self.model.text.named_weights());
        let shape = [spec.text.vocab, spec.text.width];
        let start =
            InitialWeights::new(self.config.seed, &spec, self.captions.vocabulary()).table()?;
        let table = self.whole_table(start, weights.remove(TABLE), spec.text.width);
        weights.insert(TABLE.to_owned(), TensorData::new(table, shape));
        let part =
            |name: &str| weights.get(name).ok_or_else(|| unwritable(name, "is missing".into()));
        let shift = self.scaled_shift(part(SHIFT)?, part(PROJECTION)?);
        let shift = shift.map_err(|error| unwritable(SHIFT, error.to_string()))?;
        weights.insert(SHIFT.to_owned(), shift);
        let scale = TensorData::new(vec![CLIP_SCALE.ln() as f32], Vec::<usize>::new());
        weights.insert("logit_scale".to_owned(), scale);
        let mut tensors = BTreeMap::new();
        for (name, data) in weights {
            let tensor = HostTensor::from_data(&data.convert_dtype(DType::F16));
            let tensor = tensor.ok_or_else(|| unwritable(&name, "has no type of files".into()))?;
            tensors.insert(name, tensor);
        }
        write_clip(out, &spec, &tensors, &self.about(steps))
    }

    /// Where the file comes from.
    fn about(&self, steps: usize) -> BTreeMap<String, String> {
        let pairs = [
            ("made_by", "moeclip pretrain".to_owned()),
            ("pretraining", self.config.to_toml()),
            ("steps", steps.to_string()),
            ("learned_scale", format!("{:.2}", self.learned_scale())),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The token table with the rows that were learned.
    fn whole_table(
        &self,
        mut table: Vec<f32>,
        learned: Option<TensorData>,
        width: usize,
    ) -> Vec<f32> {
        let learned: Vec<f32> = learned.iter().flat_map(|data| data.iter::<f32>()).collect();
        for (id, row) in self.captions.vocabulary().ids().iter().zip(learned.chunks(width)) {
            let place = *id as usize * width;
            if let Some(target) = table.get_mut(place..place + row.len()) {
                target.copy_from_slice(row);
            }
        }
        table
    }
}

/// What CLIP multiplies cosines with, and what MoECLIP's maps multiply them with.
///
/// CLIP learns to multiply its cosines by 100, and detectors that stand on it do so whatever it has
/// learned (MoECLIP's maps among them). A short run ends at a tenth of that, with sentences far
/// apart: a detector would be sure of everything before its first step, and adapters that begin
/// there end at "all is normal". So a constant is added to all sentences' features, which brings
/// them together by as much.
const CLIP_SCALE: f64 = 100.0;

/// The shift of the layer norm behind the text tower, to whose every number the constant is added.
const SHIFT: &str = "ln_final.bias";

/// From the normalised tokens to the joint space, `[width, embed]`.
const PROJECTION: &str = "text_projection";

impl<B: Backend> Pretraining<B> {
    /// What cosines were multiplied with in training.
    fn learned_scale(&self) -> f64 {
        self.model.logit_scale.val().into_scalar().elem::<f64>().exp()
    }

    /// The shift `[width]` with which cosines come at [`CLIP_SCALE`]: what was `learned_scale` times a cosine
    /// is then 100 times one, but for what all sentences have in common. A normalised token has no mean, so
    /// the constant stands at right angles to all that sentences differ in, and the projection turns it
    /// little.
    fn scaled_shift(
        &self,
        shift: &TensorData,
        projection: &TensorData,
    ) -> Result<TensorData, ClipModelError> {
        let grows = CLIP_SCALE / self.learned_scale();
        let constant = grows * self.typical_length()? / length_of_ones(projection);
        let values: Vec<f32> = shift.iter::<f32>().map(|value| value + constant as f32).collect();
        Ok(TensorData::new(values, shift.shape.clone()))
    }

    /// Mean length of a sentence's features before they are made unit ones.
    fn typical_length(&self) -> Result<f64, ClipModelError> {
        let pairs =
            Category::of(Role::Auxiliary).map(|category| self.captions.plain_pair(category));
        let ids: Vec<Vec<i64>> =
            pairs.flat_map(|pair| [pair.normal.tokens, pair.defective.tokens]).collect();
        let text = self.model.valid().text;
        let features = text.project(text.encode(&ids)?);
        Ok(features.square().sum_dim(1).sqrt().mean().into_scalar().elem())
    }
}

/// Length of what a projection `[width, embed]` makes of a token of ones.
fn length_of_ones(projection: &TensorData) -> f64 {
    let embed = projection.shape.last().copied().unwrap_or(1).max(1);
    let mut sums = vec![0.0_f64; embed];
    for (place, value) in projection.iter::<f32>().enumerate() {
        sums[place % embed] += f64::from(value);
    }
    sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt().max(f64::MIN_POSITIVE)
}
