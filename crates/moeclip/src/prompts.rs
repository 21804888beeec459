//! State phrases about a class, and their frozen features: each phrase is encoded once, ever.

use std::collections::{BTreeMap, HashMap};

use burn::backend::Autodiff;
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::tokenizer::Tokenizer;
use clip_vit::{PromptError, TextTower};
use paa_adapter::unit;
use serde::{Deserialize, Serialize};

use crate::TextFeatures;

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
    pub fn under_autodiff(self) -> ClassPrompts<Autodiff<B>> {
        ClassPrompts {
            normal: Tensor::from_inner(self.normal),
            abnormal: Tensor::from_inner(self.abnormal),
        }
    }
}

/// Encodes prompts with the frozen text tower, each phrase once.
pub struct PromptEncoder<B: Backend> {
    tower: TextTower<B>,
    tokenizer: Tokenizer,
    prompts: PromptSet,
    features: HashMap<String, Tensor<B, 2>>,
}

impl<B: Backend> PromptEncoder<B> {
    /// An encoder of these prompts.
    pub fn new(tower: TextTower<B>, prompts: PromptSet) -> Self {
        let tokenizer = Tokenizer::new(tower.spec().context);
        Self { tower, tokenizer, prompts, features: HashMap::new() }
    }

    /// Features of a class's prompts.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when the tower's token table is not the tokenizer's.
    pub fn class(&mut self, class: &str) -> Result<ClassPrompts<B>, PromptError> {
        let normal = self.encode(self.prompts.normal_prompts(class))?;
        let abnormal = self.encode(self.prompts.abnormal_prompts(class))?;
        Ok(ClassPrompts { normal, abnormal })
    }

    /// Encodes every class and lets the tower go.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when the tower's token table is not the tokenizer's.
    pub fn into_book<'a>(
        mut self,
        classes: impl IntoIterator<Item = &'a str>,
    ) -> Result<PromptBook<B>, PromptError> {
        let mut book = PromptBook { classes: BTreeMap::new() };
        for class in classes {
            book.insert(class, self.class(class)?);
        }
        Ok(book)
    }

    /// CLIP's own directions of a class's states, through the projection that it was trained with:
    /// per state the mean of unit features, made unit. One row each.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when the tower's token table is not the tokenizer's.
    pub fn directions(&mut self, class: &str) -> Result<TextFeatures<B>, PromptError> {
        let ClassPrompts { normal, abnormal } = self.class(class)?;
        Ok(TextFeatures { normal: self.direction(normal), abnormal: self.direction(abnormal) })
    }

    fn direction(&self, features: Tensor<B, 2>) -> Tensor<B, 2> {
        unit(unit(self.tower.project(features).cast(DType::F32)).mean_dim(0))
    }

    fn encode(&mut self, prompts: Vec<String>) -> Result<Tensor<B, 2>, PromptError> {
        let mut unseen: Vec<&String> =
            prompts.iter().filter(|prompt| !self.features.contains_key(*prompt)).collect();
        unseen.dedup();
        if !unseen.is_empty() {
            let ids: Vec<Vec<i64>> =
                unseen.iter().map(|prompt| self.tokenizer.encode(prompt)).collect();
            let features = self.tower.encode(&ids)?.cast(DType::F32);
            for (row, prompt) in unseen.into_iter().enumerate() {
                self.features.insert(prompt.clone(), features.clone().narrow(0, row, 1));
            }
        }
        Ok(Tensor::cat(prompts.iter().map(|prompt| self.features[prompt].clone()).collect(), 0))
    }
}

/// Frozen prompt features of the classes at hand; all that is kept of the text tower.
#[derive(Debug, Clone)]
pub struct PromptBook<B: Backend> {
    classes: BTreeMap<String, ClassPrompts<B>>,
}

impl<B: Backend> PromptBook<B> {
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
}
