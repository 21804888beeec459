//! What pictures show: names of categories, halves of the world, the kinds of defects, and which of
//! them can happen to what.

use anomaly::Domain;
use serde::Serialize;

use crate::camera::Film;

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
pub(super) enum Placement {
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

    pub(super) fn stance(self) -> Placement {
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
            | Self::Carpet => Placement::Surface,
            Self::Retina | Self::BrainScan | Self::BlisterPack => Placement::Upright,
            _ => Placement::Object,
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
