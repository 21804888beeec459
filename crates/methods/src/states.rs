//! From sentences about the two states of a thing to one direction per state. Methods that take WinCLIP's
//! sentences up differ in phrases, templates and in how they average.

use std::collections::BTreeMap;

use anomaly::DetectError;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::{PromptError, TextTower};
use moeclip::{PromptEncoder, PromptSet, TextFeatures};
use paa_adapter::unit;
use serde::{Deserialize, Serialize};

use crate::MethodError;
use crate::answers::of_class;

/// The normal state in WinCLIP's words, which APRIL-GAN and AdaCLIP use too.
pub const NORMAL_PHRASES: [&str; 7] = [
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
];

/// The abnormal state in APRIL-GAN's words, which AdaCLIP uses too.
pub const ABNORMAL_PHRASES: [&str; 5] =
    ["damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage"];

/// Phrases in templates, as text.
pub fn prompt_set(normal: &[&str], abnormal: &[&str], templates: &[&str]) -> PromptSet {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    PromptSet { normal: owned(normal), abnormal: owned(abnormal), templates: owned(templates) }
}

/// How the sentences of a state become one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentenceMean {
    /// The mean of unit features, made unit.
    #[default]
    Unit,
    /// The mean of the features as they are, made unit.
    Raw,
}

impl SentenceMean {
    /// The unit direction of a state.
    ///
    /// # Shapes
    ///
    /// - sentences: `[sentences, embed]`, CLIP's embeddings, not made unit
    /// - output: `[1, embed]`
    pub fn direction<B: Backend>(self, sentences: Tensor<B, 2>) -> Tensor<B, 2> {
        let sentences = match self {
            Self::Unit => unit(sentences),
            Self::Raw => sentences,
        };
        unit(sentences.mean_dim(0))
    }
}

/// The directions of both states of each class at hand: all that is kept of the text tower.
#[derive(Debug, Clone)]
pub struct ClassDirections<B: Backend> {
    classes: BTreeMap<String, TextFeatures<B>>,
}

impl<B: Backend> ClassDirections<B> {
    /// Encodes the sentences of every class with the text tower, which is let go afterwards.
    ///
    /// # Errors
    ///
    /// [`PromptError`] when a sentence does not fit the tower.
    pub fn encode(
        tower: TextTower<B>,
        prompts: &PromptSet,
        mean: SentenceMean,
        classes: &[String],
    ) -> Result<Self, PromptError> {
        let mut encoder = PromptEncoder::new(tower);
        let mut directions = BTreeMap::new();
        for class in classes {
            let normal = encoder.embeddings(&prompts.normal_prompts(class))?;
            let abnormal = encoder.embeddings(&prompts.abnormal_prompts(class))?;
            let (normal, abnormal) = (mean.direction(normal), mean.direction(abnormal));
            directions.insert(class.clone(), TextFeatures { normal, abnormal });
        }
        Ok(Self { classes: directions })
    }

    /// Directions that were made in another way than by [`encode`](Self::encode).
    pub fn of(classes: BTreeMap<String, TextFeatures<B>>) -> Self {
        Self { classes }
    }

    /// The directions of a class.
    ///
    /// # Errors
    ///
    /// [`DetectError::Class`] when its sentences were not encoded.
    pub fn get(&self, class: &str) -> Result<&TextFeatures<B>, DetectError> {
        of_class(&self.classes, class)
    }

    /// The directions of each image of a batch, one row per image.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] when the sentences of a class were not encoded.
    pub fn rows(&self, classes: &[String]) -> Result<TextFeatures<B>, MethodError> {
        let unknown = |error: DetectError| MethodError::Settings {
            key: "classes",
            reason: error.to_string(),
        };
        let row = |class: &String| self.get(class).cloned().map_err(unknown);
        Ok(TextFeatures::stack(classes.iter().map(row).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::Tolerance;

    use super::*;

    #[test]
    fn long_sentences_weigh_more_only_where_they_are_not_made_unit() {
        let device = Default::default();
        let sentences = Tensor::<Flex, 2>::from_floats([[3.0, 0.0], [0.0, 1.0]], &device);
        let close = Tolerance::absolute(1e-6);
        for (mean, expected) in [
            (SentenceMean::Unit, [[0.5f32.sqrt(), 0.5f32.sqrt()]]),
            (SentenceMean::Raw, [[0.9f32.sqrt(), 0.1f32.sqrt()]]),
        ] {
            let direction = mean.direction(sentences.clone()).into_data();
            direction.assert_approx_eq::<f32>(&expected.into(), close);
        }
    }
}
