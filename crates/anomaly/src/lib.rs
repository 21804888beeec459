//! How a detector of anomalies is asked, and what it answers: the contract between detectors and
//! everything that measures, calibrates, draws or serves what they say.
//!
//! A detector is a type that implements [`Detector`]: it says which images it takes, how its score is
//! made of map and image score, and turns images and the name of what they show into [`Detection`]s.
//! Nothing here knows which network, if any, stands behind it.
//!
//! ```
//! use anomaly::{AnomalyMap, DetectError, Detection, Detector, ImageInput, ScoreRule};
//! use burn::tensor::{Tensor, backend::Backend};
//!
//! /// Finds every image equally suspicious.
//! struct Constant;
//!
//! impl<B: Backend> Detector<B> for Constant {
//!     fn input(&self) -> ImageInput {
//!         ImageInput::unnormalised(32)
//!     }
//!
//!     fn score_rule(&self) -> ScoreRule {
//!         ScoreRule::MapMax
//!     }
//!
//!     fn detect(&mut self, images: Tensor<B, 4>, _: &str) -> Result<Vec<Detection>, DetectError> {
//!         let [batch, _, _, size] = images.dims();
//!         let map = AnomalyMap { size, values: vec![0.5; size * size] };
//!         Ok(vec![Detection::new(map, 0.5, ScoreRule::MapMax); batch])
//!     }
//! }
//! ```

mod calibration;
mod detection;
mod detector;
mod domain;
mod local_contrast;
mod tiles;

pub use calibration::{
    AuxiliaryData, Calibration, CalibrationConditions, CalibrationError, CalibrationImages,
    ImageThreshold, Judgement, PixelThreshold, RateInterval, ScoreRange, Verdict,
};
pub use detection::{
    AnomalyMap, Detection, ExpertExplanation, Explanation, ImageMap, TapExplanation,
};
pub use detector::{DetectError, Detector, ImageInput, to_host};
pub use domain::{Domain, ScoreRule, UnknownDomain};
pub use local_contrast::{LocalContrast, local_contrast};
pub use tiles::{Tile, TileError, TileGrid, TiledDetection, TiledDetector, Tiling};
