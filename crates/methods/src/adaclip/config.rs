//! AdaCLIP's settings. Where paper and release differ, both readings are values, and the release's is the
//! default: the published weights and numbers were made with it.

use clip_vit::{Activation, ClipSpec, PositionResize};
use serde::{Deserialize, Serialize};

use crate::half::PromptPrecision;
use crate::{MethodError, settings as rules};

/// What a layer's prompts are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptKind {
    /// Learned, the same for every image.
    Static,
    /// Computed from the image, the same for every layer.
    Dynamic,
    /// The sum of both.
    #[default]
    Hybrid,
}

/// The towers that take prompts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptedTowers {
    /// Neither: only the heads are learned.
    Neither,
    /// The image tower.
    Vision,
    /// The text tower.
    Text,
    /// Both.
    #[default]
    Both,
}

/// How the feature is made that joins the class token in the image score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SemanticFusion {
    /// The mean of the clusters of the most abnormal patches, as the release does it.
    #[default]
    Selected,
    /// The most abnormal one among the clusters of all patches, as the paper does it.
    Clusters,
    /// None: the class token alone.
    Off,
}

/// Over what one dice loss is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiceUnit {
    /// Each row of pixels by itself, as the release does it: a squeeze takes its batch axis.
    #[default]
    Row,
    /// Each image.
    Image,
}

/// How learned positions come to the grid at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositionKernel {
    /// Bicubic without antialiasing, as the release does it.
    #[default]
    Bicubic,
    /// Bicubic with antialiasing, as open_clip does it.
    BicubicAntialias,
}

/// Everything that AdaCLIP adds to a CLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaClipSettings {
    /// Side of the square images in pixels.
    pub image_size: usize,
    /// The activation of the towers' feed-forwards. The release has GELU even with weights that were trained
    /// with QuickGELU, and its prompts go with that.
    pub activation: Activation,
    /// Layers of the image tower, counted from 1, that have a patch head.
    pub taps: Vec<usize>,
    /// How learned positions come to the grid at hand.
    pub positions: PositionKernel,
    /// Layers of each tower that have prompts of their own.
    pub prompt_depth: usize,
    /// Prompts of a layer.
    pub prompt_length: usize,
    /// What a layer's prompts are made of.
    pub prompt_kind: PromptKind,
    /// The towers that take prompts.
    pub prompted_towers: PromptedTowers,
    /// The precision in which prompts enter a tower.
    pub prompt_precision: PromptPrecision,
    /// How the feature is made that joins the class token.
    pub fusion: SemanticFusion,
    /// Clusters of patches.
    pub clusters: usize,
    /// For each cluster so many patches are selected.
    pub patches_per_cluster: usize,
    /// Share of the clustered feature in the image's.
    pub fusion_share: f64,
    /// What cosines are multiplied by before a softmax.
    pub logit_scale: f64,
    /// Standard deviation of the map's blur, in pixels.
    pub blur_sigma: f64,
    /// Over what one dice loss is taken.
    pub dice: DiceUnit,
    /// AdamW's learning rate; there is no schedule.
    pub learning_rate: f64,
    /// How much of itself a weight loses in a step, times the learning rate.
    pub weight_decay: f64,
}

impl Default for AdaClipSettings {
    fn default() -> Self {
        Self {
            image_size: 518,
            activation: Activation::Gelu,
            taps: vec![6, 12, 18, 24],
            positions: PositionKernel::Bicubic,
            prompt_depth: 4,
            prompt_length: 5,
            prompt_kind: PromptKind::Hybrid,
            prompted_towers: PromptedTowers::Both,
            prompt_precision: PromptPrecision::F16,
            fusion: SemanticFusion::Selected,
            clusters: 20,
            patches_per_cluster: 5,
            fusion_share: 0.2,
            logit_scale: 100.0,
            blur_sigma: 4.0,
            dice: DiceUnit::Row,
            learning_rate: 0.01,
            weight_decay: 0.01,
        }
    }
}

impl AdaClipSettings {
    /// The release's values on any CLIP: patch heads after each quarter of its layers.
    pub fn for_clip(clip: &ClipSpec) -> Self {
        let layers = clip.vision.layers;
        let mut taps: Vec<usize> = (1..=4).map(|quarter| (layers * quarter / 4).max(1)).collect();
        taps.dedup();
        Self { taps, ..Self::default() }
    }

    /// Patches along one side of an image.
    pub fn grid(&self, clip: &ClipSpec) -> usize {
        self.image_size / clip.vision.patch
    }

    /// A CLIP as the method runs it: with the settings' own activation.
    pub fn clip(&self, clip: &ClipSpec) -> ClipSpec {
        ClipSpec { activation: self.activation, ..clip.clone() }
    }

    /// How the image tower resizes its positions.
    pub fn position_resize(&self) -> PositionResize {
        match self.positions {
            PositionKernel::Bicubic => PositionResize::Bicubic,
            PositionKernel::BicubicAntialias => PositionResize::BicubicAntialias,
        }
    }

    /// Checks that the settings fit a CLIP.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] names the first that does not.
    pub fn check(&self, clip: &ClipSpec) -> Result<(), MethodError> {
        rules::grid(self.image_size, &clip.vision)?;
        rules::not_empty("taps", &self.taps)?;
        rules::layers_exist("taps", &self.taps, &clip.vision)?;
        // Marks of start and end stay.
        let most = clip.text.context.saturating_sub(2);
        rules::within("prompt_length", self.prompt_length, 1, most)?;
        self.check_fusion(clip)?;
        rules::positive("logit_scale", self.logit_scale)?;
        rules::positive("blur_sigma", self.blur_sigma)?;
        rules::not_negative("learning_rate", self.learning_rate)?;
        rules::not_negative("weight_decay", self.weight_decay)
    }

    fn check_fusion(&self, clip: &ClipSpec) -> Result<(), MethodError> {
        if self.fusion == SemanticFusion::Off {
            return Ok(());
        }
        rules::within("clusters", self.clusters, 1, self.grid(clip).pow(2))?;
        rules::positive("patches_per_cluster", self.patches_per_cluster as f64)?;
        rules::share("fusion_share", self.fusion_share)
    }
}

impl PromptKind {
    /// Whether layers have learned prompts of their own.
    pub fn has_static(self) -> bool {
        self != Self::Dynamic
    }

    /// Whether prompts are computed from the image.
    pub fn has_dynamic(self) -> bool {
        self != Self::Static
    }
}

impl PromptedTowers {
    /// Whether the image tower takes prompts.
    pub fn vision(self) -> bool {
        matches!(self, Self::Vision | Self::Both)
    }

    /// Whether the text tower takes prompts.
    pub fn text(self) -> bool {
        matches!(self, Self::Text | Self::Both)
    }
}

#[cfg(test)]
mod tests {
    use clip_vit::{ClipSpecBuilder, Preset};

    use super::*;

    fn refusal(change: impl FnOnce(&mut AdaClipSettings)) -> String {
        let clip = ClipSpecBuilder::new().vision(14, 4, 48, 4).tokens(10, 64).build().unwrap();
        let mut settings = AdaClipSettings::for_clip(&clip);
        settings.check(&clip).unwrap();
        change(&mut settings);
        settings.check(&clip).unwrap_err().to_string()
    }

    #[test]
    fn the_default_fits_the_published_backbone() {
        let clip = Preset::VitL14At336.spec();
        AdaClipSettings::default().check(&clip).unwrap();
        assert_eq!(AdaClipSettings::for_clip(&clip), AdaClipSettings::default());
        assert_eq!(AdaClipSettings::default().clip(&clip).activation, Activation::Gelu);
    }

    #[test]
    fn images_hold_a_patch() {
        assert!(refusal(|settings| settings.image_size = 13).starts_with("image_size"));
    }

    #[test]
    fn taps_are_layers() {
        assert!(refusal(|settings| settings.taps = vec![1, 5]).starts_with("taps"));
        assert!(refusal(|settings| settings.taps = Vec::new()).starts_with("taps"));
    }

    #[test]
    fn prompts_leave_room_for_start_and_end() {
        assert!(refusal(|settings| settings.prompt_length = 9).contains("1 to 8"));
        assert!(refusal(|settings| settings.prompt_length = 0).starts_with("prompt_length"));
    }

    #[test]
    fn there_are_no_more_clusters_than_patches() {
        assert!(refusal(|settings| settings.clusters = 37 * 37 + 1).starts_with("clusters"));
        assert!(refusal(|settings| settings.clusters = 0).starts_with("clusters"));
    }

    #[test]
    fn some_patches_are_selected() {
        assert!(refusal(|c| c.patches_per_cluster = 0).starts_with("patches_per_cluster"));
    }

    #[test]
    fn a_share_is_between_0_and_1() {
        assert!(refusal(|settings| settings.fusion_share = 1.5).starts_with("fusion_share"));
    }

    #[test]
    fn scale_and_blur_are_positive() {
        assert!(refusal(|settings| settings.logit_scale = 0.0).starts_with("logit_scale"));
        assert!(refusal(|settings| settings.blur_sigma = f64::NAN).starts_with("blur_sigma"));
    }

    #[test]
    fn rates_are_not_negative() {
        let rate = refusal(|settings| settings.learning_rate = -1.0);
        assert!(rate.starts_with("learning_rate"));
        let decay = refusal(|settings| settings.weight_decay = f64::INFINITY);
        assert!(decay.starts_with("weight_decay"));
    }
}
