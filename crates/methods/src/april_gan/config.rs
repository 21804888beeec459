//! What APRIL-GAN can be set to; the defaults are those of the published numbers.

use clip_vit::{Activation, ClipSpec, VisionSpec};
use serde::{Deserialize, Serialize};

use crate::{MethodError, settings};

/// The method on a CLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AprilGanSettings {
    /// Side of the square images in pixels.
    pub image_size: usize,
    /// Layers, counted from 1, that have a learned head.
    pub taps: Vec<usize>,
    /// Layers, counted from 1, whose patches are remembered of references.
    pub memory_taps: Vec<usize>,
    /// What cosines are multiplied by before a softmax.
    pub scale: f64,
    /// The nonlinearity that CLIP is run with, whatever it was trained with. The release runs OpenAI's
    /// weights with GELU at every image size but 336, and its heads were trained on that.
    pub activation: Activation,
    /// Adam's learning rate; there is no schedule.
    pub learning_rate: f64,
    /// How often a training image gives way to a mosaic of four of its class, 0 to 1: a fifth on MVTec-AD,
    /// never on VisA.
    pub mosaic: f64,
}

impl Default for AprilGanSettings {
    fn default() -> Self {
        Self {
            image_size: 518,
            taps: vec![6, 12, 18, 24],
            memory_taps: vec![6, 12, 18, 24],
            scale: 100.0,
            activation: Activation::Gelu,
            learning_rate: 1e-3,
            mosaic: 0.2,
        }
    }
}

impl AprilGanSettings {
    /// Checks that the settings fit the image tower.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] names the first that does not.
    pub fn check(&self, vision: &VisionSpec) -> Result<(), MethodError> {
        settings::grid(self.image_size, vision)?;
        settings::not_empty("taps", &self.taps)?;
        settings::layers_exist("taps", &self.taps, vision)?;
        settings::layers_exist("memory_taps", &self.memory_taps, vision)?;
        settings::positive("scale", self.scale)?;
        settings::positive("learning_rate", self.learning_rate)?;
        settings::share("mosaic", self.mosaic)
    }

    /// The CLIP as the method runs it.
    pub fn clip(&self, clip: &ClipSpec) -> ClipSpec {
        ClipSpec { activation: self.activation, ..clip.clone() }
    }
}

#[cfg(test)]
mod tests {
    use clip_vit::Preset;

    use super::*;

    fn refusal(change: impl Fn(&mut AprilGanSettings)) -> String {
        let mut settings = AprilGanSettings::default();
        change(&mut settings);
        settings.check(&Preset::VitL14At336.spec().vision).unwrap_err().to_string()
    }

    #[test]
    fn the_published_settings_fit_the_published_clip() {
        let clip = Preset::VitL14At336.spec();
        let settings = AprilGanSettings::default();
        settings.check(&clip.vision).unwrap();
        assert_eq!(settings.clip(&clip).activation, Activation::Gelu);
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
        assert!(refusal(|settings| settings.taps[3] = 25).starts_with("taps: [6, 12, 18, 25]"));
    }

    #[test]
    fn memory_taps_are_layers() {
        assert!(refusal(|settings| settings.memory_taps = vec![0]).starts_with("memory_taps: [0]"));
    }

    #[test]
    fn the_scale_is_positive() {
        assert!(refusal(|settings| settings.scale = -1.0).starts_with("scale: -1"));
    }

    #[test]
    fn the_learning_rate_is_positive() {
        let line = refusal(|settings| settings.learning_rate = f64::NAN);
        assert!(line.starts_with("learning_rate: NaN"));
    }

    #[test]
    fn mosaics_are_a_share() {
        assert!(refusal(|settings| settings.mosaic = 1.5).starts_with("mosaic: 1.5"));
    }
}
