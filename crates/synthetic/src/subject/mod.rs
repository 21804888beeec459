//! What pictures show: one type for each category, drawn anew for each picture, and asked for the
//! texel at a point; and [`Stage`], a subject in its place.

mod hardware;
mod machine;
mod medicine;
mod organ;
mod sheet;
mod stone;

use crate::canvas::{Canvas, Colour, Point, Texel};
use crate::category::{Category, Placement};
use crate::chance::{Chance, Noise};

/// How a part is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alteration {
    Missing,
    Wrong,
}

/// Something that can be photographed.
pub(super) trait Subject: Send {
    /// What lies at a point of the subject's own coordinates: its middle is 0, and the picture is
    /// about 1 wide.
    fn texel(&self, at: Point) -> Texel;

    /// The same subject with one part, near its middle, not as it should be. `None` for those that
    /// have no parts.
    fn altered(&self, _how: Alteration, _chance: &mut Chance) -> Option<Box<dyn Subject>> {
        None
    }
}

/// One specimen of a category.
pub(super) fn draw(category: Category, chance: &mut Chance) -> Box<dyn Subject> {
    match category {
        Category::Weave => Box::new(sheet::Weave::draw(chance)),
        Category::Carpet => Box::new(sheet::Carpet::draw(chance)),
        Category::Leather => Box::new(sheet::Leather::draw(chance)),
        Category::Tiles => Box::new(stone::Tiles::draw(chance)),
        Category::Terrazzo => Box::new(stone::Terrazzo::draw(chance)),
        Category::Concrete => Box::new(stone::Concrete::draw(chance)),
        Category::BrushedMetal => Box::new(sheet::BrushedMetal::draw(chance)),
        Category::WoodGrain => Box::new(sheet::WoodGrain::draw(chance)),
        Category::WireMesh => Box::new(sheet::WireMesh::draw(chance)),
        Category::Pill => Box::new(medicine::Pill::draw(chance)),
        Category::Capsule => Box::new(medicine::Capsule::draw(chance)),
        Category::BlisterPack => Box::new(medicine::BlisterPack::draw(chance)),
        Category::Bottle => Box::new(medicine::Bottle::draw(chance)),
        Category::HexNut => Box::new(hardware::HexNut::draw(chance)),
        Category::Screw => Box::new(hardware::Screw::draw(chance)),
        Category::Button => Box::new(hardware::Button::draw(chance)),
        Category::Gear => Box::new(machine::Gear::draw(chance)),
        Category::Bearing => Box::new(machine::Bearing::draw(chance)),
        Category::CircuitBoard => Box::new(machine::CircuitBoard::draw(chance)),
        Category::Mucosa => Box::new(organ::Mucosa::draw(chance)),
        Category::Retina => Box::new(organ::Retina::draw(chance)),
        Category::BrainScan => Box::new(organ::BrainScan::draw(chance)),
    }
}

/// A part by its number, and what is wrong with it.
#[derive(Clone, Copy, Debug)]
struct Odd {
    part: i32,
    how: Alteration,
}

impl Odd {
    /// What is wrong with this part.
    fn of(odd: Option<Self>, part: i32) -> Option<Alteration> {
        odd.filter(|odd| odd.part == part).map(|odd| odd.how)
    }
}

/// The square of a lattice that a point lies in.
#[derive(Clone, Copy, Debug)]
struct Square {
    column: i32,
    row: i32,
    /// From the square's middle, -0.5 to 0.5 in each direction.
    from_middle: Point,
}

impl Square {
    /// Of a lattice of squares of side `side`.
    fn at(point: Point, side: f32) -> Self {
        let (x, y) = (point.x / side, point.y / side);
        let from_middle = Point::new(x - x.floor() - 0.5, y - y.floor() - 0.5);
        Self { column: x.floor() as i32, row: y.floor() as i32, from_middle }
    }
}

/// Everything that a camera looks at, before marks and defects.
pub(super) struct Stage {
    subject: Box<dyn Subject>,
    pose: Pose,
    ground: Ground,
}

#[derive(Clone, Copy)]
struct Pose {
    angle: f32,
    scale: f32,
    shift: Point,
}

#[derive(Clone, Copy)]
struct Ground {
    colour: Colour,
    texture: Noise,
    grain: f32,
}

impl Stage {
    pub(super) fn draw(category: Category, chance: &mut Chance) -> Self {
        let ground = Ground::draw(category, chance);
        let pose = Pose::draw(category.stance(), chance);
        Self { subject: draw(category, chance), pose, ground }
    }

    /// The texels of a square of `side`.
    pub(super) fn paint(&self, side: usize) -> Canvas {
        self.paint_with(self.subject.as_ref(), side)
    }

    /// The same with a part that is not as it should be; `None` for subjects without parts.
    pub(super) fn paint_altered(
        &self,
        how: Alteration,
        side: usize,
        chance: &mut Chance,
    ) -> Option<Canvas> {
        let altered = self.subject.altered(how, chance)?;
        Some(self.paint_with(altered.as_ref(), side))
    }

    fn paint_with(&self, subject: &dyn Subject, side: usize) -> Canvas {
        Canvas::paint(
            side,
            |at| {
                let texel = subject.texel(self.pose.of(at));
                Texel { height: texel.height * self.pose.scale, ..texel }
            },
            |at| self.ground.texel(at),
        )
    }
}

impl Pose {
    fn draw(stance: Placement, chance: &mut Chance) -> Self {
        match stance {
            Placement::Surface => Self {
                angle: chance.between(-0.3, 0.3),
                scale: chance.between(0.85, 1.25),
                shift: chance.point(0.1),
            },
            Placement::Object => Self {
                angle: chance.angle(),
                scale: chance.between(0.85, 1.1),
                shift: chance.point(0.05),
            },
            Placement::Upright => Self {
                angle: chance.between(-0.25, 0.25),
                scale: chance.between(0.88, 1.08),
                shift: chance.point(0.04),
            },
        }
    }

    /// From the picture's coordinates to the subject's.
    fn of(&self, at: Point) -> Point {
        let from_middle = at - Point::new(0.5, 0.5) - self.shift;
        from_middle.rotated(-self.angle) * (1.0 / self.scale)
    }
}

impl Ground {
    fn draw(category: Category, chance: &mut Chance) -> Self {
        let colour = match (category, category.stance()) {
            (Category::BrainScan | Category::Retina, _) => [0.05; 3],
            (_, Placement::Surface) => chance.colour([[0.14, 0.14, 0.14], [0.24, 0.21, 0.18]]),
            _ => chance.colour([
                [0.34, 0.36, 0.38],
                [0.22, 0.24, 0.27],
                [0.48, 0.46, 0.42],
                [0.30, 0.36, 0.33],
                [0.58, 0.58, 0.57],
            ]),
        };
        Self { colour, texture: chance.noise(), grain: chance.between(0.04, 0.12) }
    }

    fn texel(&self, at: Point) -> Texel {
        let light = 1.0 + self.grain * self.texture.fractal(at * 30.0, 3);
        Texel { cover: 0.0, ..Texel::new(self.colour.map(|part| part * light), 0.0) }
    }
}
