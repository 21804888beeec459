//! The kinds of defects, what they are called, and in which half of the world they occur.

use serde::Serialize;

use super::category::Role;

/// What is wrong with a defective picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectKind {
    /// One or several long, slightly bent grooves.
    Scratch,
    /// A jagged, branching line.
    Crack,
    /// A patch soaked with something, darker at its rim.
    Stain,
    /// Material is gone, and the ground is seen.
    Hole,
    /// The surface is pushed in.
    Dent,
    /// A patch of another hue.
    Discolouration,
    /// Crumbs or a hair that do not belong there.
    Contamination,
    /// A part is not there.
    MissingPart,
    /// A part of another colour, size or position.
    WrongPart,
    /// Fibres or splinters stand out.
    Fray,
    /// A piece broken off the border.
    Chip,
    /// Tissue that swells.
    Growth,
    /// Blood where it does not belong.
    Bleeding,
}

impl DefectKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Scratch,
        Self::Crack,
        Self::Stain,
        Self::Hole,
        Self::Dent,
        Self::Discolouration,
        Self::Contamination,
        Self::MissingPart,
        Self::WrongPart,
        Self::Fray,
        Self::Chip,
        Self::Growth,
        Self::Bleeding,
    ];

    /// The name of its folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Crack => "crack",
            Self::Stain => "stain",
            Self::Hole => "hole",
            Self::Dent => "dent",
            Self::Discolouration => "discolouration",
            Self::Contamination => "contamination",
            Self::MissingPart => "missing_part",
            Self::WrongPart => "wrong_part",
            Self::Fray => "fray",
            Self::Chip => "chip",
            Self::Growth => "growth",
            Self::Bleeding => "bleeding",
        }
    }

    /// As it stands in a caption, behind "with".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Scratch => "a scratch",
            Self::Crack => "a crack",
            Self::Stain => "a stain",
            Self::Hole => "a hole",
            Self::Dent => "a dent",
            Self::Discolouration => "a discoloured patch",
            Self::Contamination => "contamination",
            Self::MissingPart => "a missing part",
            Self::WrongPart => "a wrong part",
            Self::Fray => "frayed fibres",
            Self::Chip => "a chipped edge",
            Self::Growth => "a growth",
            Self::Bleeding => "bleeding",
        }
    }

    /// The halves of the world in which it occurs: some kinds are never trained on.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Scratch
            | Self::Crack
            | Self::Stain
            | Self::Hole
            | Self::MissingPart
            | Self::Growth => &Role::ALL,
            Self::Dent | Self::Discolouration | Self::Contamination => &[Role::Auxiliary],
            Self::WrongPart | Self::Fray | Self::Chip | Self::Bleeding => &[Role::Test],
        }
    }
}
