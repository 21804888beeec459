//! A subject in its place: how it is turned, how large it is, and what it lies on.

use super::category::{Category, Stance};
use super::chance::Chance;
use super::noise::Noise;
use super::shape::Point;
use super::subject::{self, Alteration, Subject};
use super::texel::{Canvas, Colour, Texel};

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
        Self { subject: subject::draw(category, chance), pose, ground }
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
    fn draw(stance: Stance, chance: &mut Chance) -> Self {
        match stance {
            Stance::Surface => Self {
                angle: chance.between(-0.3, 0.3),
                scale: chance.between(0.85, 1.25),
                shift: chance.point(0.1),
            },
            Stance::Object => Self {
                angle: chance.angle(),
                scale: chance.between(0.85, 1.1),
                shift: chance.point(0.05),
            },
            Stance::Upright => Self {
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
            (_, Stance::Surface) => chance.colour([[0.14, 0.14, 0.14], [0.24, 0.21, 0.18]]),
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
