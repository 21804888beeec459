//! WinCLIP and WinCLIP+ (arXiv 2303.14814). Nothing is trained: CLIP looks at every small window of an image as if
//! it were a picture of its own and is asked in sentences whether that is normal; WinCLIP+ also asks whether
//! anything like it was seen in normal references. The authors released no code; readings are anomalib's unless
//! [`WinClipSettings`] says otherwise.

mod association;
mod config;
mod detector;
mod model;
mod parity;
mod prompts;
mod windows;
mod zero_shot;

use anomaly::{Detector, Domain, ScoreRule};
use burn::tensor::backend::Backend;
use clip_vit::ClipSpec;

pub use association::{Association, WindowMemory};
pub use config::{
    AssociationLevels, AveragedState, MapFusion, MapLevels, WinClipScore, WinClipSettings,
    WinClipTemplates, WindowMean,
};
pub use detector::WinClipDetector;
pub use model::{FusedMaps, WinClipFeatures, WinClipModel};
pub use prompts::winclip_prompts;
pub use windows::PatchWindows;
pub use zero_shot::ZeroShot;

use crate::{ClipMethod, DetectorParts, MethodError};

/// The method.
#[derive(Debug, Clone, Copy)]
pub struct WinClip;

impl ClipMethod for WinClip {
    const NAME: &'static str = "WinCLIP";
    const ABOUT: &'static str =
        "CLIP on every small window of an image, and a memory of normal references";
    const IS_TRAINED: bool = false;
    const TAKES_REFERENCES: bool = true;

    type Settings = WinClipSettings;

    fn check(settings: &WinClipSettings, clip: &ClipSpec) -> Result<(), MethodError> {
        settings.check(&clip.vision)
    }

    fn image_size(settings: &WinClipSettings) -> usize {
        settings.image_size
    }

    /// The association map's maximum, which is part of the class token's score with references, is taken on
    /// the patch grid, so that score comes whole.
    fn score_rule(settings: &WinClipSettings, _: Domain, _: usize) -> ScoreRule {
        match settings.score {
            WinClipScore::ClassToken => ScoreRule::Image,
            WinClipScore::MapMaximum => ScoreRule::MapMax,
        }
    }

    fn detector<B: Backend>(
        settings: &WinClipSettings,
        parts: &DetectorParts<'_, B>,
    ) -> Result<Box<dyn Detector<B>>, MethodError> {
        Ok(Box::new(WinClipDetector::load(settings, parts)?))
    }
}
