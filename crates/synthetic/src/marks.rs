//! What looks odd and is harmless: shadows, reflections, print, stickers, embossing, straight lines.
//!
//! Every picture has some. They are as dark, as bright, as crisp and as steep as defects are, and a
//! defective picture has one of them less, so that neither extremes nor edges nor the spread of grey
//! values tell the two apart: one has to see what it is.

use anomaly::Domain;
use serde::Serialize;

use crate::canvas::{CRISP, Canvas, Colour, Point, Texel, bell, blend, inside, rectangle};
use crate::category::{Category, Placement};
use crate::chance::{Chance, Noise};

/// A harmless peculiarity of a normal picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// Something outside the picture takes light away.
    Shadow,
    /// A lamp mirrors itself.
    Reflection,
    /// A printed code.
    Print,
    /// A label.
    Sticker,
    /// A ring or a frame pressed into the surface.
    Embossing,
    /// A straight line from border to border: a seam or a mould line.
    Line,
}

impl MarkKind {
    /// As it stands in a caption, behind "with".
    pub(super) fn phrase(self) -> &'static str {
        match self {
            Self::Shadow => "a shadow on it",
            Self::Reflection => "a reflection",
            Self::Print => "a printed code",
            Self::Sticker => "a sticker",
            Self::Embossing => "an embossed sign",
            Self::Line => "a straight seam",
        }
    }
}

/// One mark in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) kind: MarkKind,
    at: Point,
    angle: f32,
    size: f32,
    strength: f32,
    colour: Colour,
    code: Noise,
    variant: usize,
}

impl Mark {
    /// The marks of a picture with no defect: from one to four.
    pub(super) fn draw_all(category: Category, chance: &mut Chance) -> Vec<Self> {
        let count = 1 + chance.below(4);
        (0..count).map(|_| Self::draw(category, chance)).collect()
    }

    fn draw(category: Category, chance: &mut Chance) -> Self {
        let kind = match (category.domain(), category) {
            (_, Category::BrainScan) => {
                chance.pick([MarkKind::Shadow, MarkKind::Reflection, MarkKind::Line])
            }
            (Domain::Medical, _) => {
                chance.pick([MarkKind::Shadow, MarkKind::Shadow, MarkKind::Reflection])
            }
            (Domain::Industrial, _) => chance.pick([
                MarkKind::Shadow,
                MarkKind::Reflection,
                MarkKind::Print,
                MarkKind::Sticker,
                MarkKind::Embossing,
                MarkKind::Line,
            ]),
        };
        let spread = if category.stance() == Placement::Surface { 0.38 } else { 0.25 };
        let colours =
            [[0.08, 0.08, 0.09], [0.75, 0.74, 0.70], [0.60, 0.22, 0.18], [0.18, 0.30, 0.52]];
        Self {
            kind,
            at: Point::new(0.5, 0.5) + chance.point(spread),
            angle: chance.angle(),
            size: chance.between(0.7, 1.3),
            strength: chance.between(0.5, 1.0),
            colour: chance.colour(colours),
            code: chance.noise(),
            variant: chance.below(2),
        }
    }

    /// Whether it lies on something: print beside an object is not there at all.
    pub(super) fn is_seen(&self, canvas: &Canvas) -> bool {
        let on_all = matches!(self.kind, MarkKind::Shadow | MarkKind::Reflection);
        on_all || canvas.cover(self.at) > 0.5
    }

    pub(super) fn apply(&self, canvas: &mut Canvas) {
        let own = |at: Point| (at - self.at).rotated(-self.angle) * (1.0 / self.size);
        match self.kind {
            MarkKind::Shadow => canvas.edit_all(|at, texel| self.shade(own(at), texel)),
            MarkKind::Reflection => canvas.edit_all(|at, texel| self.reflect(own(at), texel)),
            MarkKind::Print => canvas.edit(|at, texel| self.print(own(at), texel)),
            MarkKind::Sticker => canvas.edit(|at, texel| self.stick(own(at), texel)),
            MarkKind::Embossing => canvas.edit(|at, texel| self.emboss(own(at), texel)),
            MarkKind::Line => canvas.edit(|at, texel| self.line(own(at), texel)),
        }
    }

    /// A soft disc, or a soft bar from border to border.
    fn shade(&self, at: Point, texel: &mut Texel) {
        let distance = if self.variant == 0 { at.length() - 0.13 } else { at.y.abs() - 0.06 };
        *texel = texel.shaded(1.0 - 0.5 * self.strength * inside(distance, 0.035));
    }

    /// One spot, or a row of three.
    fn reflect(&self, at: Point, texel: &mut Texel) {
        let spot = |x: f32| bell((at - Point::new(x, 0.0)).length(), 0.07);
        let light =
            if self.variant == 0 { spot(0.0) } else { spot(-0.1).max(spot(0.0)).max(spot(0.1)) };
        texel.colour = texel.colour.map(|part| part + 0.5 * self.strength * light);
    }

    /// A few signs of three by five squares, each there or not.
    fn print(&self, at: Point, texel: &mut Texel) {
        const SQUARE: f32 = 0.018;
        let (column, row) = ((at.x / SQUARE).floor(), (at.y / SQUARE).floor());
        let half = 6.0 + 4.0 * self.variant as f32;
        let within = column >= -half && column < half && (-2.0..3.0).contains(&row);
        let between = (column as i32).rem_euclid(4) == 3;
        let is_set = self.code.hash(column as i32, row as i32) > 0.4;
        if within && !between && is_set {
            texel.colour = blend(texel.colour, self.colour, 0.55 + 0.4 * self.strength);
        }
    }

    /// A disc or a rectangle of one colour with a printed frame.
    fn stick(&self, at: Point, texel: &mut Texel) {
        let distance = match self.variant {
            0 => at.length() - 0.055,
            _ => rectangle(at, Point::new(0.08, 0.045), 0.008),
        };
        let frame = inside((distance + 0.014).abs() - 0.004, CRISP);
        let paper = inside(distance, CRISP);
        let ink = self.colour.map(|part| if part > 0.4 { part * 0.5 } else { part + 0.25 });
        texel.colour = blend(texel.colour, blend(self.colour, ink, frame), paper);
        texel.height += 0.002 * paper;
    }

    /// Raised or sunk.
    fn emboss(&self, at: Point, texel: &mut Texel) {
        let ring = (at.length() - 0.07).abs() - 0.01;
        let frame = rectangle(at, Point::new(0.09, 0.05), 0.0).abs() - 0.009;
        let distance = if self.variant == 0 { ring } else { frame };
        let side = if self.code.hash(0, 0) > 0.5 { 1.0 } else { -1.0 };
        texel.height += side * 0.01 * self.strength * inside(distance, 0.008);
    }

    /// A groove, plain or with stitches.
    fn line(&self, at: Point, texel: &mut Texel) {
        let groove = inside(at.y.abs() - 0.005, CRISP);
        let stitch = inside((at.x / 0.04).fract().abs() - 0.6, 0.05);
        let thread = if self.variant == 0 { groove } else { groove * stitch };
        let ink = blend(texel.colour, self.colour, 0.6);
        texel.colour = blend(texel.colour, ink, thread * self.strength);
        texel.height -= 0.006 * groove;
    }
}
