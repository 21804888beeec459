//! What AA-CLIP can be set to; the defaults are the readings of the release, which its published numbers were
//! made with.

use clip_vit::{Activation, AttentionKind, ClipSpec};
use serde::{Deserialize, Serialize};

use crate::{MethodError, settings};

/// What stands behind the learned projections of patches and image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectionActivation {
    /// Nothing.
    #[default]
    None,
    /// The LeakyReLU that always stands behind the text's projection.
    LeakyRelu,
}

/// Among which values a patch finds its like in the first stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueAxis {
    /// Those at the same place in the other images of the batch, as the release does it: an axis is
    /// never turned.
    #[default]
    Batch,
    /// Those of the same image.
    Tokens,
}

/// The taps whose maps the text is trained on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextLossTaps {
    /// The last, as the release does it: its loop overwrites the others.
    #[default]
    Last,
    /// All.
    All,
}

/// Whether the text is also trained on whole images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextClassLoss {
    /// No, as in the release.
    #[default]
    None,
    /// By the cross-entropy that the second stage has; the paper names a binary one.
    CrossEntropy,
}

/// What a map is made of in training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapCombination {
    /// Each tap gives a map of its own, as in the release.
    #[default]
    Separate,
    /// The taps' features are summed, made unit, and give one map, as readers understand the paper.
    Summed,
}

/// The method on a CLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AaClipSettings {
    /// Side of the square images in pixels.
    pub image_size: usize,
    /// Layers of the image tower, counted from 1, that give a map; the last gives the image's vector too.
    pub taps: Vec<usize>,
    /// The nonlinearity that CLIP is run with, whatever it was trained with. The release runs OpenAI's
    /// weights with GELU.
    pub activation: Activation,
    /// Text layers, counted from the first, with an adapter behind them.
    pub text_adapters: usize,
    /// Image layers, counted from the first, with an adapter behind them.
    pub image_adapters: usize,
    /// Share of the adapters in the text's stream.
    pub text_mix: f64,
    /// Share of the adapters in the image's stream.
    pub image_mix: f64,
    /// What stands behind the projections of patches and image.
    pub projection_activation: ProjectionActivation,
    /// Layers of the image tower, counted from the last, that attend among values in the first stage.
    pub value_layers: usize,
    /// Among which values.
    pub value_axis: ValueAxis,
    /// The taps whose maps the text is trained on.
    pub text_loss_taps: TextLossTaps,
    /// Whether the text is also trained on whole images.
    pub text_class_loss: TextClassLoss,
    /// What a map is made of in training.
    pub tap_combination: TapCombination,
    /// What the cosines of maps are multiplied by; those of whole images are left as they are.
    pub scale: f64,
    /// What the loss that keeps the two states of the text apart is multiplied by.
    pub orthogonal_weight: f64,
    /// Adam's learning rate of the first stage.
    pub text_learning_rate: f64,
    /// Adam's learning rate of the second stage at its start.
    pub image_learning_rate: f64,
    /// Steps of the second stage, counted from 0, from which on the learning rate is halved once more.
    pub milestones: Vec<usize>,
}

impl Default for AaClipSettings {
    fn default() -> Self {
        Self {
            image_size: 518,
            taps: vec![6, 12, 18, 24],
            activation: Activation::Gelu,
            text_adapters: 3,
            image_adapters: 6,
            text_mix: 0.1,
            image_mix: 0.1,
            projection_activation: ProjectionActivation::None,
            value_layers: 19,
            value_axis: ValueAxis::Batch,
            text_loss_taps: TextLossTaps::Last,
            text_class_loss: TextClassLoss::None,
            tap_combination: TapCombination::Separate,
            scale: 100.0,
            orthogonal_weight: 0.1,
            text_learning_rate: 1e-5,
            image_learning_rate: 5e-4,
            milestones: vec![16_000, 32_000],
        }
    }
}

impl ValueAxis {
    /// The kind of attention that this is.
    pub fn attention(self) -> AttentionKind {
        match self {
            Self::Batch => AttentionKind::ValueValueAcrossBatch,
            Self::Tokens => AttentionKind::ValueValue,
        }
    }
}

impl AaClipSettings {
    /// Checks that the settings fit a CLIP.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] names the first that does not.
    pub fn check(&self, clip: &ClipSpec) -> Result<(), MethodError> {
        let (vision, text) = (&clip.vision, &clip.text);
        settings::grid(self.image_size, vision)?;
        settings::not_empty("taps", &self.taps)?;
        settings::layers_exist("taps", &self.taps, vision)?;
        settings::within("text_adapters", self.text_adapters, 0, text.layers)?;
        settings::within("image_adapters", self.image_adapters, 0, vision.layers)?;
        settings::share("text_mix", self.text_mix)?;
        settings::share("image_mix", self.image_mix)?;
        settings::within("value_layers", self.value_layers, 0, vision.layers)?;
        settings::positive("scale", self.scale)?;
        settings::not_negative("orthogonal_weight", self.orthogonal_weight)?;
        settings::positive("text_learning_rate", self.text_learning_rate)?;
        settings::positive("image_learning_rate", self.image_learning_rate)
    }

    /// The CLIP as the method runs it.
    pub fn clip(&self, clip: &ClipSpec) -> ClipSpec {
        ClipSpec { activation: self.activation, ..clip.clone() }
    }

    /// The learning rate of a step of the second stage, counted from 0.
    pub fn image_learning_rate_at(&self, step: usize) -> f64 {
        let halvings = self.milestones.iter().filter(|milestone| step >= **milestone).count();
        self.image_learning_rate * 0.5f64.powi(halvings as i32)
    }

    /// The name of a parameter of [`AaClipAdapters`](super::AaClipAdapters) in the authors' checkpoints, from
    /// its path.
    pub fn checkpoint_name(&self, path: &str) -> String {
        let linear = match self.projection_activation {
            ProjectionActivation::None => "fc",
            ProjectionActivation::LeakyRelu => "fc.0",
        };
        let part = path.strip_suffix(".weight").unwrap_or(path);
        match part.rsplit_once('.') {
            Some(("text.layers", layer)) => format!("text_adapter.{layer}.fc.0.weight"),
            Some(("text", "projection")) => {
                format!("text_adapter.{}.fc.0.weight", self.text_adapters)
            }
            Some(("image.layers", layer)) => {
                format!("image_adapter.layer_adapters.{layer}.fc.0.weight")
            }
            Some(("image.patch_projections", tap)) => {
                format!("image_adapter.seg_proj.{tap}.{linear}.weight")
            }
            Some(("image", "projection")) => format!("image_adapter.det_proj.{linear}.weight"),
            _ => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clip_vit::Preset;

    use super::*;

    fn refusal(change: impl Fn(&mut AaClipSettings)) -> String {
        let mut settings = AaClipSettings::default();
        change(&mut settings);
        settings.check(&Preset::VitL14At336.spec()).unwrap_err().to_string()
    }

    #[test]
    fn the_published_settings_fit_the_published_clip() {
        let clip = Preset::VitL14At336.spec();
        let settings = AaClipSettings::default();
        settings.check(&clip).unwrap();
        assert_eq!(settings.clip(&clip).activation, Activation::Gelu);
    }

    #[test]
    fn each_rule_refuses() {
        type Change = fn(&mut AaClipSettings);
        let changes: [(&str, Change); 12] = [
            ("image_size: 13", |settings| settings.image_size = 13),
            ("taps: is empty", |settings| settings.taps.clear()),
            ("taps: [25]", |settings| settings.taps = vec![25]),
            ("text_adapters: 13", |settings| settings.text_adapters = 13),
            ("image_adapters: 25", |settings| settings.image_adapters = 25),
            ("text_mix: 1.5", |settings| settings.text_mix = 1.5),
            ("image_mix: -0.1", |settings| settings.image_mix = -0.1),
            ("value_layers: 25", |settings| settings.value_layers = 25),
            ("scale: 0", |settings| settings.scale = 0.0),
            ("orthogonal_weight: -1", |settings| settings.orthogonal_weight = -1.0),
            ("text_learning_rate: 0", |settings| settings.text_learning_rate = 0.0),
            ("image_learning_rate: NaN", |settings| settings.image_learning_rate = f64::NAN),
        ];
        for (told, change) in changes {
            let refusal = refusal(change);
            assert!(refusal.starts_with(told), "{refusal} for {told}");
        }
    }

    #[test]
    fn the_rate_is_halved_at_each_milestone() {
        let settings = AaClipSettings::default();
        let rates = [15_999, 16_000, 32_000].map(|step| settings.image_learning_rate_at(step));
        assert_eq!(rates, [5e-4, 2.5e-4, 1.25e-4]);
    }

    #[test]
    fn parameters_go_by_the_authors_names() {
        let plain = AaClipSettings::default();
        let projection_activation = ProjectionActivation::LeakyRelu;
        let rectified = AaClipSettings { projection_activation, ..AaClipSettings::default() };
        for (path, name, with_activation) in [
            ("text.layers.0.weight", "text_adapter.0.fc.0.weight", None),
            ("text.projection.weight", "text_adapter.3.fc.0.weight", None),
            ("image.layers.5.weight", "image_adapter.layer_adapters.5.fc.0.weight", None),
            (
                "image.patch_projections.2.weight",
                "image_adapter.seg_proj.2.fc.weight",
                Some("image_adapter.seg_proj.2.fc.0.weight"),
            ),
            (
                "image.projection.weight",
                "image_adapter.det_proj.fc.weight",
                Some("image_adapter.det_proj.fc.0.weight"),
            ),
        ] {
            assert_eq!(plain.checkpoint_name(path), name);
            assert_eq!(rectified.checkpoint_name(path), with_activation.unwrap_or(name));
        }
    }
}
