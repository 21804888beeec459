//! What AnomalyCLIP can be set to; the defaults are those of the published numbers.

use clip_vit::ClipSpec;
use serde::{Deserialize, Serialize};

use crate::half::PromptPrecision;
use crate::{MethodError, settings};

/// Tokens of the longer sentence besides its context: start, "damaged", "object", full stop, end.
const OTHER_TOKENS: usize = 5;

/// What stands between the class token of the last layer and CLIP's image projection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassTokenNorm {
    /// Nothing, as in the release.
    #[default]
    None,
    /// CLIP's last normalisation, as CLIP was trained. The authors say that both score alike.
    PostNorm,
}

/// The method on a CLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnomalyClipSettings {
    /// Side of the square images in pixels.
    pub image_size: usize,
    /// Layers of the image tower, counted from 1, that give a map. The first versions of the paper have
    /// 6, 12, 18 and 24.
    pub taps: Vec<usize>,
    /// Layers of the image tower, counted from the last, that have a second path of attention among
    /// values. The release calls 19 of them 20.
    pub value_layers: usize,
    /// Learned tokens in front of the words.
    pub context_tokens: usize,
    /// Learned tokens of each deeper text layer; they overwrite the first ones of the context.
    pub deep_tokens: usize,
    /// Text layers that have learned tokens, the first one included.
    pub deep_depth: usize,
    /// In what precision the deep tokens enter the text tower.
    pub deep_precision: PromptPrecision,
    /// What stands between the class token and CLIP's image projection.
    pub class_token_norm: ClassTokenNorm,
    /// What cosines are divided by before a softmax.
    pub temperature: f64,
    /// Standard deviation of the map's blur, in pixels of the map.
    pub blur_sigma: f64,
    /// What the losses of the maps are multiplied by. The early code has four maps, each counted once.
    pub map_weight: f64,
    /// Adam's learning rate; there is no schedule and no decay of weights.
    pub learning_rate: f64,
}

impl Default for AnomalyClipSettings {
    fn default() -> Self {
        Self {
            image_size: 518,
            taps: vec![24],
            value_layers: 19,
            context_tokens: 12,
            deep_tokens: 4,
            deep_depth: 9,
            deep_precision: PromptPrecision::F16,
            class_token_norm: ClassTokenNorm::None,
            temperature: 0.07,
            blur_sigma: 4.0,
            map_weight: 4.0,
            learning_rate: 1e-3,
        }
    }
}

impl AnomalyClipSettings {
    /// Checks that the settings fit a CLIP.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] names the first that does not.
    pub fn check(&self, clip: &ClipSpec) -> Result<(), MethodError> {
        settings::grid(self.image_size, &clip.vision)?;
        settings::not_empty("taps", &self.taps)?;
        settings::layers_exist("taps", &self.taps, &clip.vision)?;
        let context = clip.text.context;
        let room = context.saturating_sub(OTHER_TOKENS);
        let behind_start = context.saturating_sub(2);
        settings::within("value_layers", self.value_layers, 0, clip.vision.layers)?;
        settings::within("context_tokens", self.context_tokens, 1, room)?;
        settings::within("deep_tokens", self.deep_tokens, 1, behind_start)?;
        settings::within("deep_depth", self.deep_depth, 0, clip.text.layers)?;
        settings::positive("temperature", self.temperature)?;
        settings::positive("blur_sigma", self.blur_sigma)?;
        settings::positive("map_weight", self.map_weight)?;
        settings::positive("learning_rate", self.learning_rate)
    }

    /// Sets of deep tokens: one for each text layer with learned tokens but the first.
    pub fn deep_sets(&self) -> usize {
        self.deep_depth.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use clip_vit::Preset;

    use super::*;

    fn refusal(change: impl Fn(&mut AnomalyClipSettings)) -> String {
        let mut settings = AnomalyClipSettings::default();
        change(&mut settings);
        settings.check(&Preset::VitL14At336.spec()).unwrap_err().to_string()
    }

    #[test]
    fn the_published_settings_fit_the_published_clip() {
        AnomalyClipSettings::default().check(&Preset::VitL14At336.spec()).unwrap();
    }

    #[test]
    fn an_image_holds_a_patch() {
        assert!(refusal(|settings| settings.image_size = 13).starts_with("image_size: 13"));
    }

    #[test]
    fn there_are_taps() {
        assert!(refusal(|settings| settings.taps.clear()).starts_with("taps: is empty"));
    }

    #[test]
    fn taps_are_layers() {
        assert!(refusal(|settings| settings.taps = vec![25]).starts_with("taps: [25]"));
    }

    #[test]
    fn the_second_path_is_no_longer_than_the_tower() {
        let told = refusal(|settings| settings.value_layers = 25);
        assert_eq!(told, "value_layers: 25 is out of range; give 0 to 24");
    }

    #[test]
    fn the_words_fit_behind_the_context() {
        let told = refusal(|settings| settings.context_tokens = 73);
        assert_eq!(told, "context_tokens: 73 is out of range; give 1 to 72");
    }

    #[test]
    fn deep_tokens_leave_the_start() {
        let told = refusal(|settings| settings.deep_tokens = 76);
        assert_eq!(told, "deep_tokens: 76 is out of range; give 1 to 75");
    }

    #[test]
    fn the_depth_is_of_the_text_tower() {
        let told = refusal(|settings| settings.deep_depth = 13);
        assert_eq!(told, "deep_depth: 13 is out of range; give 0 to 12");
    }

    #[test]
    fn the_temperature_is_positive() {
        assert!(refusal(|settings| settings.temperature = 0.0).starts_with("temperature: 0"));
    }

    #[test]
    fn the_blur_is_positive() {
        assert!(refusal(|settings| settings.blur_sigma = -1.0).starts_with("blur_sigma: -1"));
    }

    #[test]
    fn maps_weigh_something() {
        assert!(refusal(|settings| settings.map_weight = 0.0).starts_with("map_weight: 0"));
    }

    #[test]
    fn the_learning_rate_is_positive() {
        let told = refusal(|settings| settings.learning_rate = f64::INFINITY);
        assert!(told.starts_with("learning_rate: inf"));
    }
}
