//! Sheets: cloth of crossing threads, carpet of loops and leather; brushed metal, wood and wire
//! mesh, which have a direction.

use std::f32::consts::PI;

use super::{Alteration, Odd, Square, Subject};
use crate::canvas::{Colour, Point, Texel, bell, blend, mix, step};
use crate::chance::{Chance, Noise};

/// Threads that pass over and under each other.
#[derive(Clone)]
pub(super) struct Weave {
    period: f32,
    warp: Colour,
    weft: Colour,
    odd_colour: Colour,
    fibre: Noise,
    odd: Option<Odd>,
}

impl Weave {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let warp = chance.colour(CLOTH);
        let other = chance.colour(CLOTH);
        Self {
            period: chance.between(0.045, 0.065),
            warp,
            weft: blend(warp, other, 0.3),
            odd_colour: blend(warp.map(|part| 0.9 - part), other, 0.4),
            fibre: chance.noise(),
            odd: None,
        }
    }
}

const CLOTH: [Colour; 5] = [
    [0.62, 0.58, 0.48],
    [0.35, 0.40, 0.55],
    [0.55, 0.35, 0.32],
    [0.40, 0.48, 0.38],
    [0.55, 0.55, 0.56],
];

impl Subject for Weave {
    fn texel(&self, at: Point) -> Texel {
        let bend =
            Point::new(self.fibre.at(at * 5.0), self.fibre.at(at * 5.0 + Point::new(9.0, 4.0)));
        let square = Square::at(at + bend * 0.008, self.period);
        let Point { x, y } = square.from_middle;
        let odd = Odd::of(self.odd, square.row);
        let warp_above = (square.column + square.row).rem_euclid(2) == 0;
        let warp_above = warp_above || odd == Some(Alteration::Missing);
        let (across, along) = if warp_above { (x, y) } else { (y, x) };
        let round = 1.0 - (2.0 * across).powi(2);
        let rise = 0.5 + 0.5 * (PI * along).cos();
        let colour = match (warp_above, odd) {
            (true, _) => self.warp,
            (false, Some(_)) => self.odd_colour,
            (false, None) => self.weft,
        };
        let fine = at.stretched(1.0 / self.period, 1.0 / self.period) * 2.5;
        let light = (0.7 + 0.3 * round) * (1.0 + 0.14 * self.fibre.at(fine));
        let sunk = if odd == Some(Alteration::Missing) { 0.75 } else { 1.0 };
        Texel::new(colour.map(|part| part * light * sunk), self.period * 0.22 * round * rise)
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let part = (chance.between(-0.3, 0.3) / self.period) as i32;
        Some(Box::new(Self { odd: Some(Odd { part, how }), ..self.clone() }))
    }
}

/// Rows of loops in two colours.
#[derive(Clone)]
pub(super) struct Carpet {
    period: f32,
    colours: [Colour; 2],
    /// Rows of one colour.
    stripe: i32,
    pile: Noise,
}

impl Carpet {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let first = chance.colour([[0.42, 0.40, 0.40], [0.50, 0.42, 0.34], [0.33, 0.38, 0.44]]);
        let second = chance.colour([[0.55, 0.50, 0.44], [0.38, 0.34, 0.36]]);
        Self {
            period: chance.between(0.036, 0.05),
            colours: [first, blend(first, second, 0.6)],
            stripe: chance.pick([2, 3, 4]),
            pile: chance.noise(),
        }
    }
}

impl Subject for Carpet {
    fn texel(&self, at: Point) -> Texel {
        let bent = at + Point::new(self.pile.at(at * 6.0), self.pile.at(at * 7.0)) * 0.01;
        let row = (bent.y / self.period).floor();
        let shifted = bent + Point::new(0.5 * self.period * (row as i32).rem_euclid(2) as f32, 0.0);
        let square = Square::at(shifted, self.period);
        let lean = self.pile.hash(square.column, square.row);
        let middle = square.from_middle + Point::new(lean - 0.5, 0.0) * 0.25;
        let dome = (1.0 - middle.stretched(1.7, 2.0).length()).max(0.0);
        let stripe = square.row.div_euclid(self.stripe).rem_euclid(2) as usize;
        let light =
            (0.6 + 0.5 * dome) * (0.85 + 0.3 * lean) * (1.0 + 0.15 * self.pile.at(at * 90.0));
        Texel::new(self.colours[stripe].map(|part| part * light), self.period * 0.3 * dome)
    }
}

/// Grain of small cells with creases between them.
pub(super) struct Leather {
    grain: f32,
    colour: Colour,
    cells: Noise,
    gloss: f32,
}

impl Leather {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let colours =
            [[0.48, 0.30, 0.20], [0.30, 0.24, 0.22], [0.60, 0.46, 0.33], [0.45, 0.20, 0.18]];
        Self {
            grain: chance.between(22.0, 32.0),
            colour: chance.colour(colours),
            cells: chance.noise(),
            gloss: chance.between(0.1, 0.3),
        }
    }
}

impl Subject for Leather {
    fn texel(&self, at: Point) -> Texel {
        let bend =
            Point::new(self.cells.at(at * 9.0), self.cells.at(at * 9.0 + Point::new(3.0, 7.0)));
        let cell = self.cells.cell((at + bend * 0.02) * self.grain);
        let raised = step(0.0, 0.35, cell.border);
        let cloud = self.cells.fractal(at * 4.0, 2);
        let light = (0.8 + 0.2 * raised) * (1.0 + 0.12 * cloud + 0.08 * (cell.id - 0.5));
        Texel::new(self.colour.map(|part| part * light), 0.006 * raised).glossy(self.gloss)
    }
}

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
