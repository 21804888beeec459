//! The text of a class: its sentence, the bank of learned vectors that stand in it for the first word, and
//! the features of all prompts of all samples.

use std::collections::BTreeMap;

use anomaly::DetectError;
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::tokenizer::{LongTextError, Tokenizer};
use clip_vit::{PromptError, TextBackbone};
use paa_adapter::unit;

use super::flow::FlowSamples;
use super::{BayesPflConfig, PromptFlowSamples};
use crate::MethodError;
use crate::answers::of_class;
use crate::sentences::Sentences;

/// What the release calls classes whose folder's name is no word.
const NAMES: [(&str, &str); 9] = [
    ("macaroni1", "macaroni"),
    ("macaroni2", "macaroni"),
    ("pcb1", "printed circuit board"),
    ("pcb2", "printed circuit board"),
    ("pcb3", "printed circuit board"),
    ("pcb4", "printed circuit board"),
    ("pipe_fryum", "pipe fryum"),
    ("chewinggum", "chewing gum"),
    ("metal_nut", "metal nut"),
];

/// The prompt of a class: its name behind the word in whose place the learned vectors come.
pub fn sentence(class: &str) -> String {
    let renamed = NAMES.iter().find(|(folder, _)| *folder == class);
    let name = renamed.map_or(class, |(_, name)| name);
    format!("X {}", name.to_lowercase())
}

/// Learned vectors of all prompts, before any sample shifts them.
#[derive(Module, Debug)]
pub struct PromptBank<B: Backend> {
    /// Shared by both states: `[bank, context_len, width]`
    pub context: Param<Tensor<B, 3>>,
    /// `[bank, state_len, width]`
    pub state_normal: Param<Tensor<B, 3>>,
    /// `[bank, state_len, width]`
    pub state_abnormal: Param<Tensor<B, 3>>,
}

/// A class's sentence as the text tower's own vectors, without the word that learned vectors replace.
/// What stands behind the end of the text is left out: no token sees those behind it.
#[derive(Debug, Clone)]
pub struct ClassSentence<B: Backend> {
    /// The start of the text, `[1, width]`.
    start: Tensor<B, 2>,
    /// The name and the end of the text, `[words, width]`.
    name: Tensor<B, 2>,
}

impl<B: Backend> ClassSentence<B> {
    /// The sentence of a class, for prompts of these settings.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when the class's name is too long, or the tower has another vocabulary.
    pub fn of_class<T: TextBackbone<B>>(
        class: &str,
        config: &BayesPflConfig,
        tower: &T,
        tokenizer: &Tokenizer,
    ) -> Result<Self, PromptError> {
        let text = [sentence(class)];
        let context = tower.spec().context;
        Self::of(Sentences::read(tower, tokenizer, &text)?, &text[0], config, context)
    }

    /// The sentence of a row of ids.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when the row is not of this tower's table, or too long.
    pub fn of_ids<T: TextBackbone<B>>(
        ids: &[i64],
        config: &BayesPflConfig,
        tower: &T,
    ) -> Result<Self, PromptError> {
        let sentence = Sentences::look_up(tower, &[ids.to_vec()])?;
        Self::of(sentence, &format!("{ids:?}"), config, tower.spec().context)
    }

    /// Refuses a sentence, called `text`, whose end learned vectors push out of `context` tokens.
    fn of(
        sentence: Sentences<B>,
        text: &str,
        config: &BayesPflConfig,
        context: usize,
    ) -> Result<Self, PromptError> {
        // Before the end stand at least the start and the word that is replaced.
        let end = sentence.ends.first().copied().unwrap_or(0).max(2);
        let (tokens, more) = (end + 1, config.vectors() - 1);
        if tokens + more > context {
            let context = context.saturating_sub(more);
            return Err(LongTextError { text: text.to_owned(), tokens, context }.into());
        }
        let words = sentence.embeddings.cast(DType::F32).squeeze_dim::<2>(0);
        let start = words.clone().narrow(0, 0, 1);
        Ok(Self { start, name: words.narrow(0, 2, end - 1) })
    }

    /// Words behind the learned vectors.
    fn words(&self) -> usize {
        self.name.dims()[0]
    }
}

/// The sentences of the classes at hand.
#[derive(Debug, Clone)]
pub struct SentenceBook<B: Backend> {
    classes: BTreeMap<String, ClassSentence<B>>,
}

impl<B: Backend> SentenceBook<B> {
    /// The sentence of every class.
    ///
    /// # Errors
    ///
    /// As [`ClassSentence::of_class`].
    pub fn encode(
        classes: &[String],
        config: &BayesPflConfig,
        tower: &impl TextBackbone<B>,
    ) -> Result<Self, PromptError> {
        let tokenizer = Tokenizer::new(tower.spec().context);
        let sentence = |class: &String| {
            Ok((class.clone(), ClassSentence::of_class(class, config, tower, &tokenizer)?))
        };
        Ok(Self { classes: classes.iter().map(sentence).collect::<Result<_, PromptError>>()? })
    }

    /// The sentence of a class.
    ///
    /// # Errors
    ///
    /// [`DetectError::Class`] when it is not in the book.
    pub fn get(&self, class: &str) -> Result<&ClassSentence<B>, DetectError> {
        of_class(&self.classes, class)
    }

    /// The sentence of each of some images' classes.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] when one is not in the book.
    pub fn of(&self, classes: &[String]) -> Result<Vec<&ClassSentence<B>>, MethodError> {
        let unknown = |error: DetectError| MethodError::Settings {
            key: "classes",
            reason: error.to_string(),
        };
        classes.iter().map(|class| self.get(class).map_err(unknown)).collect()
    }
}

impl<B: Backend> PromptBank<B> {
    /// Unit features of every prompt of every sample: all of the normal state, then all of the abnormal;
    /// in a state sample by sample, in a sample prompt by prompt.
    ///
    /// # Shapes
    ///
    /// - sentences: one for each image
    /// - samples: of each image, and of both states
    /// - output: `[batch, 2 * samples * bank, embed]`
    pub fn features(
        &self,
        tower: &impl TextBackbone<B>,
        sentences: &[&ClassSentence<B>],
        samples: &PromptFlowSamples<B>,
    ) -> Tensor<B, 3> {
        let vectors = self.vectors(samples);
        let [batch, prompts, learned, width] = vectors.dims();
        let tokens = in_sentences(sentences, vectors);
        let length = tokens.dims()[2];
        let tokens = tokens.reshape([batch * prompts, length, width]);
        let tokens = tower.add_positions(tokens.cast(tower.positions().dtype()));
        // Behind the start and the learned vectors, the last of the words is the end of the text.
        let ends = sentences.iter().map(|sentence| learned + sentence.words());
        let ends: Vec<usize> = ends.flat_map(|end| vec![end; prompts]).collect();
        let features = tower.project(tower.finish(tower.layers(tokens), &ends)).cast(DType::F32);
        let embed = features.dims()[1];
        unit(features.reshape([batch, prompts, embed]))
    }

    /// The learned vectors of every prompt, shifted by every sample:
    /// `[batch, 2 * samples * bank, context_len + state_len, width]`.
    fn vectors(&self, samples: &PromptFlowSamples<B>) -> Tensor<B, 4> {
        let context = shifted(&self.context, &samples.context);
        let [batch, prompts, _, width] = context.dims();
        let state = |vectors, samples| {
            let state = shifted(vectors, samples);
            let [_, _, length, _] = state.dims();
            let state = state.expand([batch, prompts, length, width]);
            Tensor::cat(vec![context.clone(), state], 2)
        };
        let normal = state(&self.state_normal, &samples.normal);
        let abnormal = state(&self.state_abnormal, &samples.abnormal);
        Tensor::cat(vec![normal, abnormal], 1)
    }
}

/// One vector of each sample added to all vectors of all prompts: `[batch, samples * bank, length, width]`.
fn shifted<B: Backend>(vectors: &Param<Tensor<B, 3>>, samples: &FlowSamples<B>) -> Tensor<B, 4> {
    let [bank, length, width] = vectors.val().dims();
    let [batch, count, _] = samples.last.dims();
    let shift = samples.last.clone().reshape([batch, count, 1, width]);
    let vectors = vectors.val().reshape([1, 1, bank * length, width]);
    (vectors + shift).reshape([batch, count * bank, length, width])
}

/// Learned vectors, `[batch, prompts, length, width]`, between the start and the name of each image's
/// sentence. Behind shorter sentences stand zeros.
fn in_sentences<B: Backend>(
    sentences: &[&ClassSentence<B>],
    vectors: Tensor<B, 4>,
) -> Tensor<B, 4> {
    let [batch, prompts, _, width] = vectors.dims();
    let device = vectors.device();
    let longest = sentences.iter().map(|sentence| sentence.words()).max().unwrap_or(0);
    let padded = |sentence: &&ClassSentence<B>| {
        let missing = longest - sentence.words();
        let name = sentence.name.clone();
        if missing == 0 {
            return name;
        }
        Tensor::cat(vec![name, Tensor::zeros([missing, width], &device)], 0)
    };
    let starts = sentences.iter().map(|sentence| sentence.start.clone()).collect();
    let starts = Tensor::stack::<3>(starts, 0).unsqueeze_dim::<4>(1);
    let names = Tensor::stack::<3>(sentences.iter().map(padded).collect(), 0).unsqueeze_dim::<4>(1);
    let starts = starts.expand([batch, prompts, 1, width]);
    let names = names.expand([batch, prompts, longest, width]);
    Tensor::cat(vec![starts, vectors, names], 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_goes_by_its_name_in_lower_case() {
        assert_eq!(sentence("pcb3"), "X printed circuit board");
        assert_eq!(sentence("Hazelnut"), "X hazelnut");
        assert_eq!(sentence("fabric_1"), "X fabric_1");
    }
}
