//! Packages: a blister pack of pills, a bottle seen from above.

use super::{Alteration, Odd, Square, Subject};
use crate::chance::Chance;
use crate::noise::Noise;
use crate::shape::{Point, bell, inside, rectangle};
use crate::texel::{CRISP, Colour, Texel, blend};

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
