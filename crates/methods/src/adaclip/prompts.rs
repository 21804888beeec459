//! Prompts among the tokens of a frozen tower: made for each layer, put in, and carried through.

use burn::tensor::{Tensor, backend::Backend};
use clip_vit::ImageTextBackbone;

use crate::adaclip::{AdaClipSettings, StaticPrompts};
use crate::half::{HalfRounding, PromptPrecision};

/// A tower's prompts for some images.
#[derive(Debug, Clone)]
pub(crate) struct LayerPrompts<B: Backend> {
    /// Each layer's own, `[length, width]`; none where prompts are dynamic alone.
    statics: Vec<Tensor<B, 2>>,
    /// Each image's own, `[images, length, width]`; none where prompts are static alone.
    pub(crate) dynamic: Option<Tensor<B, 3>>,
    /// Layers that have prompts of their own.
    depth: usize,
    precision: PromptPrecision,
}

impl<B: Backend> LayerPrompts<B> {
    pub(crate) fn new(
        statics: &StaticPrompts<B>,
        dynamic: Option<Tensor<B, 3>>,
        settings: &AdaClipSettings,
    ) -> Self {
        let statics = statics.static_prompts.iter().map(|prompts| prompts.val()).collect();
        let (depth, precision) = (settings.prompt_depth, settings.prompt_precision);
        Self { statics, dynamic, depth, precision }
    }

    /// The prompts of one image alone.
    pub(crate) fn of_image(&self, image: usize) -> Self {
        let dynamic = self.dynamic.clone().map(|prompts| prompts.narrow(0, image, 1));
        Self { dynamic, ..self.clone() }
    }

    /// The prompts that enter a layer, one set for each sequence: the static ones plus the dynamic ones.
    /// `None` for a layer without prompts of its own.
    ///
    /// # Shapes
    ///
    /// - output: `[sequences, length, width]`
    pub(crate) fn entering(
        &self,
        layer: usize,
        sequences: usize,
        tower: &impl HalfRounding<B>,
    ) -> Option<Tensor<B, 3>> {
        if layer >= self.depth {
            return None;
        }
        let own = self.statics.get(layer).map(|prompts| prompts.clone().unsqueeze::<3>());
        let prompts = match (own, self.dynamic.clone()) {
            (Some(own), Some(dynamic)) => own + dynamic,
            (own, dynamic) => own.or(dynamic)?,
        };
        let [_, length, width] = prompts.dims();
        let prompts = prompts.expand([sequences, length, width]);
        Some(self.precision.enter(tower, prompts))
    }
}

/// The output of a layer of a prompted tower, as it is shown to whoever watches; layers count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerOutput {
    /// Class token, patches, prompts: `[batch, tokens, width]`.
    Vision(usize),
    /// All sentences of one image: `[sentences, tokens, width]`.
    Text(usize),
}

/// Is shown the outputs of layers.
pub(crate) type Watch<'a, B> = &'a mut dyn FnMut(LayerOutput, &Tensor<B, 3>);

/// What the prompted image tower gives.
pub(crate) struct PromptedImages<B: Backend> {
    /// The patches behind each tap, `[batch, patches, width]`.
    pub(crate) taps: Vec<Tensor<B, 3>>,
    /// The images in the joint embedding, not unit, `[batch, embed]`.
    pub(crate) feature: Tensor<B, 2>,
}

/// Images through the image tower. The first layer's prompts are put behind the patches, the other prompted
/// layers' replace what became of them; behind the last prompted layer they run on to the end.
///
/// # Shapes
///
/// - tokens: `[batch, 1 + patches, width]`, those that enter the first layer
/// - taps: layers, counted from 1
pub(crate) fn prompted_images<B: Backend, V: ImageTextBackbone<B> + HalfRounding<B>>(
    tower: &V,
    tokens: Tensor<B, 3>,
    prompts: Option<&LayerPrompts<B>>,
    taps: &[usize],
    watch: Watch<'_, B>,
) -> PromptedImages<B> {
    let [batch, image_tokens, _] = tokens.dims();
    let patches = image_tokens - tower.prefix_tokens();
    let mut tokens = tokens;
    let mut seen: Vec<Option<Tensor<B, 3>>> = vec![None; taps.len()];
    for layer in 0..tower.spec().layers {
        if let Some(own) = prompts.and_then(|prompts| prompts.entering(layer, batch, tower)) {
            let own = own.cast(tokens.dtype());
            tokens = Tensor::cat(vec![tokens.narrow(1, 0, image_tokens), own], 1);
        }
        tokens = tower.layer(layer, tokens);
        watch(LayerOutput::Vision(layer), &tokens);
        for (seen, _) in seen.iter_mut().zip(taps).filter(|(_, tap)| **tap == layer + 1) {
            *seen = Some(tokens.clone().narrow(1, tower.prefix_tokens(), patches));
        }
    }
    let feature = tower.image_embedding(tokens);
    PromptedImages { taps: seen.into_iter().flatten().collect(), feature }
}
