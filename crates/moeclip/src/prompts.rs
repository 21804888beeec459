//! State phrases about a class, and their frozen features: each is encoded once.

use std::collections::{BTreeMap, HashMap};

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::tokenizer::{LongTextError, Tokenizer, VOCABULARY};
use clip_vit::{PromptError, TextBackbone, TextTower};
use paa_adapter::unit;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// State phrases and the templates around them; `{}` in a phrase is the class's name, `{}` in a
/// template the phrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptSet {
    /// Phrases of the normal state.
    pub normal: Vec<String>,
    /// Phrases of the abnormal state.
    pub abnormal: Vec<String>,
    /// What is put around each phrase.
    pub templates: Vec<String>,
}

impl Default for PromptSet {
    /// The paper's three normal and five abnormal phrases in two templates.
    fn default() -> Self {
        let owned = |phrases: &[&str]| phrases.iter().map(ToString::to_string).collect();
        Self {
            normal: owned(&["{}", "a {}", "the {}"]),
            abnormal: owned(&[
                "a damaged {}",
                "a broken {}",
                "a {} with flaw",
                "a {} with defect",
                "a {} with damage",
            ]),
            templates: owned(&["{}.", "a photo of {}."]),
        }
    }
}

impl PromptSet {
    /// Prompts of the normal state: for each phrase, for each template.
    pub fn normal_prompts(&self, class: &str) -> Vec<String> {
        self.fill(&self.normal, class)
    }

    /// Prompts of the abnormal state: for each phrase, for each template.
    pub fn abnormal_prompts(&self, class: &str) -> Vec<String> {
        self.fill(&self.abnormal, class)
    }

    /// SHA-256 of all phrases and templates, in their order.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        for part in [&self.normal, &self.abnormal, &self.templates] {
            digest.update((part.len() as u64).to_le_bytes());
            for phrase in part {
                digest.update((phrase.len() as u64).to_le_bytes());
                digest.update(phrase);
            }
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn fill(&self, phrases: &[String], class: &str) -> Vec<String> {
        let phrases = phrases.iter().map(|phrase| phrase.replace("{}", class));
        phrases
            .flat_map(|phrase| self.templates.iter().map(move |t| t.replace("{}", &phrase)))
            .collect()
    }
}

/// Frozen features of a class's prompts, before the trained projection.
#[derive(Debug, Clone)]
pub struct ClassPrompts<B: Backend> {
    /// `[prompts, text width]`, f32
    pub normal: Tensor<B, 2>,
    /// `[prompts, text width]`, f32
    pub abnormal: Tensor<B, 2>,
}

impl<B: Backend> ClassPrompts<B> {
    /// The same features under autodiff, as constants.
    pub fn under_autodiff<C: CheckpointStrategy>(self) -> ClassPrompts<Autodiff<B, C>> {
        ClassPrompts {
            normal: Tensor::from_inner(self.normal),
            abnormal: Tensor::from_inner(self.abnormal),
        }
    }
}

/// Encodes prompts with the frozen text tower, each list of them once.
pub struct PromptEncoder<B: Backend> {
    tower: TextTower<B>,
    tokenizer: Tokenizer,
    features: HashMap<Vec<String>, Tensor<B, 2>>,
}

impl<B: Backend> PromptEncoder<B> {
    /// An encoder with this tower.
    pub fn new(tower: TextTower<B>) -> Self {
        let tokenizer = Tokenizer::new(tower.spec().context);
        Self { tower, tokenizer, features: HashMap::new() }
    }

    /// Features of the prompts of one state of one class, `[prompts, text width]` in f32. A list
    /// always passes the tower as a whole, so its features do not depend on what was encoded before.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when the tower's token table is not the tokenizer's, or a prompt is longer than
    /// the tower reads: the one that is longest.
    pub fn encode(&mut self, prompts: &[String]) -> Result<Tensor<B, 2>, PromptError> {
        if let Some(features) = self.features.get(prompts) {
            return Ok(features.clone());
        }
        let ids = self.tokens(prompts)?;
        let features = self.tower.encode(&ids)?.cast(DType::F32);
        self.features.insert(prompts.to_vec(), features.clone());
        Ok(features)
    }

    /// Rows of ids. A prompt is never cut: the two states of a class would come to be the same.
    fn tokens(&self, prompts: &[String]) -> Result<Vec<Vec<i64>>, PromptError> {
        let vocab = self.tower.spec().vocab;
        if vocab > VOCABULARY {
            return Err(PromptError::OtherVocabulary { vocab });
        }
        let mut rows = Vec::with_capacity(prompts.len());
        let mut longest: Option<LongTextError> = None;
        for prompt in prompts {
            match self.tokenizer.encode_whole(prompt) {
                Ok(row) => rows.push(row),
                Err(long) if longest.as_ref().is_none_or(|most| most.tokens < long.tokens) => {
                    longest = Some(long);
                }
                Err(_) => {}
            }
        }
        match longest {
            Some(long) => Err(long.into()),
            None => Ok(rows),
        }
    }

    /// CLIP's own joint embedding of the prompts of one state of a class, not made unit:
    /// `[prompts, embed]` in f32.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn embeddings(&mut self, prompts: &[String]) -> Result<Tensor<B, 2>, PromptError> {
        let features = self.encode(prompts)?;
        Ok(self.tower.project(features).cast(DType::F32))
    }

    /// CLIP's own direction of one state of a class, through the projection that it was trained with:
    /// the mean of unit features, made unit. `[1, embed]`.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn direction(&mut self, prompts: &[String]) -> Result<Tensor<B, 2>, PromptError> {
        Ok(unit(unit(self.embeddings(prompts)?).mean_dim(0)))
    }
}

/// Frozen prompt features of the classes at hand; all that is kept of the text tower.
#[derive(Debug, Clone)]
pub struct PromptBook<B: Backend> {
    classes: BTreeMap<String, ClassPrompts<B>>,
}

impl<B: Backend> PromptBook<B> {
    /// A book without classes.
    pub fn empty() -> Self {
        Self { classes: BTreeMap::new() }
    }

    /// A book of one class.
    pub fn of(class: &str, prompts: ClassPrompts<B>) -> Self {
        Self { classes: BTreeMap::from([(class.to_owned(), prompts)]) }
    }

    /// Adds a class.
    pub fn insert(&mut self, class: &str, prompts: ClassPrompts<B>) {
        self.classes.insert(class.to_owned(), prompts);
    }

    /// The features of a class, if it is in the book.
    pub fn get(&self, class: &str) -> Option<&ClassPrompts<B>> {
        self.classes.get(class)
    }

    /// The classes in the book, sorted.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights};

    use super::*;

    #[test]
    fn prompts_run_over_phrases_then_templates() {
        let prompts = PromptSet::default();
        let normal = prompts.normal_prompts("hazelnut");
        assert_eq!(normal[..3], ["hazelnut.", "a photo of hazelnut.", "a hazelnut."]);
        assert_eq!(normal.len(), 6);
        let abnormal = prompts.abnormal_prompts("hazelnut");
        assert_eq!(abnormal[1], "a photo of a damaged hazelnut.");
        assert_eq!(abnormal.len(), 10);
    }

    fn encoder(context: usize, vocab: usize) -> PromptEncoder<Flex> {
        let spec = ClipSpecBuilder::new().vision(4, 2, 8, 1).text(8, 1).tokens(context, vocab);
        let spec = spec.embed(4).build().unwrap();
        let (source, device) = (RandomWeights::new(1), Default::default());
        PromptEncoder::new(TextTower::load(&spec, &source, Precision::F32, &device).unwrap())
    }

    #[test]
    fn prompts_that_do_not_fit_are_told_and_never_cut() {
        let mut encoder = encoder(12, VOCABULARY);
        let prompts = PromptSet::default();
        // The name alone has five tokens, the longest prompt eight more with its marks and dot.
        for (class, fits) in [("gear gear nut", true), ("gear gear gear gear nut", false)] {
            let states = [prompts.normal_prompts(class), prompts.abnormal_prompts(class)];
            let encoded = states.map(|prompts| encoder.encode(&prompts).map(drop));
            assert_eq!(encoded.iter().all(Result::is_ok), fits, "{class}: {encoded:?}");
            if let Err(error) = &encoded[1] {
                let line = error.to_string();
                assert!(line.contains("at most 12 fit") && line.contains("nut"), "{line}");
            }
        }
    }

    #[test]
    fn a_tower_of_another_tokenizer_is_told() {
        let error = encoder(12, VOCABULARY + 1).encode(&["nut".into()]).unwrap_err();
        assert!(matches!(error, PromptError::OtherVocabulary { .. }), "{error}");
    }
}
