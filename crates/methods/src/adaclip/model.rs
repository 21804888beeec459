//! AdaCLIP's forward pass, the same in training and at test up to the logits.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Tensor, backend::Backend};
use clip_vit::{
    ClipSpec, Frozen, ImageTextBackbone, Precision, TextBackbone, TextTower, VisionTower,
    WeightError, WeightSource,
};
use paa_adapter::unit;

use crate::adaclip::fusion::{ClusterSeeds, Clustered, FusionError, clustered};
use crate::adaclip::prompts::{LayerPrompts, PromptedImages, Watch, prompted_images};
use crate::adaclip::{AdaClipSettings, AdaClipWeights, PromptedSentences};
use crate::half::HalfRounding;

/// Both frozen towers of a CLIP: as they are, or under autodiff.
#[derive(Debug, Clone)]
pub struct ClipTowers<V, T> {
    /// The image tower.
    pub vision: V,
    /// The text tower.
    pub text: T,
}

/// A plain CLIP's towers.
pub type PlainTowers<B> = ClipTowers<VisionTower<B>, TextTower<B>>;

/// A CLIP's towers under autodiff, from the inner backend.
pub type FrozenTowers<B> = ClipTowers<Frozen<B, VisionTower<B>>, Frozen<B, TextTower<B>>>;

/// Frozen towers, what is learned beside them, and the settings.
#[derive(Debug)]
pub struct AdaClipModel<'a, B: Backend, V, T> {
    /// The CLIP.
    pub towers: &'a ClipTowers<V, T>,
    /// What is learned.
    pub weights: &'a AdaClipWeights<B>,
    /// The settings.
    pub settings: &'a AdaClipSettings,
}

/// The images' own prompts, where they have any.
struct DynamicPrompts<B: Backend> {
    /// `[batch, length, width]`
    visual: Option<Tensor<B, 3>>,
    /// `[batch, length, text width]`
    text: Option<Tensor<B, 3>>,
}

/// What comes of images alone; as in [`AdaClipFeatures`].
struct SeenImages<B: Backend> {
    class_token: Tensor<B, 2>,
    image: Tensor<B, 2>,
    patches: Vec<Tensor<B, 3>>,
}

/// Everything that comes of a batch of images of one class.
#[derive(Debug, Clone)]
pub struct AdaClipFeatures<B: Backend> {
    /// The image's own prompts for the image tower, `[batch, length, width]`.
    pub dynamic_visual: Option<Tensor<B, 3>>,
    /// The image's own prompts for the text tower, `[batch, length, text width]`.
    pub dynamic_text: Option<Tensor<B, 3>>,
    /// The class token of the prompted image tower in the joint embedding, not unit, `[batch, embed]`.
    pub class_token: Tensor<B, 2>,
    /// The class token behind its head, unit, `[batch, embed]`.
    pub image: Tensor<B, 2>,
    /// Patches of each tap behind their head, unit, `[batch, patches, embed]`.
    pub patches: Vec<Tensor<B, 3>>,
    /// Every sentence in the joint embedding, not unit, normal ones first: `[batch, sentences, embed]`.
    pub sentences: Tensor<B, 3>,
    /// Unit directions of the normal and of the abnormal state, `[batch, embed, 2]`.
    pub text: Tensor<B, 3>,
    /// Scaled cosines of each tap's patches with both states, `[batch, patches, 2]`.
    pub logits: Vec<Tensor<B, 3>>,
    /// The clustered feature, where fusion is on.
    pub clustered: Option<Clustered<B>>,
    /// The image's feature with its share of the clustered one, unit, `[batch, embed]`.
    pub fused: Tensor<B, 2>,
    /// Probabilities of both states, `[batch, 2]`; the abnormal one is the image score.
    pub image_probability: Tensor<B, 2>,
}

impl<B: Backend> PlainTowers<B> {
    /// Loads both towers, positions resized as the settings have it.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when the source lacks a tensor or holds one of another shape.
    pub fn load(
        settings: &AdaClipSettings,
        clip: &ClipSpec,
        source: &dyn WeightSource,
        precision: Precision,
        device: &B::Device,
    ) -> Result<Self, WeightError> {
        let clip = &settings.clip(clip);
        let vision = VisionTower::load(clip, source, precision, device)?;
        let vision = vision.with_position_resize(settings.position_resize());
        Ok(Self { vision, text: TextTower::load(clip, source, precision, device)? })
    }

    /// The same towers under autodiff.
    pub fn frozen(self) -> FrozenTowers<B> {
        ClipTowers { vision: Frozen::new(self.vision), text: Frozen::new(self.text) }
    }
}

impl<B, V, T> AdaClipModel<'_, B, V, T>
where
    B: Backend,
    V: ImageTextBackbone<B> + HalfRounding<B>,
    T: TextBackbone<B> + HalfRounding<B>,
{
    /// The images in the joint embedding by the tower as it is, not unit: what dynamic prompts are made of.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, 3, height, width]`
    /// - output: `[batch, embed]`
    pub fn plain_embedding(&self, images: Tensor<B, 4>) -> Tensor<B, 2> {
        self.plain_of_tokens(self.towers.vision.embed(images))
    }

    /// # Shapes
    ///
    /// - images: `[batch, 3, image_size, image_size]`, normalised, all of one class
    ///
    /// # Errors
    ///
    /// [`FusionError`] when patches cannot be clustered.
    pub fn forward(
        &self,
        images: Tensor<B, 4>,
        sentences: &PromptedSentences<B>,
        seeds: &ClusterSeeds,
    ) -> Result<AdaClipFeatures<B>, FusionError> {
        self.forward_watched(images, sentences, seeds, &mut |_, _| {})
    }

    /// As [`forward`](Self::forward), showing the outputs of all layers that prompts pass through.
    pub(crate) fn forward_watched(
        &self,
        images: Tensor<B, 4>,
        sentences: &PromptedSentences<B>,
        seeds: &ClusterSeeds,
        watch: Watch<'_, B>,
    ) -> Result<AdaClipFeatures<B>, FusionError> {
        let [batch, _, _, _] = images.dims();
        let tokens = self.towers.vision.embed(images);
        let DynamicPrompts { visual: dynamic_visual, text: dynamic_text } =
            self.dynamic_prompts(&tokens);
        let SeenImages { class_token, image, patches } =
            self.see(tokens, dynamic_visual.clone(), watch);
        let sentence_features = self.read(sentences, dynamic_text.clone(), batch, watch);
        let text = directions(sentence_features.clone(), sentences.normal);
        let scale = self.settings.logit_scale;
        let scaled = |tap: &Tensor<B, 3>| tap.clone().matmul(text.clone()).mul_scalar(scale);
        let logits: Vec<_> = patches.iter().map(scaled).collect();
        let clustered = clustered(self.settings, &patches, &logits, seeds)?;
        let fused = self.fuse(&image, clustered.as_ref());
        let image_logits = scaled(&fused.clone().unsqueeze_dim::<3>(1)).squeeze_dim::<2>(1);
        Ok(AdaClipFeatures {
            dynamic_visual,
            dynamic_text,
            class_token,
            image,
            patches,
            sentences: sentence_features,
            text,
            logits,
            clustered,
            fused,
            image_probability: softmax(image_logits, 1),
        })
    }

    /// Images through the prompted image tower and behind their heads.
    fn see(
        &self,
        tokens: Tensor<B, 3>,
        dynamic: Option<Tensor<B, 3>>,
        watch: Watch<'_, B>,
    ) -> SeenImages<B> {
        let Self { towers, weights, settings } = self;
        let prompts = settings
            .prompted_towers
            .vision()
            .then(|| LayerPrompts::new(&weights.visual_prompter, dynamic, settings));
        let PromptedImages { taps, feature } =
            prompted_images(&towers.vision, tokens, prompts.as_ref(), &settings.taps, watch);
        let class_token = feature.cast(DType::F32);
        let image = match weights.cls_token_layer.head.first() {
            Some(head) => unit(head.forward(class_token.clone())),
            None => unit(class_token.clone()),
        };
        let heads = taps.into_iter().zip(&weights.patch_token_layer.head);
        let patches = heads.map(|(tap, head)| unit(head.forward(tap.cast(DType::F32)))).collect();
        SeenImages { class_token, image, patches }
    }

    fn plain_of_tokens(&self, tokens: Tensor<B, 3>) -> Tensor<B, 2> {
        let vision = &self.towers.vision;
        let tokens = vision.layers(0..vision.spec().layers, tokens);
        vision.image_embedding(tokens).cast(DType::F32)
    }

    /// The images' own prompts for both towers. Without such prompts the first pass is left out.
    fn dynamic_prompts(&self, tokens: &Tensor<B, 3>) -> DynamicPrompts<B> {
        if !self.settings.prompt_kind.has_dynamic() {
            return DynamicPrompts { visual: None, text: None };
        }
        let plain = self.plain_of_tokens(tokens.clone());
        let visual = self.weights.dynamic_visual_prompt_generator.side_by_side(&plain);
        let text = self.weights.dynamic_text_prompt_generator.side_by_side(&plain);
        DynamicPrompts { visual, text }
    }

    /// Sentences through the prompted text tower: once for each image, or once for all where no prompt is an
    /// image's own. `[batch, sentences, embed]`.
    fn read(
        &self,
        sentences: &PromptedSentences<B>,
        dynamic: Option<Tensor<B, 3>>,
        batch: usize,
        watch: Watch<'_, B>,
    ) -> Tensor<B, 3> {
        let prompts = self
            .settings
            .prompted_towers
            .text()
            .then(|| LayerPrompts::new(&self.weights.text_prompter, dynamic, self.settings));
        let differ = prompts.as_ref().is_some_and(|prompts| prompts.dynamic.is_some());
        let passes = (0..if differ { batch } else { 1 }).map(|image| {
            sentences.read(&self.towers.text, prompts.as_ref(), image, watch).cast(DType::F32)
        });
        let features = Tensor::stack::<3>(passes.collect(), 0);
        let [_, count, embed] = features.dims();
        features.expand([batch, count, embed])
    }

    /// The image's feature with its share of the clustered one.
    fn fuse(&self, image: &Tensor<B, 2>, clustered: Option<&Clustered<B>>) -> Tensor<B, 2> {
        let Some(clustered) = clustered else { return image.clone() };
        let share = self.settings.fusion_share;
        let own = image.clone().mul_scalar(1.0 - share);
        unit(clustered.feature.clone().mul_scalar(share) + own)
    }
}

/// Directions of both states from their sentences: unit, averaged, unit again.
///
/// # Shapes
///
/// - sentences: `[batch, sentences, embed]`, the `normal` ones of the normal state first
/// - output: `[batch, embed, 2]`
fn directions<B: Backend>(sentences: Tensor<B, 3>, normal: usize) -> Tensor<B, 3> {
    let [_, count, _] = sentences.dims();
    let sentences = unit(sentences);
    let states = [(0, normal), (normal, count - normal)];
    let means = states.map(|(first, many)| sentences.clone().narrow(1, first, many).mean_dim(1));
    unit(Tensor::cat(means.to_vec(), 1)).swap_dims(1, 2)
}
