//! What a scene is made of before light falls on it: colour, height, gloss, and where the subject is.

use super::shape::{Point, inside, mix};

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
