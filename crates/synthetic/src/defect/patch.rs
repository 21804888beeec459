//! Defects that are patches: stains, holes, dents, dirt, swellings.

use crate::canvas::{CRISP, Canvas, Colour, Point, bell, blend, inside, step};
use crate::category::Category;
use crate::chance::{Chance, Noise};

/// A round, uneven shape.
#[derive(Clone, Copy)]
struct Blob {
    at: Point,
    angle: f32,
    radius: f32,
    /// Width over length.
    slim: f32,
    outline: Noise,
    /// How uneven the outline is.
    rough: f32,
}

impl Blob {
    fn draw(at: Point, radius: f32, rough: f32, chance: &mut Chance) -> Self {
        let (angle, slim) = (chance.angle(), chance.between(0.65, 1.0));
        Self { at, angle, radius, slim, outline: chance.noise(), rough }
    }

    /// Distance to the outline, negative inside.
    fn distance(&self, at: Point) -> f32 {
        let own = (at - self.at).rotated(-self.angle).stretched(1.0, 1.0 / self.slim);
        let uneven = self.outline.fractal((at - self.at) * (0.9 / self.radius), 3);
        own.length() - self.radius * (1.0 + self.rough * uneven)
    }
}

/// A patch that took up something, often with a darker rim.
pub(super) fn stain(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let radius = chance.between(0.06, 0.12);
    let blob = Blob::draw(at, radius, 0.7, chance);
    let inks = [[0.50, 0.40, 0.26], [0.24, 0.22, 0.22], [0.30, 0.34, 0.46], [0.52, 0.34, 0.24]];
    let (ink, amount) = (chance.colour(inks), chance.between(0.45, 0.8));
    let rim = chance.between(0.0, 0.35);
    canvas.edit(|at, texel| {
        let distance = blob.distance(at);
        let soaked = inside(distance, 0.012);
        let tinted: Colour = std::array::from_fn(|i| texel.colour[i] * (0.25 + 0.9 * ink[i]));
        let dark = 1.0 - rim * bell(distance + 0.008, 0.016);
        texel.colour = blend(texel.colour, tinted.map(|part| part * dark), soaked * amount);
    });
}

/// Gone, with a torn rim; below is the ground in its own shadow.
pub(super) fn hole(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let radius = chance.between(0.045, 0.09);
    let blob = Blob::draw(at, radius, 0.55, chance);
    let lip = chance.between(0.002, 0.007);
    canvas.edit(|at, texel| {
        let distance = blob.distance(at);
        texel.cover *= 1.0 - inside(distance, CRISP);
        texel.height += lip * bell(distance, 0.02);
    });
}

/// Pushed in; only light and shade show it.
pub(super) fn dent(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let radius = chance.between(0.07, 0.12);
    let blob = Blob::draw(at, radius, 0.05, chance);
    let depth = radius * chance.between(0.45, 0.7);
    canvas.edit(|at, texel| {
        let within = inside(blob.distance(at), radius * 0.8);
        texel.height -= depth * within;
    });
}

/// Another hue, with a soft border.
pub(super) fn discolour(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let radius = chance.between(0.08, 0.14);
    let blob = Blob::draw(at, radius, 0.6, chance);
    let tints = [[1.5, 1.45, 1.25], [1.3, 1.0, 0.62], [0.7, 1.05, 0.8], [0.65, 0.8, 1.3]];
    let tint = chance.pick(tints);
    canvas.edit(|at, texel| {
        let share = inside(blob.distance(at), 0.03);
        let other: Colour = std::array::from_fn(|i| (texel.colour[i] * tint[i]).min(0.85));
        texel.colour = blend(texel.colour, other, share);
    });
}

/// A handful of crumbs, or one curl of hair.
pub(super) fn contaminate(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let colour = chance.colour([[0.14, 0.13, 0.12], [0.66, 0.64, 0.58], [0.46, 0.26, 0.14]]);
    let crumbs: Vec<Blob> = (0..4 + chance.below(6))
        .map(|_| {
            let at = at + chance.point(0.08);
            let radius = chance.between(0.012, 0.028);
            Blob::draw(at, radius, 0.6, chance)
        })
        .collect();
    canvas.edit(|at, texel| {
        let distance = crumbs.iter().map(|crumb| crumb.distance(at)).fold(f32::MAX, f32::min);
        texel.colour = blend(texel.colour, colour, inside(distance, CRISP));
        texel.height += 0.012 * step(0.0, -0.02, distance);
    });
}

/// A piece broken off the border; the break is rough and a little lighter.
pub(super) fn chip(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let radius = chance.between(0.055, 0.09);
    let blob = Blob::draw(at, radius, 0.5, chance);
    let light = chance.between(1.1, 1.35);
    canvas.edit(|at, texel| {
        let distance = blob.distance(at);
        let broken = inside(distance - 0.014, CRISP);
        let bared = texel.colour.map(|part| (part * light).min(0.85));
        texel.colour = blend(texel.colour, bared, broken);
        texel.height -= 0.02 * broken;
        texel.cover *= 1.0 - inside(distance, CRISP);
    });
}

/// Tissue that swells: raised and paler in a photograph, lighter in a scan.
pub(super) fn grow(canvas: &mut Canvas, category: Category, at: Point, chance: &mut Chance) {
    let radius = chance.between(0.055, 0.1);
    let blob = Blob::draw(at, radius, 0.35, chance);
    let (pale, rise) = match category {
        Category::BrainScan => (chance.between(1.3, 1.6), 0.0),
        _ => (chance.between(1.05, 1.25), radius * 0.5),
    };
    let vein = Noise::new(7);
    canvas.edit(|at, texel| {
        let distance = blob.distance(at);
        let within = inside(distance, 0.012);
        let dome = step(0.01, -radius, distance).sqrt();
        let mottled = pale * (1.0 + 0.15 * vein.fractal((at - blob.at) * 24.0, 2));
        let swollen = texel.colour.map(|part| (part * mottled).min(0.85));
        texel.colour = blend(texel.colour, swollen, within);
        texel.height += rise * dome;
    });
}

/// Several patches of blood close to each other.
pub(super) fn bleed(canvas: &mut Canvas, at: Point, chance: &mut Chance) {
    let drops: Vec<Blob> = (0..2 + chance.below(4))
        .map(|_| {
            let at = at + chance.point(0.07);
            let radius = chance.between(0.022, 0.05);
            Blob::draw(at, radius, 0.8, chance)
        })
        .collect();
    let blood = chance.colour([[0.72, 0.70, 0.70], [0.14, 0.13, 0.13]]);
    canvas.edit(|at, texel| {
        let distance = drops.iter().map(|drop| drop.distance(at)).fold(f32::MAX, f32::min);
        texel.colour = blend(texel.colour, blood, 0.85 * inside(distance, 0.008));
    });
}
