//! What a scene is made of before light falls on it: points, distances to shapes and soft steps, and
//! at each point colour, height, gloss, and where the subject is. A distance is negative inside its
//! shape; the unit is the picture's side.

use std::ops::{Add, Mul, Sub};

/// A point or an offset; y points down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    pub(super) const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// A step of `length` in a direction.
    pub(super) fn polar(angle: f32, length: f32) -> Self {
        Self::new(angle.cos() * length, angle.sin() * length)
    }

    pub(super) fn length(self) -> f32 {
        self.x.hypot(self.y)
    }

    pub(super) fn angle(self) -> f32 {
        self.y.atan2(self.x)
    }

    pub(super) fn rotated(self, angle: f32) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self::new(self.x * cos - self.y * sin, self.x * sin + self.y * cos)
    }

    pub(super) fn stretched(self, x: f32, y: f32) -> Self {
        Self::new(self.x * x, self.y * y)
    }

    fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }
}

impl Add for Point {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for Point {
    type Output = Self;

    fn mul(self, factor: f32) -> Self {
        self.stretched(factor, factor)
    }
}

/// `from` at 0, `to` at 1.
pub(super) fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn step(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 inside a shape, 0 outside, with a border of twice `softness`.
pub(super) fn inside(distance: f32, softness: f32) -> f32 {
    1.0 - step(-softness, softness, distance)
}

/// A bell: 1 at 0, near 0 from `width` on.
pub(super) fn bell(distance: f32, width: f32) -> f32 {
    (-4.0 * (distance / width).powi(2)).exp()
}

/// Distance to a rectangle with rounded corners; `half` reaches from its middle to its corner.
pub(super) fn rectangle(point: Point, half: Point, corner: f32) -> f32 {
    let x = point.x.abs() - half.x + corner;
    let y = point.y.abs() - half.y + corner;
    Point::new(x.max(0.0), y.max(0.0)).length() + x.max(y).min(0.0) - corner
}

/// Distance to a regular hexagon whose sides lie `radius` from its middle.
pub(super) fn hexagon(point: Point, radius: f32) -> f32 {
    let (x, y) = (point.x.abs(), point.y.abs());
    (0.866_025_4 * x + 0.5 * y).max(y) - radius
}

/// Distance to a line from `from` to `to`.
pub(super) fn segment(point: Point, from: Point, to: Point) -> f32 {
    let (offset, line) = (point - from, to - from);
    let along = (offset.dot(line) / line.dot(line).max(1e-12)).clamp(0.0, 1.0);
    (offset - line * along).length()
}

/// Reflectance of red, green and blue, 0 to 1.
pub(super) type Colour = [f32; 3];

/// Half the width of a crisp border, in sides of the picture: every crisp border of the world, of
/// subjects, of harmless marks and of defects, has this one.
pub(super) const CRISP: f32 = 0.004;

/// What lies at a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texel {
    pub(super) colour: Colour,
    /// In sides of the picture, towards the camera.
    pub(super) height: f32,
    /// Strength of the mirrored light.
    pub(super) gloss: f32,
    /// 1 where the subject is, 0 where the ground is seen.
    pub(super) cover: f32,
}

impl Texel {
    /// Matt material.
    pub(super) fn new(colour: Colour, height: f32) -> Self {
        Self { colour, height, gloss: 0.04, cover: 1.0 }
    }

    pub(super) fn glossy(self, gloss: f32) -> Self {
        Self { gloss, ..self }
    }

    /// Only inside a shape.
    pub(super) fn within(self, distance: f32) -> Self {
        Self { cover: inside(distance, CRISP), ..self }
    }

    /// Every part of the colour times `factor`.
    pub(super) fn shaded(self, factor: f32) -> Self {
        Self { colour: self.colour.map(|part| part * factor), ..self }
    }

    /// This below `share` of `other`; the cover stays.
    pub(super) fn under(self, other: Self, share: f32) -> Self {
        Self {
            colour: blend(self.colour, other.colour, share),
            height: mix(self.height, other.height, share),
            gloss: mix(self.gloss, other.gloss, share),
            cover: self.cover,
        }
    }
}

/// `from` at 0, `to` at 1.
pub(super) fn blend(from: Colour, to: Colour, share: f32) -> Colour {
    std::array::from_fn(|i| mix(from[i], to[i], share))
}

/// A square of texels in two layers: the subject and what lies below it.
#[derive(Clone)]
pub(super) struct Canvas {
    pub(super) side: usize,
    pub(super) subject: Vec<Texel>,
    pub(super) ground: Vec<Texel>,
}

impl Canvas {
    pub(super) fn paint(
        side: usize,
        subject: impl Fn(Point) -> Texel,
        ground: impl Fn(Point) -> Texel,
    ) -> Self {
        let places = || (0..side * side).map(|index| place(index, side));
        Self {
            side,
            subject: places().map(subject).collect(),
            ground: places().map(ground).collect(),
        }
    }

    /// Changes the subject.
    pub(super) fn edit(&mut self, change: impl Fn(Point, &mut Texel)) {
        let side = self.side;
        let texels = self.subject.iter_mut().enumerate();
        texels.for_each(|(index, texel)| change(place(index, side), texel));
    }

    /// Changes subject and ground alike, as a shadow does.
    pub(super) fn edit_all(&mut self, change: impl Fn(Point, &mut Texel)) {
        let side = self.side;
        for layer in [&mut self.subject, &mut self.ground] {
            let texels = layer.iter_mut().enumerate();
            texels.for_each(|(index, texel)| change(place(index, side), texel));
        }
    }

    /// The subject's cover at a point of the picture; 0 outside of it.
    pub(super) fn cover(&self, at: Point) -> f32 {
        let index = |part: f32| {
            let index = (part * self.side as f32).floor();
            (index >= 0.0 && index < self.side as f32).then_some(index as usize)
        };
        let (Some(x), Some(y)) = (index(at.x), index(at.y)) else { return 0.0 };
        self.subject.get(y * self.side + x).map_or(0.0, |texel| texel.cover)
    }
}

/// The middle of a texel; the picture reaches from 0 to 1.
fn place(index: usize, side: usize) -> Point {
    let middle = |index: usize| (index as f32 + 0.5) / side as f32;
    Point::new(middle(index % side), middle(index / side))
}
