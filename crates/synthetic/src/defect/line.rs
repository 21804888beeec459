//! Defects along lines: scratches, cracks, loose fibres.

use crate::canvas::{CRISP, Canvas, Point, blend, inside, segment, step};
use crate::chance::Chance;

/// Straight pieces, each with half its width.
struct Stroke {
    pieces: Vec<Segment>,
}

#[derive(Clone, Copy)]
struct Segment {
    from: Point,
    to: Point,
    width: f32,
}

/// Where a line starts and how it goes on.
#[derive(Clone, Copy)]
struct Course {
    from: Point,
    angle: f32,
    length: f32,
    width: f32,
    /// Most that the direction changes from piece to piece.
    jag: f32,
    /// Change of direction that is the same from piece to piece.
    bend: f32,
    pieces: usize,
}

impl Stroke {
    /// A line that gets thinner to its end.
    fn walk(course: Course, chance: &mut Chance) -> Self {
        let Course { mut from, mut angle, length, width, jag, bend, pieces } = course;
        let piece = |index: usize| {
            angle += bend + chance.between(-jag, jag);
            let to = from + Point::polar(angle, length / pieces as f32);
            let left = 1.0 - 0.6 * index as f32 / pieces as f32;
            let piece = Segment { from, to, width: width * left };
            from = to;
            piece
        };
        Self { pieces: (0..pieces).map(piece).collect() }
    }

    /// Distance to the path's border, negative on it.
    fn distance(&self, at: Point) -> f32 {
        let to = |piece: &Segment| segment(at, piece.from, piece.to) - piece.width;
        self.pieces.iter().map(to).fold(f32::MAX, f32::min)
    }
}

/// One to three grooves side by side.
pub(super) fn scratch(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let (angle, length) = (chance.angle(), chance.between(0.22, 0.42));
    let bend = chance.between(-0.08, 0.08);
    let mut path = Stroke { pieces: Vec::new() };
    for _ in 0..1 + chance.below(3) {
        let from = at - Point::polar(angle, length / 2.0) + chance.point(0.022);
        let width = chance.between(0.004, 0.0075);
        let course = Course { from, angle, length, width, jag: 0.06, bend, pieces: 10 };
        path.pieces.extend(Stroke::walk(course, chance).pieces);
    }
    let light =
        if chance.happens(0.5) { chance.between(1.35, 1.7) } else { chance.between(0.4, 0.65) };
    let depth = chance.between(0.004, 0.008);
    canvas.edit(|at, texel| {
        let groove = inside(path.distance(at), CRISP);
        let bared = texel.colour.map(|part| (part * light).min(0.85));
        texel.colour = blend(texel.colour, bared, groove);
        texel.height -= depth * groove;
    });
}

/// A jagged line with branches.
pub(super) fn crack(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let (angle, length) = (chance.angle(), chance.between(0.3, 0.5));
    let width = chance.between(0.006, 0.01);
    let from = at - Point::polar(angle, length * 0.4);
    let stem = Course { from, angle, length, width, jag: 0.55, bend: 0.0, pieces: 12 };
    let mut path = Stroke::walk(stem, chance);
    for _ in 0..1 + chance.below(3) {
        let Some(piece) = path.pieces.get(2 + chance.below(8)).copied() else { continue };
        let angle = angle + chance.sign() * chance.between(0.5, 1.1);
        let length = length * chance.between(0.25, 0.45);
        let width = piece.width * 0.75;
        let branch =
            Course { from: piece.to, angle, length, width, jag: 0.5, bend: 0.0, pieces: 6 };
        path.pieces.extend(Stroke::walk(branch, chance).pieces);
    }
    let dark = chance.between(0.25, 0.5);
    canvas.edit(|at, texel| {
        let distance = path.distance(at);
        let gap = inside(distance, CRISP);
        texel.colour = texel.colour.map(|part| part * (1.0 - (1.0 - dark) * gap));
        texel.height -= 0.008 * step(0.012, 0.0, distance);
    });
}

/// Fibres or splinters that stand out from one place.
pub(super) fn fray(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let (angle, spread) = (chance.angle(), chance.between(0.4, 0.9));
    let side = Point::polar(angle + std::f32::consts::FRAC_PI_2, 1.0);
    let mut path = Stroke { pieces: Vec::new() };
    for _ in 0..8 + chance.below(7) {
        let offset = chance.between(-1.0, 1.0);
        let from = at + side * (0.05 * offset) - Point::polar(angle, 0.05);
        let course = Course {
            from,
            angle: angle + spread * offset,
            length: chance.between(0.12, 0.24),
            width: chance.between(0.004, 0.007),
            jag: 0.25,
            bend: chance.between(-0.2, 0.2),
            pieces: 7,
        };
        path.pieces.extend(Stroke::walk(course, chance).pieces);
    }
    let light = chance.pick([0.4, 1.8]);
    canvas.edit(|at, texel| {
        let fibre = inside(path.distance(at), CRISP);
        let loose = texel.colour.map(|part| (part * light + 0.03).min(0.8));
        texel.colour = blend(texel.colour, loose, fibre);
        texel.height += 0.012 * fibre;
        texel.cover = texel.cover.max(fibre);
    });
}
