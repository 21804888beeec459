//! Small parts: a hexagonal nut, a screw, a button.

use super::{Alteration, Subject};
use crate::canvas::{Colour, Point, Texel, bell, hexagon, inside, mix, rectangle, step};
use crate::chance::{Chance, Noise};

const METALS: [Colour; 3] = [[0.52, 0.53, 0.55], [0.58, 0.50, 0.34], [0.38, 0.38, 0.40]];

/// A hexagon with a threaded bore.
pub(super) struct HexNut {
    radius: f32,
    bore: f32,
    colour: Colour,
    finish: Noise,
}

impl HexNut {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let radius = chance.between(0.29, 0.34);
        Self {
            radius,
            bore: radius * chance.between(0.46, 0.56),
            colour: chance.colour(METALS),
            finish: chance.noise(),
        }
    }
}

impl Subject for HexNut {
    fn texel(&self, at: Point) -> Texel {
        let out = at.length();
        let edge = hexagon(at, self.radius).max(self.bore - out);
        let chamfer = step(self.radius * 0.93, self.radius * 1.12, out);
        let thread = inside(out - self.bore * 1.2, 0.004);
        let turns = 0.5 + 0.5 * (out * 420.0 + at.angle()).sin();
        let fine =
            self.finish.fractal(Point::polar(at.angle(), 3.0) + Point::new(out * 60.0, 0.0), 2);
        let light = (1.0 + 0.08 * fine) * (1.0 - thread * (0.2 + 0.25 * turns));
        let height = 0.05 - 0.045 * chamfer - 0.015 * thread;
        Texel::new(self.colour.map(|part| part * light), height).glossy(0.35).within(edge)
    }
}

/// A head and a threaded shaft, lying on its side.
#[derive(Clone)]
pub(super) struct Screw {
    shaft: f32,
    threads: f32,
    colour: Colour,
    finish: Noise,
    /// What is wrong with a stretch of the thread, and where it begins.
    odd: Option<(Alteration, f32)>,
}

impl Screw {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        Self {
            shaft: chance.between(0.055, 0.068),
            threads: chance.between(20.0, 25.0),
            colour: chance.colour(METALS),
            finish: chance.noise(),
            odd: None,
        }
    }

    /// Half the width at a place along the screw, and the height of the thread.
    fn profile(&self, at: Point) -> (f32, f32) {
        if at.x < -0.25 {
            return (mix(0.15, self.shaft, step(-0.36, -0.25, at.x)), 0.0);
        }
        let here = self.odd.filter(|(_, from)| (*from..from + 0.16).contains(&at.x));
        let (pitch, depth) = match here {
            None => (1.0, 0.016),
            Some((Alteration::Missing, _)) => (1.0, 0.0),
            Some((Alteration::Wrong, _)) => (0.45, 0.03),
        };
        let phase = (at.x + 0.35 * at.y) * self.threads * pitch;
        let tooth = 2.0 * (phase - phase.floor() - 0.5).abs();
        let tip = step(0.42, 0.28, at.x);
        ((self.shaft + depth * (tooth - 0.3)) * (0.35 + 0.65 * tip), depth * tooth)
    }
}

impl Subject for Screw {
    fn texel(&self, at: Point) -> Texel {
        let (half, tooth) = self.profile(at);
        let round = (1.0 - (at.y / half).clamp(-1.0, 1.0).powi(2)).sqrt();
        let edge = (at.y.abs() - half).max(at.x.abs() - 0.42);
        let shine = 1.0 + 0.08 * self.finish.fractal(at.stretched(8.0, 40.0), 2);
        let light = shine * (0.82 + 8.0 * tooth);
        Texel::new(self.colour.map(|part| part * light), half * round + tooth)
            .glossy(0.35)
            .within(edge)
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let from = chance.between(-0.18, 0.16);
        Some(Box::new(Self { odd: Some((how, from)), ..self.clone() }))
    }
}

/// A disc with a rim and four holes.
#[derive(Clone)]
pub(super) struct Button {
    radius: f32,
    hole: f32,
    colour: Colour,
    cloud: Noise,
    odd: Option<(Alteration, usize)>,
}

impl Button {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let colours =
            [[0.48, 0.34, 0.24], [0.30, 0.34, 0.44], [0.64, 0.60, 0.52], [0.50, 0.24, 0.26]];
        Self {
            radius: chance.between(0.32, 0.37),
            hole: chance.between(0.034, 0.042),
            colour: chance.colour(colours),
            cloud: chance.noise(),
            odd: None,
        }
    }

    /// Distance to the nearest hole.
    fn holes(&self, at: Point) -> f32 {
        let hole = |index: usize| {
            let middle = Point::polar((index as f32 + 0.5) * std::f32::consts::FRAC_PI_2, 0.105);
            match self.odd.filter(|(_, odd)| *odd == index) {
                None => (at - middle).length() - self.hole,
                Some((Alteration::Missing, _)) => f32::MAX,
                Some((Alteration::Wrong, _)) => {
                    rectangle(at - middle * 1.15, Point::new(0.062, 0.048), 0.01)
                }
            }
        };
        (0..4).map(hole).fold(f32::MAX, f32::min)
    }
}

impl Subject for Button {
    fn texel(&self, at: Point) -> Texel {
        let out = at.length() / self.radius;
        let holes = self.holes(at);
        let edge = ((out - 1.0) * self.radius).max(-holes);
        let marble =
            self.cloud.fractal(at * 6.0 + Point::new(self.cloud.at(at * 4.0), 0.0) * 2.0, 3);
        let height = 0.05 * inside(out - 0.97, 0.06) - 0.022 * inside(out - 0.66, 0.06);
        let light = 1.0 + 0.12 * marble - 0.2 * bell(holes, 0.03);
        Texel::new(self.colour.map(|part| part * light), height).glossy(0.35).within(edge)
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let odd = Some((how, chance.below(4)));
        Some(Box::new(Self { odd, ..self.clone() }))
    }
}
