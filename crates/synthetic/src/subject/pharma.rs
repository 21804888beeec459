//! Medicine by the piece: pressed pills and capsules of two halves.

use super::{Alteration, Subject};
use crate::chance::Chance;
use crate::noise::Noise;
use crate::shape::{Point, inside, rectangle};
use crate::texel::{CRISP, Colour, Texel, blend};

/// A domed disc with a breaking groove and specks.
pub(super) struct Pill {
    radius: Point,
    colour: Colour,
    speck: Colour,
    specks: f32,
    powder: Noise,
}

impl Pill {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let radius = chance.between(0.29, 0.35);
        let colours =
            [[0.70, 0.69, 0.66], [0.68, 0.60, 0.42], [0.66, 0.50, 0.48], [0.50, 0.58, 0.62]];
        let colour = chance.colour(colours);
        Self {
            radius: Point::new(radius, radius * chance.pick([1.0, 1.0, 0.72])),
            colour,
            speck: colour.map(|part| part * chance.between(0.5, 0.75)),
            specks: chance.between(0.02, 0.16),
            powder: chance.noise(),
        }
    }
}

impl Subject for Pill {
    fn texel(&self, at: Point) -> Texel {
        let out = at.stretched(1.0 / self.radius.x, 1.0 / self.radius.y).length();
        let dome = (1.0 - (out / 1.02).powi(4)).max(0.0).sqrt();
        let groove = inside(at.x.abs() - 0.012, 0.008) * inside(out - 0.9, 0.03);
        let cell = self.powder.cell(at * 26.0);
        let size = (cell.id - 1.0 + self.specks) / self.specks.max(0.01) * 0.3;
        let colour = blend(self.colour, self.speck, inside(cell.distance - size, 0.1));
        let light = (1.0 + 0.05 * self.powder.fractal(at * 40.0, 2)) * (1.0 - 0.2 * groove);
        Texel::new(colour.map(|part| part * light), 0.09 * dome - 0.012 * groove)
            .glossy(0.1)
            .within((out - 1.0) * self.radius.y)
    }
}

/// Two halves, one pushed over the other.
#[derive(Clone)]
pub(super) struct Capsule {
    length: f32,
    radius: f32,
    halves: [Colour; 2],
    odd_colour: Colour,
    odd: Option<Alteration>,
    cloud: Noise,
}

impl Capsule {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let colours =
            [[0.62, 0.25, 0.20], [0.66, 0.62, 0.52], [0.25, 0.38, 0.55], [0.64, 0.50, 0.20]];
        let first = chance.below(4);
        let second = (first + 1 + chance.below(3)) % 4;
        Self {
            length: chance.between(0.33, 0.38),
            radius: chance.between(0.12, 0.15),
            halves: [chance.colour([colours[first]]), chance.colour([colours[second]])],
            odd_colour: chance.colour([[0.34, 0.50, 0.34], [0.48, 0.36, 0.52]]),
            odd: None,
            cloud: chance.noise(),
        }
    }
}

impl Subject for Capsule {
    fn texel(&self, at: Point) -> Texel {
        let is_cap = at.x > 0.04;
        let (length, radius) =
            if is_cap { (self.length, self.radius) } else { (self.length, self.radius * 0.93) };
        let edge = rectangle(at, Point::new(length, radius), radius);
        let round = (1.0 - ((edge + radius) / radius).clamp(0.0, 1.0).powi(2)).sqrt();
        let colour = match (is_cap, self.odd) {
            (true, Some(Alteration::Wrong)) => self.odd_colour,
            (true, _) => self.halves[0],
            (false, _) => self.halves[1],
        };
        let ring = inside((at.x - 0.02).abs() - 0.012, 0.006);
        let light = 1.0 + 0.05 * self.cloud.fractal(at * 9.0, 2) - 0.15 * ring;
        let texel = Texel::new(colour.map(|part| part * light), radius * round).glossy(0.4);
        let texel = texel.within(edge);
        if self.odd == Some(Alteration::Missing) {
            // Without its cap the lower half ends in an open mouth.
            let mouth = inside(at.x - 0.03, CRISP);
            let rim = 1.0 - 0.45 * inside(-(at.x - 0.005), 0.01);
            return Texel { cover: texel.cover * mouth, ..texel.shaded(rim) };
        }
        texel
    }

    fn altered(&self, how: Alteration, _chance: &mut Chance) -> Option<Box<dyn Subject>> {
        Some(Box::new(Self { odd: Some(how), ..self.clone() }))
    }
}
