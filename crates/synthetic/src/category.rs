//! What pictures show: names, halves of the world, and which defects can happen to what.

use anomaly::Domain;
use serde::Serialize;

use super::camera::Film;
use super::kind::DefectKind;

/// A kind of surface, object or organ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Category {
    Weave,
    Tiles,
    BrushedMetal,
    Terrazzo,
    Leather,
    Concrete,
    Pill,
    HexNut,
    Capsule,
    Gear,
    CircuitBoard,
    Bearing,
    Mucosa,
    Retina,
    WoodGrain,
    WireMesh,
    Carpet,
    Bottle,
    Screw,
    Button,
    BlisterPack,
    BrainScan,
}

/// How a category lies before the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// It fills the picture; the camera is anywhere above it, nearly upright.
    Surface,
    /// It lies whole in the picture, turned any way.
    Object,
    /// It lies whole in the picture, nearly upright.
    Upright,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 22] = [
        Self::Weave,
        Self::Tiles,
        Self::BrushedMetal,
        Self::Terrazzo,
        Self::Leather,
        Self::Concrete,
        Self::Pill,
        Self::HexNut,
        Self::Capsule,
        Self::Gear,
        Self::CircuitBoard,
        Self::Bearing,
        Self::Mucosa,
        Self::Retina,
        Self::WoodGrain,
        Self::WireMesh,
        Self::Carpet,
        Self::Bottle,
        Self::Screw,
        Self::Button,
        Self::BlisterPack,
        Self::BrainScan,
    ];

    /// The categories of one half of the world.
    pub fn of(role: Role) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |category| category.role() == role)
    }

    /// The half of the world that it belongs to.
    pub fn role(self) -> Role {
        match self {
            Self::WoodGrain
            | Self::WireMesh
            | Self::Carpet
            | Self::Bottle
            | Self::Screw
            | Self::Button
            | Self::BlisterPack
            | Self::BrainScan => Role::Test,
            _ => Role::Auxiliary,
        }
    }

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weave => "weave",
            Self::Tiles => "tiles",
            Self::BrushedMetal => "brushed_metal",
            Self::Terrazzo => "terrazzo",
            Self::Leather => "leather",
            Self::Concrete => "concrete",
            Self::Pill => "pill",
            Self::HexNut => "hex_nut",
            Self::Capsule => "capsule",
            Self::Gear => "gear",
            Self::CircuitBoard => "circuit_board",
            Self::Bearing => "bearing",
            Self::Mucosa => "mucosa",
            Self::Retina => "retina",
            Self::WoodGrain => "wood_grain",
            Self::WireMesh => "wire_mesh",
            Self::Carpet => "carpet",
            Self::Bottle => "bottle",
            Self::Screw => "screw",
            Self::Button => "button",
            Self::BlisterPack => "blister_pack",
            Self::BrainScan => "brain_scan",
        }
    }

    /// As it stands in prompts; a word that can be counted.
    pub fn prompt(self) -> &'static str {
        match self {
            Self::Weave => "woven cloth",
            Self::Tiles => "tiled wall",
            Self::BrushedMetal => "brushed metal plate",
            Self::Terrazzo => "terrazzo floor",
            Self::Leather => "leather sheet",
            Self::Concrete => "concrete wall",
            Self::HexNut => "hex nut",
            Self::CircuitBoard => "circuit board",
            Self::Bearing => "ball bearing",
            Self::WoodGrain => "wooden board",
            Self::WireMesh => "wire mesh",
            Self::BlisterPack => "blister pack",
            Self::BrainScan => "brain scan",
            other => other.name(),
        }
    }

    /// Kind of pictures.
    pub fn domain(self) -> Domain {
        match self {
            Self::Mucosa | Self::Retina | Self::BrainScan => Domain::Medical,
            _ => Domain::Industrial,
        }
    }

    /// The defects that it has in its half of the world.
    pub fn defects(self) -> Vec<DefectKind> {
        let occurs = |kind: &DefectKind| kind.roles().contains(&self.role());
        self.possible().iter().copied().filter(occurs).collect()
    }

    /// What can happen to it.
    fn possible(self) -> &'static [DefectKind] {
        use DefectKind::*;
        match self {
            Self::Weave => &[Stain, Hole, Contamination, MissingPart, Discolouration],
            Self::Tiles => &[Scratch, Crack, Stain, MissingPart],
            Self::BrushedMetal => &[Scratch, Dent, Hole, Stain, Discolouration],
            Self::Terrazzo => &[Crack, Stain, Hole, Scratch],
            Self::Leather => &[Scratch, Hole, Dent, Discolouration, Contamination],
            Self::Concrete => &[Crack, Stain, Hole, Contamination],
            Self::Pill => &[Crack, Stain, Contamination, Scratch, Dent],
            Self::HexNut => &[Scratch, Dent, Stain, Discolouration],
            Self::Capsule => &[Scratch, Crack, MissingPart, Dent, Stain],
            Self::Gear => &[MissingPart, Scratch, Stain, Crack],
            Self::CircuitBoard => &[MissingPart, Scratch, Stain, Contamination],
            Self::Bearing => &[MissingPart, Contamination, Scratch, Stain],
            Self::Mucosa => &[Growth, Discolouration, Contamination],
            Self::Retina => &[Growth, Stain, Discolouration],
            Self::WoodGrain => &[Scratch, Crack, Hole, Stain, Fray],
            Self::WireMesh => &[MissingPart, WrongPart, Hole, Fray],
            Self::Carpet => &[Stain, Hole, Fray],
            Self::Bottle => &[Crack, Chip, Scratch, Stain],
            Self::Screw => &[MissingPart, WrongPart, Scratch, Chip],
            Self::Button => &[MissingPart, WrongPart, Crack, Chip],
            Self::BlisterPack => &[MissingPart, WrongPart, Hole, Stain],
            Self::BrainScan => &[Growth, Bleeding],
        }
    }

    pub(super) fn stance(self) -> Stance {
        match self {
            Self::Weave
            | Self::Tiles
            | Self::BrushedMetal
            | Self::Terrazzo
            | Self::Leather
            | Self::Concrete
            | Self::CircuitBoard
            | Self::Mucosa
            | Self::WoodGrain
            | Self::WireMesh
            | Self::Carpet => Stance::Surface,
            Self::Retina | Self::BrainScan | Self::BlisterPack => Stance::Upright,
            _ => Stance::Object,
        }
    }

    pub(super) fn film(self) -> Film {
        if self == Self::BrainScan { Film::Grey } else { Film::Colour }
    }
}

/// A half of the world. No category is in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Trained on.
    Auxiliary,
    /// Measured on, and unseen before.
    Test,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Auxiliary, Self::Test];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auxiliary => "auxiliary",
            Self::Test => "test",
        }
    }
}
