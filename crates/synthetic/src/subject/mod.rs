//! What pictures show: one type for each category, drawn anew for each picture, and asked for the
//! texel at a point.

mod fabric;
mod hardware;
mod machine;
mod organ;
mod pack;
mod panel;
mod pharma;
mod stone;

use super::category::Category;
use super::chance::Chance;
use super::shape::Point;
use super::texel::Texel;

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
        Category::Weave => Box::new(fabric::Weave::draw(chance)),
        Category::Carpet => Box::new(fabric::Carpet::draw(chance)),
        Category::Leather => Box::new(fabric::Leather::draw(chance)),
        Category::Tiles => Box::new(stone::Tiles::draw(chance)),
        Category::Terrazzo => Box::new(stone::Terrazzo::draw(chance)),
        Category::Concrete => Box::new(stone::Concrete::draw(chance)),
        Category::BrushedMetal => Box::new(panel::BrushedMetal::draw(chance)),
        Category::WoodGrain => Box::new(panel::WoodGrain::draw(chance)),
        Category::WireMesh => Box::new(panel::WireMesh::draw(chance)),
        Category::Pill => Box::new(pharma::Pill::draw(chance)),
        Category::Capsule => Box::new(pharma::Capsule::draw(chance)),
        Category::BlisterPack => Box::new(pack::BlisterPack::draw(chance)),
        Category::Bottle => Box::new(pack::Bottle::draw(chance)),
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
