//! Points, distances to shapes, and soft steps. A distance is negative inside its shape; the unit is
//! the picture's side.

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
