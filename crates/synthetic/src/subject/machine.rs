//! Assemblies: a gear wheel, a ball bearing, a circuit board.

use std::f32::consts::TAU;

use super::{Alteration, Odd, Square, Subject};
use crate::canvas::{CRISP, Colour, Point, Texel, inside, mix, rectangle, step};
use crate::chance::{Chance, Noise};

/// A wheel of equal teeth.
#[derive(Clone)]
pub(super) struct Gear {
    teeth: f32,
    root: f32,
    colour: Colour,
    finish: Noise,
    odd: Option<Odd>,
}

impl Gear {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        Self {
            teeth: chance.pick([10.0, 12.0, 14.0]),
            root: chance.between(0.27, 0.3),
            colour: chance.colour([[0.50, 0.51, 0.53], [0.56, 0.48, 0.32], [0.36, 0.37, 0.42]]),
            finish: chance.noise(),
            odd: None,
        }
    }

    /// How far the wheel reaches in this direction.
    fn reach(&self, angle: f32) -> f32 {
        let phase = angle / TAU * self.teeth;
        let tooth = phase.floor();
        let from_middle = (phase - tooth - 0.5).abs();
        let full = 0.085 * inside(from_middle - 0.27, 0.07);
        match Odd::of(self.odd, tooth.rem_euclid(self.teeth) as i32) {
            None => self.root + full,
            Some(Alteration::Missing) => self.root,
            Some(Alteration::Wrong) => self.root + 0.14 * inside(from_middle - 0.4, 0.08),
        }
    }
}

impl Subject for Gear {
    fn texel(&self, at: Point) -> Texel {
        let (out, angle) = (at.length(), at.angle());
        let fifth = TAU / 5.0;
        let spoke = angle - (angle / fifth).round() * fifth;
        let hole = (Point::polar(spoke, out) - Point::new(0.17, 0.0)).length() - 0.042;
        let bore =
            (out - 0.065).min(rectangle(at - Point::new(0.0, 0.07), Point::new(0.018, 0.025), 0.0));
        let edge = (out - self.reach(angle)).max(-hole).max(-bore);
        let turned = self.finish.fractal(Point::new(out * 70.0, angle), 2);
        let hub = inside(out - 0.11, 0.006);
        let light = 1.0 + 0.08 * turned - 0.1 * inside((out - 0.235).abs() - 0.012, CRISP);
        let height = 0.03 + 0.018 * hub;
        Texel::new(self.colour.map(|part| part * light), height).glossy(0.3).within(edge)
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let part = chance.below(self.teeth as usize) as i32;
        Some(Box::new(Self { odd: Some(Odd { part, how }), ..self.clone() }))
    }
}

/// Balls between two rings.
#[derive(Clone)]
pub(super) struct Bearing {
    balls: f32,
    ring: Colour,
    ball: Colour,
    finish: Noise,
    odd: Option<Odd>,
}

impl Bearing {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let ring = chance.colour([[0.48, 0.49, 0.51], [0.42, 0.40, 0.38]]);
        Self {
            balls: chance.pick([8.0, 9.0, 10.0]),
            ring,
            ball: ring.map(|part| part * chance.between(1.1, 1.3)),
            finish: chance.noise(),
            odd: None,
        }
    }

    fn ball(&self, at: Point) -> Texel {
        let step = TAU / self.balls;
        let number = (at.angle() / step).round();
        let middle = Point::polar(number * step, 0.24);
        let odd = Odd::of(self.odd, number.rem_euclid(self.balls) as i32);
        let radius = if odd == Some(Alteration::Wrong) { 0.038 } else { 0.06 };
        let out = (at - middle).length();
        let round = (1.0 - (out / radius).min(1.0).powi(2)).sqrt();
        let dull = if odd.is_some() { 0.6 } else { 1.0 };
        let ball = Texel::new(self.ball.map(|part| part * dull), 0.02 + radius * round).glossy(0.5);
        if odd == Some(Alteration::Missing) {
            return Texel { cover: 0.0, ..ball };
        }
        ball.within(out - radius)
    }
}

impl Subject for Bearing {
    fn texel(&self, at: Point) -> Texel {
        let out = at.length();
        let edge = (out - 0.42).max(0.09 - out);
        let race = inside((out - 0.24).abs() - 0.065, CRISP);
        let turned = self.finish.fractal(Point::new(out * 80.0, at.angle()), 2);
        let light = (1.0 + 0.08 * turned) * mix(1.0, 0.45, race);
        let lip = step(0.42, 0.4, out) * step(0.09, 0.11, out);
        let ring = Texel::new(self.ring.map(|part| part * light), 0.05 * lip - 0.04 * race);
        let ball = self.ball(at);
        ring.glossy(0.35).under(ball, ball.cover).within(edge)
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let part = chance.below(self.balls as usize) as i32;
        Some(Box::new(Self { odd: Some(Odd { part, how }), ..self.clone() }))
    }
}

/// Components on pads, with traces between them.
#[derive(Clone)]
pub(super) struct CircuitBoard {
    mask: Colour,
    pitch: f32,
    layout: Noise,
    odd: Option<Odd>,
}

const COPPER: Colour = [0.58, 0.50, 0.32];

impl CircuitBoard {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        Self {
            mask: chance.colour([[0.16, 0.36, 0.22], [0.14, 0.24, 0.40], [0.40, 0.16, 0.14]]),
            pitch: chance.between(0.22, 0.27),
            layout: chance.noise(),
            odd: None,
        }
    }

    fn number(square: Square) -> i32 {
        square.column + 100 * square.row
    }

    /// Green lacquer over lines of copper.
    fn board(&self, at: Point) -> Texel {
        let lane = Square::at(at, self.pitch / 5.0);
        let runs_right = self.layout.hash(lane.row, 77) > 0.45;
        let runs_down = self.layout.hash(99, lane.column) > 0.45;
        let right = if runs_right { lane.from_middle.y.abs() } else { 1.0 };
        let down = if runs_down { lane.from_middle.x.abs() } else { 1.0 };
        let trace = inside(right.min(down) - 0.22, 0.08);
        let light = 1.0 + 0.35 * trace + 0.05 * self.layout.fractal(at * 20.0, 2);
        Texel::new(self.mask.map(|part| part * light), 0.0015 * trace).glossy(0.15)
    }

    /// The component on one square of the board: by its number a chip, a resistor or a capacitor.
    fn component(&self, square: Square, odd: Option<Alteration>) -> Texel {
        let kind = self.layout.hash(square.column, square.row);
        let kind = if odd.is_some() { (kind + 0.4).fract() } else { kind };
        let turn = if odd.is_some() { 0.5 } else { 0.0 };
        let at = (square.from_middle * self.pitch).rotated(turn) * (0.25 / self.pitch);
        match kind {
            kind if kind < 0.34 => {
                let body = rectangle(at, Point::new(0.075, 0.058), 0.005);
                let dot = inside((at - Point::new(-0.05, -0.035)).length() - 0.011, CRISP);
                Texel::new([0.13 + 0.2 * dot; 3], 0.03).glossy(0.15).within(body)
            }
            kind if kind < 0.7 => {
                let body = rectangle(at, Point::new(0.065, 0.032), 0.004);
                let ends = inside(0.04 - at.x.abs(), CRISP);
                let colour = if ends > 0.5 { [0.55, 0.55, 0.54] } else { [0.30, 0.24, 0.18] };
                Texel::new(colour, 0.02).glossy(0.25).within(body)
            }
            _ => {
                let out = at.length();
                let rim = inside((out - 0.062).abs() - 0.008, CRISP);
                Texel::new([0.50 - 0.28 * rim, 0.51 - 0.28 * rim, 0.53 - 0.25 * rim], 0.045)
                    .glossy(0.4)
                    .within(out - 0.07)
            }
        }
    }

    /// Two solder pads that the component lies on.
    fn pads(&self, square: Square) -> f32 {
        let at = square.from_middle * 0.25;
        inside(
            rectangle(Point::new(at.x.abs() - 0.072, at.y), Point::new(0.02, 0.04), 0.004),
            CRISP,
        )
    }
}

impl Subject for CircuitBoard {
    fn texel(&self, at: Point) -> Texel {
        let square = Square::at(at, self.pitch);
        let odd = Odd::of(self.odd, Self::number(square));
        let pads = Texel::new(COPPER, 0.003).glossy(0.4);
        let board = self.board(at).under(pads, self.pads(square));
        if odd == Some(Alteration::Missing) {
            return board;
        }
        let component = self.component(square, odd);
        let cover = component.cover;
        board.under(component, cover)
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let part = Self::number(Square::at(chance.point(0.25), self.pitch));
        Some(Box::new(Self { odd: Some(Odd { part, how }), ..self.clone() }))
    }
}
