//! What kind of pictures are looked at.

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
}
