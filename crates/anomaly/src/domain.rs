//! What kind of pictures are looked at, and how the score of an image is made of its map and of what
//! else the detector says of it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Kinds of pictures; they decide the blur of maps and how an image is scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// Parts and surfaces.
    #[default]
    Industrial,
    /// Scans and endoscopy.
    Medical,
}

/// A word that names no domain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{word:?} is no domain; use industrial or medical")]
pub struct UnknownDomain {
    /// The word.
    pub word: String,
}

impl Domain {
    /// All of them.
    pub const ALL: [Domain; 2] = [Domain::Industrial, Domain::Medical];

    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Domain::Industrial => "industrial",
            Domain::Medical => "medical",
        }
    }

    /// Side of the blur's window, in patches.
    pub fn blur_window(self) -> usize {
        match self {
            Domain::Industrial => 7,
            Domain::Medical => 9,
        }
    }

    /// Standard deviation of the blur, in patches.
    pub fn blur_sigma(self) -> f64 {
        match self {
            Domain::Industrial => 1.0,
            Domain::Medical => 1.5,
        }
    }
}

impl FromStr for Domain {
    type Err = UnknownDomain;

    fn from_str(word: &str) -> Result<Self, UnknownDomain> {
        let named = Domain::ALL.into_iter().find(|domain| domain.name() == word);
        named.ok_or_else(|| UnknownDomain { word: word.to_owned() })
    }
}

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
    fn a_domain_is_called_by_one_name() {
        for domain in Domain::ALL {
            assert_eq!(domain.name().parse(), Ok(domain));
        }
        let error = "industry".parse::<Domain>().unwrap_err().to_string();
        assert_eq!(error, "\"industry\" is no domain; use industrial or medical");
    }

    #[test]
    fn each_rule_takes_what_it_says() {
        assert_eq!(ScoreRule::MeanOfMapMaxAndImage.score(3.0, 1.0), 2.0);
        assert_eq!(ScoreRule::MapMax.score(3.0, 1.0), 3.0);
        assert_eq!(ScoreRule::Image.score(3.0, 1.0), 1.0);
    }
}
