//! What AdaCLIP says of a class, and how the text tower reads it: 7 phrases of the normal and 5 of the abnormal
//! state, in 4 templates, with prompts in the place of their first words.

use burn::tensor::{Tensor, backend::Backend};
use clip_vit::TextBackbone;
use clip_vit::tokenizer::Tokenizer;

use crate::MethodError;
use crate::adaclip::AdaClipSettings;
use crate::adaclip::prompts::{LayerOutput, LayerPrompts, Watch};
use crate::april_gan::TEMPLATES;
use crate::half::HalfRounding;
use crate::sentences::Sentences;
use crate::states::{ABNORMAL_PHRASES, NORMAL_PHRASES, prompt_set};

/// How many of APRIL-GAN's templates are put around each phrase: the first ones.
const TEMPLATE_COUNT: usize = 4;

/// A class's sentences as text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ClassTexts {
    /// All of them, those of the normal state first.
    all: Vec<String>,
    /// Those of the normal state.
    normal: usize,
}

impl ClassTexts {
    /// The sentences of a class, whose name is only rid of its hyphens.
    fn of(class: &str) -> Self {
        let class = class.replace('-', " ");
        let phrases = prompt_set(&NORMAL_PHRASES, &ABNORMAL_PHRASES, &TEMPLATES[..TEMPLATE_COUNT]);
        let mut all = phrases.normal_prompts(&class);
        let normal = all.len();
        all.extend(phrases.abnormal_prompts(&class));
        Self { all, normal }
    }
}

/// Sentences of a class as they leave the first layer of the text tower, which no prompt reaches.
#[derive(Debug, Clone)]
pub struct PromptedSentences<B: Backend> {
    /// `[sentences, tokens, width]`, those of the normal state first.
    tokens: Tensor<B, 3>,
    /// The place of each sentence's end-of-text token.
    ends: Vec<usize>,
    /// Sentences of the normal state.
    pub(crate) normal: usize,
}

impl<B: Backend> PromptedSentences<B> {
    /// A class's sentences, without what stands behind the last end.
    ///
    /// # Errors
    ///
    /// [`MethodError`] when a sentence is too long for the tower, or ends among the places that prompts
    /// overwrite.
    pub fn of_class<T: TextBackbone<B>>(
        class: &str,
        tower: &T,
        tokenizer: &Tokenizer,
        settings: &AdaClipSettings,
    ) -> Result<Self, MethodError> {
        let ClassTexts { all, normal } = ClassTexts::of(class);
        Self::new(tower, Sentences::read(tower, tokenizer, &all)?, normal, settings)
    }

    /// Sentences through the first layer; the `normal` first ones are of the normal state.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] when a sentence ends among the places that prompts overwrite.
    pub fn new<T: TextBackbone<B>>(
        tower: &T,
        sentences: Sentences<B>,
        normal: usize,
        settings: &AdaClipSettings,
    ) -> Result<Self, MethodError> {
        let Sentences { embeddings, ends } = sentences;
        let length = settings.prompt_length;
        if settings.prompted_towers.text() && ends.iter().any(|&end| end <= length) {
            let reason = format!("{length} prompts overwrite the end of a sentence; use fewer");
            return Err(MethodError::Settings { key: "prompt_length", reason });
        }
        Ok(Self { tokens: tower.layer(0, tower.add_positions(embeddings)), ends, normal })
    }

    /// The sentences through the other layers of the text tower, for one image. Before each prompted layer
    /// the places behind the start are overwritten, words and all.
    ///
    /// # Shapes
    ///
    /// - output: `[sentences, embed]`, not unit
    pub(crate) fn read<T: TextBackbone<B> + HalfRounding<B>>(
        &self,
        tower: &T,
        prompts: Option<&LayerPrompts<B>>,
        image: usize,
        watch: Watch<'_, B>,
    ) -> Tensor<B, 2> {
        let [sentences, places, _] = self.tokens.dims();
        let prompts = prompts.map(|prompts| prompts.of_image(image));
        let mut tokens = self.tokens.clone();
        watch(LayerOutput::Text(0), &tokens);
        for layer in 1..tower.spec().layers {
            let own = prompts.as_ref();
            if let Some(own) = own.and_then(|own| own.entering(layer, sentences, tower)) {
                let behind = 1 + own.dims()[1];
                let start = tokens.clone().narrow(1, 0, 1);
                let rest = tokens.clone().narrow(1, behind, places - behind);
                tokens = Tensor::cat(vec![start, own.cast(tokens.dtype()), rest], 1);
            }
            tokens = tower.layer(layer, tokens);
            watch(LayerOutput::Text(layer), &tokens);
        }
        tower.project(tower.finish(tokens, &self.ends))
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights, TextTower};

    use super::*;

    #[test]
    fn sentences_run_over_phrases_then_templates() {
        let ClassTexts { all, normal } = ClassTexts::of("metal-nut");
        assert_eq!((all.len(), normal), (48, 28));
        assert_eq!(all[1], "a low resolution photo of the metal nut.");
        assert_eq!(all[47], "a cropped photo of the metal nut with damage.");
        assert_eq!(ClassTexts::of("metal_nut").all[0], "a bad photo of a metal_nut.");
    }

    #[test]
    fn a_sentence_ends_behind_the_prompts() {
        let spec = ClipSpecBuilder::new().vision(4, 2, 8, 1).text(8, 1).tokens(8, 16).embed(4);
        let (spec, source) = (spec.build().unwrap(), RandomWeights::new(1));
        let tower = TextTower::load(&spec, &source, Precision::F32, &Default::default()).unwrap();
        let read = |length: usize| {
            let ids = [vec![1, 2, 3, 4, 15, 0, 0, 0], vec![1, 2, 3, 4, 5, 15, 0, 0]];
            let sentences = Sentences::<Flex>::look_up(&tower, &ids).unwrap();
            let settings = AdaClipSettings { prompt_length: length, ..AdaClipSettings::default() };
            PromptedSentences::new(&tower, sentences, 1, &settings)
        };
        assert!(read(3).is_ok());
        assert!(read(4).unwrap_err().to_string().starts_with("prompt_length"));
    }
}
