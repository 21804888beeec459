//! Sentences on their way into a text tower in which something learned meets them: in the place of their
//! tokens, or behind a layer.

use burn::tensor::{Tensor, backend::Backend};
use clip_vit::tokenizer::{Tokenizer, VOCABULARY};
use clip_vit::{PromptError, TextBackbone, end_of_text};

/// Sentences before anything was done to them.
#[derive(Debug, Clone)]
pub struct Sentences<B: Backend> {
    /// `[sentences, tokens, width]`: rows of the token table, without positions.
    pub embeddings: Tensor<B, 3>,
    /// The place of each one's end.
    pub ends: Vec<usize>,
}

impl<B: Backend> Sentences<B> {
    /// Sentences by their token ids, at the whole length of the tower's context.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when a row is not of ids of this tower.
    pub fn look_up<T: TextBackbone<B>>(tower: &T, ids: &[Vec<i64>]) -> Result<Self, PromptError> {
        Ok(Self { embeddings: tower.look_up(ids)?, ends: end_of_text(ids) })
    }

    /// Sentences as they are written, without what stands behind the last end: no feature depends on it.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when the tower's token table is not the tokenizer's, or a sentence is longer than
    /// the tower reads.
    pub fn read<T: TextBackbone<B>>(
        tower: &T,
        tokenizer: &Tokenizer,
        texts: &[String],
    ) -> Result<Self, PromptError> {
        let vocab = tower.spec().vocab;
        if vocab != VOCABULARY {
            return Err(PromptError::OtherVocabulary { vocab });
        }
        let ids = texts.iter().map(|text| tokenizer.encode_whole(text));
        let sentences = Self::look_up(tower, &ids.collect::<Result<Vec<_>, _>>()?)?;
        Ok(sentences.trimmed(0))
    }

    /// The sentences up to the last end, and at least so many tokens behind their start.
    pub fn trimmed(self, behind_start: usize) -> Self {
        let last = self.ends.iter().copied().max().unwrap_or(0).max(behind_start);
        Self { embeddings: self.embeddings.narrow(1, 0, last + 1), ends: self.ends }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::Tolerance;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights, TextTower};

    use super::*;

    fn tower(vocab: usize) -> TextTower<Flex> {
        let spec = ClipSpecBuilder::new().vision(4, 2, 8, 1).text(8, 2).tokens(10, vocab).embed(4);
        let (spec, source) = (spec.build().unwrap(), RandomWeights::new(1));
        TextTower::load(&spec, &source, Precision::F32, &Default::default()).unwrap()
    }

    #[test]
    fn what_stands_behind_the_last_end_changes_nothing() {
        let (tower, tokenizer) = (tower(VOCABULARY), Tokenizer::new(10));
        let texts = ["a nut.".to_owned(), "a damaged nut.".to_owned()];
        let sentences = Sentences::read(&tower, &tokenizer, &texts).unwrap();
        assert_eq!(sentences.embeddings.dims(), [2, 6, 8]);
        let tokens = tower.layers(tower.add_positions(sentences.embeddings));
        let short = tower.finish(tokens, &sentences.ends).into_data();
        let whole = tower.encode(&texts.map(|text| tokenizer.encode(&text))).unwrap().into_data();
        short.assert_approx_eq::<f32>(&whole, Tolerance::absolute(1e-5));
    }

    #[test]
    fn a_tower_of_another_tokenizer_is_told() {
        let read = Sentences::read(&tower(64), &Tokenizer::new(10), &["nut".to_owned()]);
        assert!(matches!(read, Err(PromptError::OtherVocabulary { vocab: 64 })));
    }
}
