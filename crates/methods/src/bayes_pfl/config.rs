//! The settings of Bayes-PFL, each with the value that the published numbers were made with, and the one
//! line that refuses impossible ones.

use clip_vit::{Activation, ClipSpec};
use serde::{Deserialize, Serialize};

use crate::{MethodError, settings};

/// Which of the two training stages the weights are in: it decides what an image is compared by, what
/// is minimised and what is stepped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum BayesPflStage {
    /// Prompts, flows, attention and maps are learned; an image is compared by CLIP's own embedding.
    One,
    /// Only the image branch is learned; an image is compared by its embedding fused with its patches.
    #[default]
    Two,
}

/// How the log-determinant of a state's flow enters its KL term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogDeterminant {
    /// The release: one number for the whole batch, divided by the size of the batch.
    #[default]
    OverBatch,
    /// The evidence bound: as it is.
    Whole,
}

/// Everything that Bayes-PFL adds to a CLIP; the release's values are the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BayesPflConfig {
    /// Side of the square images in pixels.
    pub image_size: usize,
    /// Nonlinearity of both towers: the release runs OpenAI's weights, which were trained with
    /// QuickGELU, with GELU.
    pub activation: Activation,
    /// Layers (1-based, ascending) whose patches are used.
    pub taps: Vec<usize>,
    /// Prompts of the bank.
    pub bank: usize,
    /// Learned vectors of a prompt's context (the paper's P).
    pub context_len: usize,
    /// Learned vectors of a prompt's state (the paper's Q).
    pub state_len: usize,
    /// Planar steps of each flow (the paper's K).
    pub flows: usize,
    /// Monte Carlo samples when detecting (the paper's R). Training draws one.
    pub samples: usize,
    /// Heads of the residual cross-modal attention.
    pub rca_heads: usize,
    /// Weight of the three KL terms in the loss of stage 1.
    pub kl_weight: f64,
    /// How the log-determinant of a state's flow enters its KL term.
    pub log_det: LogDeterminant,
    /// Standard deviation of the map's blur, in pixels.
    pub blur_sigma: f64,
    /// How many of the map's highest pixels make its score.
    pub top_pixels: usize,
    /// Share of the text branch in the image score; the map's has the rest.
    pub mix: f64,
    /// Learning rate of the prompt bank.
    pub lr_prompt: f64,
    /// Learning rate of both temperatures.
    pub lr_temperature: f64,
    /// Learning rate of the flows.
    pub lr_flow: f64,
    /// Learning rate of everything else, and of all that stage 2 trains.
    pub lr_linear: f64,
    /// The training stage that the weights come from, or are trained in.
    pub stage: BayesPflStage,
    /// Of the numbers that samples are drawn from.
    pub seed: u64,
}

impl From<BayesPflStage> for u8 {
    fn from(stage: BayesPflStage) -> Self {
        match stage {
            BayesPflStage::One => 1,
            BayesPflStage::Two => 2,
        }
    }
}

impl TryFrom<u8> for BayesPflStage {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(format!("stage = {number} is not there; use 1 or 2")),
        }
    }
}

impl Default for BayesPflConfig {
    fn default() -> Self {
        Self {
            image_size: 518,
            activation: Activation::Gelu,
            taps: vec![6, 12, 18, 24],
            bank: 3,
            context_len: 5,
            state_len: 5,
            flows: 10,
            samples: 10,
            rca_heads: 4,
            kl_weight: 0.01,
            log_det: LogDeterminant::OverBatch,
            blur_sigma: 8.0,
            top_pixels: 2000,
            mix: 0.5,
            lr_prompt: 1e-3,
            lr_temperature: 1e-2,
            lr_flow: 1e-3,
            lr_linear: 1e-4,
            stage: BayesPflStage::Two,
            seed: 333,
        }
    }
}

impl BayesPflConfig {
    /// Patches along one side of an image.
    pub fn grid(&self, clip: &ClipSpec) -> usize {
        self.image_size / clip.vision.patch
    }

    /// A CLIP with the activation that the method runs it with.
    pub(super) fn clip(&self, clip: &ClipSpec) -> ClipSpec {
        ClipSpec { activation: self.activation, ..clip.clone() }
    }

    /// Learned vectors that stand in a prompt for its first word.
    pub fn vectors(&self) -> usize {
        self.context_len + self.state_len
    }

    /// Checks that the configuration fits the CLIP.
    ///
    /// # Errors
    ///
    /// [`MethodError::Settings`] names the first that does not.
    pub fn check(&self, clip: &ClipSpec) -> Result<(), MethodError> {
        settings::grid(self.image_size, &clip.vision)?;
        settings::positive("blur_sigma", self.blur_sigma)?;
        self.check_taps(clip.vision.layers)?;
        self.check_counts()?;
        self.check_widths(clip)?;
        self.check_scores()
    }

    fn check_taps(&self, layers: usize) -> Result<(), MethodError> {
        let taps = &self.taps;
        let ascending = taps.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = taps.iter().all(|tap| (1..=layers).contains(tap));
        if taps.is_empty() || !ascending || !inside {
            let reason =
                format!("{taps:?} must be ascending layers between 1 and {layers}, at least one");
            return Err(refused("taps", reason));
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), MethodError> {
        let counts = [
            ("bank", self.bank),
            ("context_len", self.context_len),
            ("state_len", self.state_len),
            ("flows", self.flows),
            ("samples", self.samples),
            ("rca_heads", self.rca_heads),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some(&(key, _)) => Err(refused(key, "is 0; use at least 1".into())),
            None => Ok(()),
        }
    }

    fn check_widths(&self, clip: &ClipSpec) -> Result<(), MethodError> {
        let (embed, width, context) = (clip.embed, clip.text.width, clip.text.context);
        if embed != width {
            let reason = format!(
                "samples of {embed} numbers, as many as the joint embedding has, are added to vectors of a \
                 text tower of width {width}; give a CLIP where both are the same, such as ViT-L-14-336"
            );
            return Err(refused("clip", reason));
        }
        let heads = self.rca_heads;
        if !embed.is_multiple_of(heads) {
            let reason =
                format!("{heads} does not divide the embedding's {embed}; the release has 4");
            return Err(refused("rca_heads", reason));
        }
        let vectors = self.vectors();
        // Besides the vectors at least the start, one word and the end.
        if vectors + 3 > context {
            let reason = format!(
                "with state_len makes {vectors} vectors, which leave no room for a name in {context} \
                 tokens; lower one of them"
            );
            return Err(refused("context_len", reason));
        }
        Ok(())
    }

    fn check_scores(&self) -> Result<(), MethodError> {
        let pixels = self.image_size * self.image_size;
        settings::within("top_pixels", self.top_pixels, 1, pixels)?;
        settings::share("mix", self.mix)
    }
}

fn refused(key: &'static str, reason: String) -> MethodError {
    MethodError::Settings { key, reason }
}

#[cfg(test)]
mod tests {
    use clip_vit::Preset;

    use super::*;

    fn check(change: impl FnOnce(&mut BayesPflConfig), clip: &ClipSpec) -> Option<&'static str> {
        let mut config = BayesPflConfig::default();
        change(&mut config);
        match config.check(clip) {
            Err(MethodError::Settings { key, .. }) => Some(key),
            _ => None,
        }
    }

    fn refused_key(change: impl FnOnce(&mut BayesPflConfig)) -> Option<&'static str> {
        check(change, &Preset::VitL14At336.spec())
    }

    #[test]
    fn the_default_fits_the_papers_clip() {
        assert_eq!(refused_key(|_| {}), None);
    }

    #[test]
    fn images_hold_a_patch() {
        assert_eq!(refused_key(|config| config.image_size = 13), Some("image_size"));
    }

    #[test]
    fn taps_are_ascending_layers() {
        for taps in [vec![], vec![0], vec![25], vec![2, 2], vec![3, 1]] {
            assert_eq!(refused_key(|config| config.taps = taps), Some("taps"));
        }
    }

    #[test]
    fn counts_are_at_least_one() {
        assert_eq!(refused_key(|config| config.samples = 0), Some("samples"));
    }

    #[test]
    fn the_text_tower_is_as_wide_as_the_embedding() {
        let mut clip = Preset::VitL14At336.spec();
        clip.text.width = 512;
        assert_eq!(check(|_| {}, &clip), Some("clip"));
    }

    #[test]
    fn heads_divide_the_embedding() {
        assert_eq!(refused_key(|config| config.rca_heads = 5), Some("rca_heads"));
    }

    #[test]
    fn a_prompt_has_room_for_a_name() {
        assert_eq!(refused_key(|config| config.context_len = 70), Some("context_len"));
        assert_eq!(refused_key(|config| config.context_len = 69), None);
    }

    #[test]
    fn a_blur_has_a_width() {
        assert_eq!(refused_key(|config| config.blur_sigma = 0.0), Some("blur_sigma"));
    }

    #[test]
    fn a_map_has_as_many_pixels_as_are_asked_for() {
        assert_eq!(refused_key(|config| config.image_size = 42), Some("top_pixels"));
    }

    #[test]
    fn a_mix_is_a_share() {
        assert_eq!(refused_key(|config| config.mix = 1.5), Some("mix"));
    }

    #[test]
    fn stages_are_numbers_in_files() {
        let config: BayesPflConfig = serde_json::from_str(r#"{"stage": 1}"#).unwrap();
        assert_eq!(config.stage, BayesPflStage::One);
        let error = serde_json::from_str::<BayesPflConfig>(r#"{"stage": 3}"#).unwrap_err();
        assert!(error.to_string().contains("use 1 or 2"), "{error}");
    }
}
