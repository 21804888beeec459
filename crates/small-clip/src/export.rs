//! The finished CLIP as a file that opens like any other: every row of CLIP's token table, in f16.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, TensorData, backend::Backend};
use clip_vit::WeightError;
use clip_vit::weights::write::{HostTensor, write_clip};

use crate::learner::Pretraining;
use crate::scale::{CLIP_SCALE, PROJECTION, SHIFT};
use crate::start::{Start, TABLE};

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
        let mut weights = self.pupil.vision.named_weights();
        weights.append(&mut self.pupil.text.named_weights());
        let shape = [spec.text.vocab, spec.text.width];
        let start = Start::new(self.config.seed, &spec, self.captions.vocabulary()).table()?;
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
