//! Sheets with a direction: brushed metal, wood, wire mesh.

use super::{Alteration, Odd, Square, Subject};
use crate::chance::Chance;
use crate::noise::Noise;
use crate::shape::{Point, bell, mix};
use crate::texel::{Colour, Texel, blend};

/// Fine parallel lines.
pub(super) struct BrushedMetal {
    colour: Colour,
    lines: Noise,
    gloss: f32,
}

impl BrushedMetal {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        Self {
            colour: chance.colour([[0.50, 0.51, 0.53], [0.55, 0.50, 0.42], [0.40, 0.42, 0.46]]),
            lines: chance.noise(),
            gloss: chance.between(0.2, 0.45),
        }
    }
}

impl Subject for BrushedMetal {
    fn texel(&self, at: Point) -> Texel {
        let line = self.lines.fractal(at.stretched(3.0, 60.0), 3);
        let broad = self.lines.at(at.stretched(0.7, 9.0) + Point::new(7.0, 0.0));
        let light = 1.0 + 0.16 * line + 0.08 * broad;
        Texel::new(self.colour.map(|part| part * light), 0.0012 * line).glossy(self.gloss)
    }
}

/// Year rings cut lengthwise, with knots.
pub(super) struct WoodGrain {
    early: Colour,
    late: Colour,
    rings: f32,
    grain: Noise,
    knots: Vec<Point>,
}

impl WoodGrain {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let early = chance.colour([[0.62, 0.47, 0.32], [0.55, 0.40, 0.28], [0.66, 0.54, 0.40]]);
        let knots = chance.below(3);
        Self {
            early,
            late: early.map(|part| part * chance.between(0.6, 0.75)),
            rings: chance.between(9.0, 15.0),
            grain: chance.noise(),
            knots: (0..knots).map(|_| chance.point(0.5)).collect(),
        }
    }
}

impl Subject for WoodGrain {
    fn texel(&self, at: Point) -> Texel {
        let mut across = at.y + 0.06 * self.grain.fractal(at.stretched(1.2, 3.0), 3);
        let mut knot = 0.0_f32;
        for middle in &self.knots {
            let from = (at - *middle).stretched(0.7, 1.0);
            let near = bell(from.length(), 0.13);
            across = mix(across, from.length(), near);
            knot = knot.max(bell(from.length(), 0.055));
        }
        let phase = across * self.rings;
        let ring = phase - phase.floor();
        let late = ring.powi(3) * (1.0 - ring.powi(12));
        let fibre = self.grain.fractal(at.stretched(7.0, 110.0), 2);
        let colour = blend(self.early, self.late, (late + 0.8 * knot).min(1.2));
        let light = 1.0 + 0.1 * fibre + 0.06 * self.grain.at(at * 3.0);
        Texel::new(colour.map(|part| part * light), 0.0015 * fibre).glossy(0.08)
    }
}

/// Wires that cross over and under; between them the ground is seen.
#[derive(Clone)]
pub(super) struct WireMesh {
    period: f32,
    radius: f32,
    colour: Colour,
    shine: Noise,
    odd: Option<Odd>,
}

impl WireMesh {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let period = chance.between(0.085, 0.115);
        Self {
            period,
            radius: period * chance.between(0.16, 0.22),
            colour: chance.colour([[0.55, 0.56, 0.58], [0.60, 0.50, 0.36], [0.46, 0.47, 0.48]]),
            shine: chance.noise(),
            odd: None,
        }
    }

    /// The wire along x that runs through a square, or the one along y at `turned` coordinates.
    fn wire(&self, across: f32, along: f32, above: bool, radius: f32) -> Texel {
        let distance = across.abs() * self.period;
        let round = (1.0 - (distance / radius).powi(2)).max(0.0).sqrt();
        let wave = 0.5 * self.period * 0.3 * (along * std::f32::consts::PI).cos();
        let height = radius * round + if above { wave } else { -wave };
        let light = 0.8 + 0.25 * round;
        Texel::new(self.colour.map(|part| part * light), height)
            .glossy(0.35)
            .within(distance - radius)
    }
}

impl Subject for WireMesh {
    fn texel(&self, at: Point) -> Texel {
        let bend =
            Point::new(self.shine.at(at * 4.0), self.shine.at(at * 4.0 + Point::new(8.0, 1.0)));
        let square = Square::at(at + bend * 0.006, self.period);
        let Point { x, y } = square.from_middle;
        let down_above = (square.column + square.row).rem_euclid(2) == 0;
        let odd = Odd::of(self.odd, square.row);
        let radius = if odd == Some(Alteration::Wrong) { 1.9 } else { 1.0 } * self.radius;
        let down = self.wire(x, y, down_above, self.radius);
        let right = self.wire(y, x, !down_above, radius);
        let right =
            if odd == Some(Alteration::Missing) { Texel { cover: 0.0, ..right } } else { right };
        let (upper, lower) = if down_above { (down, right) } else { (right, down) };
        let cover = upper.cover.max(lower.cover);
        let stain = 1.0 + 0.12 * self.shine.fractal(at * 18.0, 2);
        Texel { cover, ..lower.under(upper, upper.cover) }.shaded(stain)
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let part = (chance.between(-0.3, 0.3) / self.period) as i32;
        Some(Box::new(Self { odd: Some(Odd { part, how }), ..self.clone() }))
    }
}
