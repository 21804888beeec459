//! Medicine: a blister pack of pills, a bottle seen from above, pressed pills, capsules of two
//! halves.

use super::{Alteration, Odd, Square, Subject};
use crate::canvas::{CRISP, Colour, Point, Texel, bell, blend, inside, rectangle};
use crate::chance::{Chance, Noise};

/// Pills in rows below clear domes on foil.
#[derive(Clone)]
pub(super) struct BlisterPack {
    foil: Colour,
    pill: Colour,
    odd_colour: Colour,
    radius: f32,
    crinkle: Noise,
    odd: Option<Odd>,
}

/// Sides of the squares that pills lie in, and half the numbers of pills along the pack.
const PITCH: f32 = 0.2;
const HALF_PACK: Point = Point::new(0.4, 0.3);

impl BlisterPack {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let pill = chance.colour([[0.66, 0.62, 0.58], [0.62, 0.42, 0.36], [0.62, 0.58, 0.36]]);
        Self {
            foil: chance.colour([[0.50, 0.51, 0.53], [0.46, 0.50, 0.52]]),
            pill,
            odd_colour: blend(chance.colour([[0.30, 0.38, 0.52], [0.36, 0.48, 0.34]]), pill, 0.25),
            radius: chance.between(0.058, 0.072),
            crinkle: chance.noise(),
            odd: None,
        }
    }

    fn number(square: Square) -> i32 {
        square.column + 100 * square.row
    }

    /// Three rows of four: rows are centred on the middle one.
    fn square(at: Point) -> Square {
        Square::at(at + Point::new(0.0, PITCH / 2.0), PITCH)
    }
}

impl Subject for BlisterPack {
    fn texel(&self, at: Point) -> Texel {
        let square = Self::square(at);
        let odd = Odd::of(self.odd, Self::number(square));
        let edge = rectangle(at, HALF_PACK + Point::new(0.02, 0.02), 0.03);
        let crinkle = self.crinkle.fractal(at * 16.0, 3);
        let foil = Texel::new(self.foil.map(|part| part * (1.0 + 0.08 * crinkle)), 0.002 * crinkle);
        let foil = foil.glossy(0.4);
        let pocket = square.from_middle.length() * PITCH;
        let rim = bell(pocket - 0.085, 0.012);
        let foil = Texel { height: foil.height + 0.006 * rim, ..foil };
        if odd == Some(Alteration::Missing) {
            let torn = inside(pocket - self.radius * 0.9 - 0.006 * crinkle, CRISP);
            return foil.shaded(1.0 - 0.4 * torn).within(edge);
        }
        let radius = if odd.is_some() { 0.72 } else { 1.0 } * self.radius;
        let dome = (1.0 - (pocket / radius).min(1.0).powi(4)).sqrt();
        let colour = if odd.is_some() { self.odd_colour } else { self.pill };
        let pill = Texel::new(colour.map(|part| part * (0.85 + 0.15 * dome)), 0.035 * dome);
        foil.under(pill.glossy(0.3), inside(pocket - radius, CRISP)).within(edge)
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let at = Point::new(chance.between(-0.39, 0.39), chance.between(-0.29, 0.29));
        let part = Self::number(Self::square(at));
        Some(Box::new(Self { odd: Some(Odd { part, how }), ..self.clone() }))
    }
}

/// Rings of glass around a dark mouth.
pub(super) struct Bottle {
    radius: f32,
    glass: Colour,
    inner: Colour,
    ripple: Noise,
}

impl Bottle {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let glass = chance.colour([[0.34, 0.42, 0.32], [0.45, 0.32, 0.20], [0.42, 0.48, 0.50]]);
        Self {
            radius: chance.between(0.37, 0.42),
            glass,
            inner: glass.map(|part| part * chance.between(0.35, 0.55)),
            ripple: chance.noise(),
        }
    }
}

impl Subject for Bottle {
    fn texel(&self, at: Point) -> Texel {
        let out = at.length() / self.radius;
        let turn = Point::polar(at.angle(), 2.0);
        let ripple = self.ripple.fractal(turn + Point::new(out * 2.0, 0.0), 2);
        let glass = blend(self.inner, self.glass, inside(0.66 - out, 0.02));
        let mouth = blend(glass, self.inner.map(|part| part * 0.7), inside(out - 0.5, 0.03));
        let rings = 0.03 * bell(out - 0.8, 0.2) + 0.012 * bell(out - 0.58, 0.07);
        let light =
            1.0 + 0.1 * ripple + 0.35 * bell(out - 0.76, 0.05) - 0.3 * bell(out - 0.93, 0.05);
        Texel::new(mouth.map(|part| part * light), rings)
            .glossy(0.5)
            .within((out - 1.0) * self.radius)
    }
}

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
