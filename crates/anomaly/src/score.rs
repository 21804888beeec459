//! How the score of an image is made of its map and of what else the detector says of it.

use serde::{Deserialize, Serialize};

use crate::Domain;

/// How an image's score is made. Detectors, tiles, calibrations and protocols all ask [`ScoreRule::score`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreRule {
    /// The mean of the map's maximum and the image score; MoECLIP on industrial images.
    MeanOfMapMaxAndImage,
    /// The map's maximum; MoECLIP on medical images.
    MapMax,
    /// The image score alone; CLIP without adapters, by its class token.
    Image,
}

impl ScoreRule {
    /// How MoECLIP scores images of a domain (section 4.1 of the paper).
    pub fn of(domain: Domain) -> Self {
        match domain {
            Domain::Industrial => Self::MeanOfMapMaxAndImage,
            Domain::Medical => Self::MapMax,
        }
    }

    /// The score of an image.
    pub fn score(self, map_maximum: f32, image_score: f32) -> f32 {
        match self {
            Self::MeanOfMapMaxAndImage => (map_maximum + image_score) / 2.0,
            Self::MapMax => map_maximum,
            Self::Image => image_score,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_takes_what_it_says() {
        assert_eq!(ScoreRule::MeanOfMapMaxAndImage.score(3.0, 1.0), 2.0);
        assert_eq!(ScoreRule::MapMax.score(3.0, 1.0), 3.0);
        assert_eq!(ScoreRule::Image.score(3.0, 1.0), 1.0);
    }
}
