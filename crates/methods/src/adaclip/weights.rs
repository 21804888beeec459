//! What AdaCLIP learns. Fields are called as in the authors' checkpoint, so that a module's path is a tensor's
//! name there, but for a prefix.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::{ClipSpec, WeightError, WeightSource};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::adaclip::AdaClipSettings;
use crate::learned::{Dense, read_learned};

/// Standard deviation of static prompts at the start of training.
const PROMPT_DEVIATION: f32 = 0.02;

/// Static prompts of a tower.
#[derive(Module, Debug)]
pub struct StaticPrompts<B: Backend> {
    /// One `[length, width]` for each layer; none where prompts are dynamic alone.
    pub static_prompts: Vec<Param<Tensor<B, 2>>>,
}

/// Linear layers side by side.
#[derive(Module, Debug)]
pub struct LinearHeads<B: Backend> {
    /// Each by itself.
    pub head: Vec<Dense<B>>,
}

/// All that AdaCLIP learns.
#[derive(Module, Debug)]
pub struct AdaClipWeights<B: Backend> {
    /// Of the text tower. Those of its first layer are in the checkpoint, but no layer reads them.
    pub text_prompter: StaticPrompts<B>,
    /// Of the image tower.
    pub visual_prompter: StaticPrompts<B>,
    /// One for each tap, into the joint embedding.
    pub patch_token_layer: LinearHeads<B>,
    /// One, from the joint embedding into itself.
    pub cls_token_layer: LinearHeads<B>,
    /// One for each dynamic prompt of the image tower; none where prompts are static alone.
    pub dynamic_visual_prompt_generator: LinearHeads<B>,
    /// One for each dynamic prompt of the text tower.
    pub dynamic_text_prompt_generator: LinearHeads<B>,
}

/// Makes one parameter after the other.
trait WeightStart<B: Backend> {
    fn prompts(&mut self, length: usize, width: usize) -> Param<Tensor<B, 2>>;

    fn dense(&mut self, inputs: usize, outputs: usize) -> Dense<B>;
}

impl<B: Backend> AdaClipWeights<B> {
    /// Where training starts: static prompts normal with a deviation of 0.02, linear layers uniform within
    /// `1 / sqrt(inputs)`; one seed gives one start, on every backend.
    pub fn init(
        settings: &AdaClipSettings,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self::build(settings, clip, &mut Drawn::<B> { rng, device })
    }

    /// The weights of a source, by their paths.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when a tensor is missing or of another shape.
    pub fn load(
        settings: &AdaClipSettings,
        clip: &ClipSpec,
        source: &dyn WeightSource,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let zeros = Self::build(settings, clip, &mut Zeros::<B> { device });
        read_learned(zeros, source, str::to_owned, device)
    }

    fn build(settings: &AdaClipSettings, clip: &ClipSpec, start: &mut impl WeightStart<B>) -> Self {
        let (width, text_width, embed) = (clip.vision.width, clip.text.width, clip.embed);
        let (depth, length) = (settings.prompt_depth, settings.prompt_length);
        let (kind, towers) = (settings.prompt_kind, settings.prompted_towers);
        let mut statics = |prompted: bool, width: usize| {
            let layers = if prompted && kind.has_static() { depth } else { 0 };
            StaticPrompts {
                static_prompts: (0..layers).map(|_| start.prompts(length, width)).collect(),
            }
        };
        let text_prompter = statics(towers.text(), text_width);
        let visual_prompter = statics(towers.vision(), width);
        let mut heads = |count: usize, inputs: usize, outputs: usize| LinearHeads {
            head: (0..count).map(|_| start.dense(inputs, outputs)).collect(),
        };
        let generated = if kind.has_dynamic() { length } else { 0 };
        Self {
            text_prompter,
            visual_prompter,
            patch_token_layer: heads(settings.taps.len(), width, embed),
            cls_token_layer: heads(1, embed, embed),
            dynamic_visual_prompt_generator: heads(generated, embed, width),
            dynamic_text_prompt_generator: heads(generated, embed, text_width),
        }
    }
}

impl<B: Backend> LinearHeads<B> {
    /// Every layer's answer to the same input, `[batch, inputs]` to `[batch, heads, outputs]`; `None` when
    /// there is no layer.
    pub fn side_by_side(&self, input: &Tensor<B, 2>) -> Option<Tensor<B, 3>> {
        let answers: Vec<_> = self.head.iter().map(|head| head.forward(input.clone())).collect();
        (!answers.is_empty()).then(|| Tensor::stack(answers, 1))
    }
}

/// Zeros, to be filled from a source.
struct Zeros<'a, B: Backend> {
    device: &'a B::Device,
}

impl<B: Backend> WeightStart<B> for Zeros<'_, B> {
    fn prompts(&mut self, length: usize, width: usize) -> Param<Tensor<B, 2>> {
        Param::from_tensor(Tensor::zeros([length, width], self.device))
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> Dense<B> {
        Dense::zeros(inputs, outputs, self.device)
    }
}

/// The start of training.
struct Drawn<'a, B: Backend> {
    rng: ChaCha8Rng,
    device: &'a B::Device,
}

impl<B: Backend> Drawn<'_, B> {
    fn parameter<const D: usize>(
        &mut self,
        shape: [usize; D],
        draw: impl Fn(&mut ChaCha8Rng) -> f32,
    ) -> Param<Tensor<B, D>> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| draw(&mut self.rng)).collect();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}

impl<B: Backend> WeightStart<B> for Drawn<'_, B> {
    fn prompts(&mut self, length: usize, width: usize) -> Param<Tensor<B, 2>> {
        let normal = |rng: &mut ChaCha8Rng| {
            let drawn: f32 = StandardNormal.sample(rng);
            PROMPT_DEVIATION * drawn
        };
        self.parameter([length, width], normal)
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> Dense<B> {
        let bound = (inputs as f32).sqrt().recip();
        let uniform = |rng: &mut ChaCha8Rng| rng.random_range(-bound..=bound);
        let weight = self.parameter([outputs, inputs], uniform);
        Dense { weight, bias: Some(self.parameter([outputs], uniform)) }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use clip_vit::{ClipSpecBuilder, Preset};

    use super::*;
    use crate::adaclip::{PromptKind, PromptedTowers};
    use crate::learned::learned_values;

    fn names(change: impl FnOnce(&mut AdaClipSettings)) -> Vec<String> {
        let clip = ClipSpecBuilder::new().vision(14, 4, 8, 4).text(8, 1).embed(8).build().unwrap();
        let mut settings = AdaClipSettings {
            prompt_depth: 2,
            prompt_length: 1,
            ..AdaClipSettings::for_clip(&clip)
        };
        settings.taps = vec![4];
        change(&mut settings);
        let weights = AdaClipWeights::<Flex>::init(&settings, &clip, 1, &Default::default());
        learned_values(&weights, str::to_owned).into_keys().collect()
    }

    #[test]
    fn there_are_as_many_numbers_as_the_authors_learn() {
        let (settings, clip) = (AdaClipSettings::default(), Preset::VitL14At336.spec());
        let weights = AdaClipWeights::<Flex>::init(&settings, &clip, 1, &Default::default());
        assert_eq!(weights.num_params(), 10_665_472);
    }

    #[test]
    fn paths_are_the_names_of_the_authors_checkpoint() {
        let names = names(|_| ());
        let expected = [
            "cls_token_layer.head.0.bias",
            "cls_token_layer.head.0.weight",
            "dynamic_text_prompt_generator.head.0.bias",
            "dynamic_text_prompt_generator.head.0.weight",
            "dynamic_visual_prompt_generator.head.0.bias",
            "dynamic_visual_prompt_generator.head.0.weight",
            "patch_token_layer.head.0.bias",
            "patch_token_layer.head.0.weight",
            "text_prompter.static_prompts.0",
            "text_prompter.static_prompts.1",
            "visual_prompter.static_prompts.0",
            "visual_prompter.static_prompts.1",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_a_setting_leaves_out_has_no_weights() {
        let prompts = |names: Vec<String>, part: &str| names.iter().any(|name| name.contains(part));
        let only_static = names(|settings| settings.prompt_kind = PromptKind::Static);
        assert!(!prompts(only_static, "dynamic"));
        let only_dynamic = names(|settings| settings.prompt_kind = PromptKind::Dynamic);
        assert!(!prompts(only_dynamic, "static"));
        let only_text = names(|settings| settings.prompted_towers = PromptedTowers::Text);
        assert!(!prompts(only_text, "visual_prompter"));
    }

    #[test]
    fn training_starts_within_its_laws() {
        let (settings, clip) = (AdaClipSettings::default(), Preset::VitB16.spec());
        let settings = AdaClipSettings { taps: vec![3], ..settings };
        let weights = AdaClipWeights::<Flex>::init(&settings, &clip, 1, &Default::default());
        let prompts = weights.visual_prompter.static_prompts[0].val();
        let deviation: f32 = prompts.square().mean().sqrt().into_scalar();
        assert!((deviation - PROMPT_DEVIATION).abs() < 1e-3, "{deviation}");
        let largest: f32 = weights.cls_token_layer.head[0].weight.val().abs().max().into_scalar();
        let bound = (clip.embed as f32).sqrt().recip();
        assert!(largest <= bound && largest > 0.99 * bound, "{largest} of {bound}");
    }
}
