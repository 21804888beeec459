//! What AnomalyCLIP learns, and how it enters the text tower: contexts in front of the word "object", which
//! stands for every thing, and tokens inside the tower (section 3.2 of the paper).

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::{TextBackbone, TextSpec, WeightError, WeightSource};
use moeclip::TextFeatures;
use paa_adapter::unit;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::AnomalyClipSettings;
use crate::half::{HalfRounding, PromptPrecision};
use crate::learned::read_learned;
use crate::sentences::Sentences;

/// Its embedding is replaced by a learned token.
const PLACEHOLDER: &str = "X";

/// What stands behind the context: a normal and an abnormal thing.
const STATES: [&str; 2] = ["object.", "damaged object."];

/// Standard deviation of the learned tokens where training starts.
const START_DEVIATION: f32 = 0.02;

/// The learned tokens, the same for every class.
#[derive(Module, Debug)]
pub struct AgnosticPrompts<B: Backend> {
    /// `[1, 1, context tokens, text width]`
    pub normal_context: Param<Tensor<B, 4>>,
    /// `[1, 1, context tokens, text width]`
    pub abnormal_context: Param<Tensor<B, 4>>,
    /// `[deep tokens, text width]` for each deeper text layer, which both sentences share.
    pub deep: Vec<Param<Tensor<B, 2>>>,
    #[module(skip)]
    deep_precision: PromptPrecision,
}

/// The name of a parameter in the authors' checkpoints.
pub fn checkpoint_name(path: &str) -> String {
    match path.strip_prefix("deep.") {
        Some(set) => format!("compound_prompts_text.{set}"),
        None if path == "normal_context" => "ctx_pos".into(),
        None => "ctx_neg".into(),
    }
}

impl<B: Backend> AgnosticPrompts<B> {
    /// Where training starts: all numbers from a normal distribution, the same for the same seed everywhere.
    pub fn init(
        settings: &AnomalyClipSettings,
        text: &TextSpec,
        seed: u64,
        device: &B::Device,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || {
            let unit: f32 = StandardNormal.sample(&mut rng);
            START_DEVIATION * unit
        };
        Self::filled(settings, text, &mut normal, device)
    }

    /// The tokens of a checkpoint, by the authors' names.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when one is missing, of another shape or not finite.
    pub fn load(
        settings: &AnomalyClipSettings,
        text: &TextSpec,
        source: &dyn WeightSource,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let zeros = Self::filled(settings, text, &mut || 0.0, device);
        read_learned(zeros, source, checkpoint_name, device)
    }

    fn filled(
        settings: &AnomalyClipSettings,
        text: &TextSpec,
        value: &mut dyn FnMut() -> f32,
        device: &B::Device,
    ) -> Self {
        let mut rows = |count: usize| {
            let values: Vec<f32> = (0..count * text.width).map(|_| value()).collect();
            Tensor::<B, 2>::from_data(TensorData::new(values, [count, text.width]), device)
        };
        let mut context = || Param::from_tensor(rows(settings.context_tokens).unsqueeze::<4>());
        let (normal_context, abnormal_context) = (context(), context());
        let sets = 0..settings.deep_sets();
        let deep = sets.map(|_| Param::from_tensor(rows(settings.deep_tokens))).collect();
        Self { normal_context, abnormal_context, deep, deep_precision: settings.deep_precision }
    }

    /// Both sentences through the text tower.
    ///
    /// # Shapes
    ///
    /// - sentences: `[2, tokens, text width]`
    pub fn forward<T>(&self, tower: &T, sentences: &Sentences<B>) -> EncodedStates<B>
    where
        T: TextBackbone<B> + HalfRounding<B>,
    {
        let prompts = self.with_context(&sentences.embeddings);
        let mut tokens = tower.add_positions(prompts.clone());
        let mut layers = Vec::new();
        for index in 0..tower.spec().layers {
            if let Some(deep) = index.checked_sub(1).and_then(|set| self.deep.get(set)) {
                tokens = self.overwritten(tower, tokens, deep.val());
            }
            tokens = tower.layer(index, tokens);
            layers.push(tokens.clone());
        }
        let features = tower.project(tower.finish(tokens, &sentences.ends));
        EncodedStates { prompts, layers, features: features.cast(DType::F32) }
    }

    /// The sentences with the context in the place of the placeholders: `[2, tokens, text width]`.
    fn with_context(&self, embeddings: &Tensor<B, 3>) -> Tensor<B, 3> {
        let [sentences, count, _] = embeddings.dims();
        let context = Tensor::cat(vec![self.normal_context.val(), self.abnormal_context.val()], 0);
        let [_, _, learned, width] = context.dims();
        let context = context.reshape([sentences, learned, width]).cast(embeddings.dtype());
        let start = embeddings.clone().narrow(1, 0, 1);
        let words = embeddings.clone().narrow(1, 1 + learned, count - 1 - learned);
        Tensor::cat(vec![start, context, words], 1)
    }

    /// The tokens behind the start overwritten by a layer's set, without positions. Each sentence has a
    /// copy of its own, so that each one's gradient is rounded by itself.
    fn overwritten<T: HalfRounding<B>>(
        &self,
        tower: &T,
        tokens: Tensor<B, 3>,
        deep: Tensor<B, 2>,
    ) -> Tensor<B, 3> {
        let [sentences, count, width] = tokens.dims();
        let [learned, _] = deep.dims();
        let deep = deep.unsqueeze::<3>().expand([sentences, learned, width]);
        let deep = self.deep_precision.enter(tower, deep).cast(tokens.dtype());
        let start = tokens.clone().narrow(1, 0, 1);
        let flowing = tokens.narrow(1, 1 + learned, count - 1 - learned);
        Tensor::cat(vec![start, deep, flowing], 1)
    }

    /// How many tokens behind the start are learned, in the first layer or in a deeper one.
    pub(super) fn longest(&self) -> usize {
        let [_, _, context, _] = self.normal_context.dims();
        let deep = self.deep.first().map_or(0, |deep| deep.dims()[0]);
        context.max(deep)
    }
}

/// The normal and the abnormal sentence, with a placeholder for each token of the context.
pub fn state_sentences(context_tokens: usize) -> Vec<String> {
    let start = format!("{PLACEHOLDER} ").repeat(context_tokens);
    STATES.iter().map(|state| format!("{start}{state}")).collect()
}

/// What becomes of the two sentences.
#[derive(Debug, Clone)]
pub struct EncodedStates<B: Backend> {
    /// `[2, tokens, text width]`: with their contexts, before positions.
    pub prompts: Tensor<B, 3>,
    /// `[2, tokens, text width]` behind each text layer.
    pub layers: Vec<Tensor<B, 3>>,
    /// `[2, embed]` in the joint embedding, f32, not unit.
    pub features: Tensor<B, 2>,
}

impl<B: Backend> EncodedStates<B> {
    /// The unit direction of each state.
    pub fn directions(&self) -> TextFeatures<B> {
        let features = unit(self.features.clone());
        TextFeatures {
            normal: features.clone().narrow(0, 0, 1),
            abnormal: features.narrow(0, 1, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use clip_vit::end_of_text;
    use clip_vit::tokenizer::Tokenizer;

    use super::*;

    #[test]
    fn the_sentences_have_the_releases_ids() {
        let tokenizer = Tokenizer::new(77);
        let ids = state_sentences(12).iter().map(|text| tokenizer.encode(text)).collect::<Vec<_>>();
        let expected = |words: &[i64]| {
            let mut row = vec![49406];
            row.extend([343; 12]);
            row.extend(words);
            row.resize(77, 0);
            row
        };
        assert_eq!(ids[0], expected(&[14115, 269, 49407]));
        assert_eq!(ids[1], expected(&[13568, 14115, 269, 49407]));
        assert_eq!(end_of_text(&ids), [15, 16]);
    }

    #[test]
    fn parameters_go_by_the_authors_names() {
        assert_eq!(checkpoint_name("normal_context"), "ctx_pos");
        assert_eq!(checkpoint_name("abnormal_context"), "ctx_neg");
        assert_eq!(checkpoint_name("deep.7"), "compound_prompts_text.7");
    }
}
