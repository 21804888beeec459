//! Organs as instruments show them: lining of the gut, the back of an eye, a slice of a brain.

use super::Subject;
use crate::canvas::{Colour, Point, Texel, bell, blend, inside, mix, segment, step};
use crate::chance::{Chance, Noise};

/// Pink folds with fine vessels, wet.
pub(super) struct Mucosa {
    colour: Colour,
    vessel: Colour,
    folds: Noise,
    width: f32,
}

impl Mucosa {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let colour = chance.colour([[0.66, 0.40, 0.34], [0.70, 0.48, 0.40], [0.60, 0.34, 0.32]]);
        Self {
            colour,
            vessel: colour.map(|part| part * 0.6),
            folds: chance.noise(),
            width: chance.between(0.04, 0.08),
        }
    }
}

impl Subject for Mucosa {
    fn texel(&self, at: Point) -> Texel {
        let fold = self.folds.fractal(at * 2.6, 3);
        let vessel = self.folds.ridges(at * 4.5 + Point::new(30.0, 11.0), self.width);
        let fine = self.folds.fractal(at * 34.0, 2);
        let colour = blend(
            self.colour,
            [self.vessel[0], self.vessel[1] * 0.7, self.vessel[2] * 0.7],
            0.6 * vessel,
        );
        let light = 1.0 + 0.1 * fold + 0.06 * fine;
        Texel::new(colour.map(|part| part * light), 0.05 * fold + 0.0015 * fine).glossy(0.4)
    }
}

/// An orange disc with a bright spot from which vessels branch.
pub(super) struct Retina {
    colour: Colour,
    disc: Point,
    vessels: Vec<Vessel>,
    cloud: Noise,
}

struct Vessel {
    from: Point,
    to: Point,
    width: f32,
}

impl Retina {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let disc =
            Point::new(chance.sign() * chance.between(0.14, 0.2), chance.between(-0.03, 0.03));
        let mut vessels = Vec::new();
        for branch in 0..6 {
            let angle = (branch as f32 + chance.between(-0.3, 0.3)) * std::f32::consts::TAU / 6.0;
            grow(Growing { from: disc, angle, width: 0.009 }, 3, chance, &mut vessels);
        }
        Self {
            colour: chance.colour([[0.64, 0.34, 0.20], [0.56, 0.28, 0.18], [0.68, 0.42, 0.26]]),
            disc,
            vessels,
            cloud: chance.noise(),
        }
    }
}

struct Growing {
    from: Point,
    angle: f32,
    width: f32,
}

/// Adds a bent vessel and, at its end, two thinner ones.
fn grow(stem: Growing, generations: usize, chance: &mut Chance, vessels: &mut Vec<Vessel>) {
    let Growing { mut from, mut angle, width } = stem;
    let bend = chance.between(-0.22, 0.22);
    for _ in 0..4 {
        let to = from + Point::polar(angle, 0.045);
        vessels.push(Vessel { from, to, width });
        from = to;
        angle += bend;
    }
    if generations > 1 {
        for side in [-1.0, 1.0] {
            let angle = angle + side * chance.between(0.2, 0.6);
            grow(Growing { from, angle, width: width * 0.75 }, generations - 1, chance, vessels);
        }
    }
}

impl Subject for Retina {
    fn texel(&self, at: Point) -> Texel {
        let near =
            |vessel: &Vessel| inside(segment(at, vessel.from, vessel.to) - vessel.width, 0.006);
        let vessel = self.vessels.iter().map(near).fold(0.0, f32::max);
        let disc = inside((at - self.disc).length() - 0.055, 0.015);
        let macula = bell((at + self.disc * 0.6).length(), 0.16);
        let cloud = self.cloud.fractal(at * 7.0, 4);
        let bright = blend(self.colour, [0.74, 0.62, 0.42], disc);
        let colour = blend(bright, [0.36, 0.13, 0.10], 0.7 * vessel);
        let light = (1.0 + 0.12 * cloud) * (1.0 - 0.3 * macula) * (1.1 - 1.2 * at.length().powi(2));
        Texel::new(colour.map(|part| part * light), 0.0).within(at.length() - 0.46)
    }
}

/// A bright ring of bone around folded tissue with two dark chambers, in grey.
pub(super) struct BrainScan {
    half: Point,
    bone: f32,
    white: f32,
    chambers: f32,
    folds: Noise,
}

impl BrainScan {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let width = chance.between(0.31, 0.36);
        Self {
            half: Point::new(width, width * chance.between(1.15, 1.25)),
            bone: chance.between(0.6, 0.75),
            white: chance.between(0.4, 0.5),
            chambers: chance.between(0.8, 1.2),
            folds: chance.noise(),
        }
    }
}

impl Subject for BrainScan {
    fn texel(&self, at: Point) -> Texel {
        let out = at.stretched(1.0 / self.half.x, 1.0 / self.half.y).length();
        // Both halves of a brain fold alike, though not the same.
        let mirrored = Point::new(at.x.abs(), at.y) + Point::new(at.x * 0.15, 0.0);
        let fold = self.folds.fractal(mirrored * 9.0, 3);
        let cortex = step(0.55, 0.85, out + 0.14 * fold);
        let fissure = bell(at.x + 0.004 * fold, 0.014) * step(0.1, 0.3, at.y.abs());
        let bent = Point::new(at.x.abs() - 0.045 - 0.25 * at.y.abs(), at.y)
            .stretched(1.0 / 0.035, 1.0 / 0.13);
        let chamber = inside(bent.length() - self.chambers, 0.18);
        let tissue = mix(self.white, self.white * 0.72, cortex) * (1.0 + 0.1 * fold);
        let tissue = tissue * (1.0 - 0.45 * fissure) * (1.0 - 0.62 * chamber);
        let gap = mix(tissue, 0.12, step(0.86, 0.89, out));
        let grey = mix(gap, self.bone, step(0.91, 0.94, out));
        Texel::new([grey; 3], 0.0).glossy(0.0).within((out - 1.0) * self.half.x)
    }
}
