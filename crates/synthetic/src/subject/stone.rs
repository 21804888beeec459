//! Mineral surfaces: tiles with grout, terrazzo, concrete.

use super::{Alteration, Odd, Square, Subject};
use crate::canvas::{CRISP, Colour, Point, Texel, blend, inside, rectangle, step};
use crate::chance::{Chance, Noise};

/// Square tiles, each with the same two-coloured pattern, all laid the same way round.
#[derive(Clone)]
pub(super) struct Tiles {
    side: f32,
    glaze: [Colour; 2],
    grout: Colour,
    cloud: Noise,
    odd: Option<Odd>,
}

impl Tiles {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let glaze = chance.colour([[0.66, 0.64, 0.60], [0.42, 0.52, 0.58], [0.60, 0.50, 0.42]]);
        let other = chance.colour([[0.38, 0.42, 0.50], [0.58, 0.42, 0.36], [0.48, 0.54, 0.44]]);
        Self {
            side: chance.between(0.19, 0.25),
            glaze: [glaze, blend(glaze, other, 0.7)],
            grout: chance.colour([[0.45, 0.44, 0.42], [0.30, 0.29, 0.28]]),
            cloud: chance.noise(),
            odd: None,
        }
    }

    fn number(square: Square) -> i32 {
        square.column + 1000 * square.row
    }
}

impl Subject for Tiles {
    fn texel(&self, at: Point) -> Texel {
        let square = Square::at(at, self.side);
        let odd = Odd::of(self.odd, Self::number(square));
        let Point { x, y } = square.from_middle;
        let rough = self.cloud.fractal(at * 30.0, 3);
        let bed = Texel::new(self.grout.map(|part| part * (1.0 + 0.15 * rough)), 0.0);
        if odd == Some(Alteration::Missing) {
            return bed.shaded(0.85 + 0.1 * self.cloud.at(Point::new(at.x * 8.0, at.y * 90.0)));
        }
        let edge = rectangle(square.from_middle, Point::new(0.46, 0.46), 0.05) * self.side;
        let turned = if odd.is_some() { -x } else { x };
        let pattern = inside((turned + y).abs().max((turned - y).abs()) - 0.28, 0.02);
        let corner = inside(Point::new(turned + 0.46, y + 0.46).length() - 0.3, 0.02);
        let id = self.cloud.hash(square.column, square.row);
        let light = 0.95 + 0.1 * id + 0.05 * self.cloud.fractal(at * 7.0, 2);
        let colour = blend(self.glaze[0], self.glaze[1], pattern.max(corner));
        let swapped = blend(self.glaze[1], self.glaze[0], pattern.max(corner));
        let colour = if odd.is_some() { swapped } else { colour };
        let glaze = Texel::new(colour.map(|part| part * light), 0.012 * inside(edge, 0.012));
        bed.under(glaze.glossy(0.3), inside(edge, CRISP))
    }

    fn altered(&self, how: Alteration, chance: &mut Chance) -> Option<Box<dyn Subject>> {
        let part = Self::number(Square::at(chance.point(0.27), self.side));
        Some(Box::new(Self { odd: Some(Odd { part, how }), ..self.clone() }))
    }
}

/// Chips of several stones in cement, ground flat.
pub(super) struct Terrazzo {
    size: f32,
    cement: Colour,
    chips: [Colour; 3],
    place: Noise,
}

impl Terrazzo {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let stones =
            [[0.35, 0.33, 0.32], [0.62, 0.56, 0.48], [0.45, 0.38, 0.34], [0.70, 0.69, 0.66]];
        Self {
            size: chance.between(11.0, 17.0),
            cement: chance.colour([[0.55, 0.54, 0.51], [0.44, 0.45, 0.46], [0.58, 0.52, 0.47]]),
            chips: std::array::from_fn(|_| chance.colour(stones)),
            place: chance.noise(),
        }
    }
}

impl Subject for Terrazzo {
    fn texel(&self, at: Point) -> Texel {
        let bend =
            Point::new(self.place.at(at * 40.0), self.place.at(at * 40.0 + Point::new(5.0, 2.0)));
        let bent = at + bend * 0.006;
        let mut texel =
            Texel::new(self.cement.map(|p| p * (1.0 + 0.1 * self.place.at(at * 60.0))), 0.0);
        for scale in [2.2, 1.0] {
            let cell = self.place.cell(bent * (self.size * scale));
            let stone = self.chips[(cell.id * 2.99) as usize];
            let chip = Texel::new(stone.map(|part| part * (0.9 + 0.2 * cell.id)), 0.0);
            let reach = 0.2 + 0.22 * cell.id;
            texel = texel.under(chip, inside(cell.distance - reach, CRISP * self.size * scale));
        }
        texel.glossy(0.2)
    }
}

/// Grey clouds with pores.
pub(super) struct Concrete {
    colour: Colour,
    cloud: Noise,
    pores: f32,
}

impl Concrete {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        Self {
            colour: chance.colour([[0.52, 0.51, 0.49], [0.45, 0.46, 0.47], [0.56, 0.52, 0.46]]),
            cloud: chance.noise(),
            pores: chance.between(0.1, 0.22),
        }
    }
}

impl Subject for Concrete {
    fn texel(&self, at: Point) -> Texel {
        let cloud = self.cloud.fractal(at * 5.0, 5);
        let cell = self.cloud.cell(at * 20.0);
        let size = (cell.id - 1.0 + self.pores) / self.pores * 0.22;
        let pore = step(0.0, 0.12, size - cell.distance);
        let light = (1.0 + 0.22 * cloud) * (1.0 - 0.45 * pore);
        Texel::new(self.colour.map(|part| part * light), 0.004 * cloud - 0.008 * pore)
    }
}
