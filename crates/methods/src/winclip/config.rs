//! What WinCLIP can be set to. The paper leaves questions open that its two widely used implementations answer
//! differently; the defaults are anomalib's answers with the paper's 22 templates.

use clip_vit::VisionSpec;
use serde::{Deserialize, Serialize};

use crate::states::SentenceMean;
use crate::{MethodError, settings};

/// The method on a CLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WinClipSettings {
    /// Side of the square images in pixels.
    pub image_size: usize,
    /// Sides of the windows, in patches.
    pub scales: Vec<usize>,
    /// What is put around each phrase.
    pub templates: WinClipTemplates,
    /// What cosines are divided by before a softmax.
    pub temperature: f64,
    /// How the sentences of a state become one direction.
    pub sentence_mean: SentenceMean,
    /// Whose probabilities are averaged harmonically.
    pub averaged: AveragedState,
    /// What the zero-shot map is the mean of.
    pub map_levels: MapLevels,
    /// What is compared with references.
    pub association_levels: AssociationLevels,
    /// How the comparisons of windows that overlap become one.
    pub association_mean: WindowMean,
    /// How zero-shot map and association map become one.
    pub fusion: MapFusion,
    /// What an image is scored by.
    pub score: WinClipScore,
}

/// The lists of templates in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WinClipTemplates {
    /// The paper's 22, each with "a" and with "the".
    #[default]
    Full,
    /// anomalib's 21 with a full stop, one of them twice.
    Anomalib,
}

/// Whose probabilities are averaged harmonically.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AveragedState {
    /// The abnormal state's.
    #[default]
    Abnormal,
    /// The normal state's; the map is one minus their mean.
    Normal,
}

/// What the zero-shot map is the harmonic mean of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapLevels {
    /// The image as a whole and the windows of every scale.
    #[default]
    ImageAndWindows,
    /// The windows of every scale.
    Windows,
}

/// What is compared with normal references.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssociationLevels {
    /// Single patches and the windows of every scale.
    #[default]
    PatchesAndWindows,
    /// The windows of every scale.
    Windows,
}

/// How the scores of all windows that hold a patch become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowMean {
    /// The harmonic mean, which the lowest score governs.
    #[default]
    Harmonic,
    /// The arithmetic mean.
    Arithmetic,
}

/// How zero-shot map and association map become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapFusion {
    /// Their mean; without references the zero-shot map as it is.
    #[default]
    Mean,
    /// `1 / (1/a + 1/b)`, half of their harmonic mean; without references half of the zero-shot map.
    ProductOverSum,
}

/// What an image is scored by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WinClipScore {
    /// The class token's probability; with references the mean of it and the association map's maximum.
    #[default]
    ClassToken,
    /// The maximum of the map at the image's size.
    MapMaximum,
}

impl Default for WinClipSettings {
    fn default() -> Self {
        Self {
            image_size: 240,
            scales: vec![2, 3],
            templates: WinClipTemplates::default(),
            temperature: 0.07,
            sentence_mean: SentenceMean::Raw,
            averaged: AveragedState::default(),
            map_levels: MapLevels::default(),
            association_levels: AssociationLevels::default(),
            association_mean: WindowMean::default(),
            fusion: MapFusion::default(),
            score: WinClipScore::default(),
        }
    }
}

impl WinClipSettings {
    /// Y. Cao's answers, whose implementation is older than anomalib's.
    pub fn unofficial() -> Self {
        Self {
            temperature: 0.01,
            averaged: AveragedState::Normal,
            map_levels: MapLevels::Windows,
            association_levels: AssociationLevels::Windows,
            association_mean: WindowMean::Arithmetic,
            fusion: MapFusion::ProductOverSum,
            score: WinClipScore::MapMaximum,
            ..Self::default()
        }
    }

    /// Checks that the settings fit the image tower.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] names the first that does not.
    pub fn check(&self, vision: &VisionSpec) -> Result<(), MethodError> {
        let grid = settings::grid(self.image_size, vision)?;
        settings::not_empty("scales", &self.scales)?;
        let inside = self.scales.iter().all(|scale| (1..=grid).contains(scale));
        let repeated =
            self.scales.iter().enumerate().any(|(at, scale)| self.scales[..at].contains(scale));
        if !inside || repeated {
            let scales = &self.scales;
            let reason = format!("{scales:?} must be different sides from 1 to {grid} patches");
            return Err(MethodError::Settings { key: "scales", reason });
        }
        settings::positive("temperature", self.temperature)
    }
}

#[cfg(test)]
mod tests {
    use clip_vit::Preset;

    use super::*;

    fn refusal(change: impl Fn(&mut WinClipSettings)) -> String {
        let mut settings = WinClipSettings::default();
        change(&mut settings);
        settings.check(&Preset::VitB16PlusAt240.spec().vision).unwrap_err().to_string()
    }

    #[test]
    fn both_readings_fit_the_papers_clip() {
        let vision = Preset::VitB16PlusAt240.spec().vision;
        for settings in [WinClipSettings::default(), WinClipSettings::unofficial()] {
            settings.check(&vision).unwrap();
        }
    }

    #[test]
    fn an_image_holds_a_patch() {
        assert!(refusal(|settings| settings.image_size = 15).starts_with("image_size: 15"));
    }

    #[test]
    fn there_is_a_scale() {
        assert!(refusal(|settings| settings.scales.clear()).starts_with("scales: is empty"));
    }

    #[test]
    fn windows_lie_on_the_grid_and_differ() {
        for scales in [vec![16], vec![0], vec![2, 2]] {
            let line = refusal(|settings| settings.scales = scales.clone());
            assert!(line.ends_with("must be different sides from 1 to 15 patches"), "{line}");
        }
    }

    #[test]
    fn the_temperature_is_positive() {
        assert!(refusal(|settings| settings.temperature = 0.0).starts_with("temperature: 0"));
    }
}
