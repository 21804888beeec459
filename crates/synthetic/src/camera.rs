//! Light and camera: from a canvas to a picture. A defect changes the canvas before this, so it is lit,
//! blurred and made noisy as everything else.

use image::{Rgb, RgbImage};

use crate::canvas::{Canvas, Colour, Point, Texel, mix};
use crate::chance::{Chance, Noise};

/// Texels along each side of a pixel.
pub(super) const TEXELS: usize = 2;

/// The steepest slope that is shaded: a vertical wall is no darker.
const STEEPEST: f32 = 1.6;

/// Where the light comes from and how the camera sees.
#[derive(Clone, Debug)]
pub(super) struct Camera {
    /// Unit vector to the light.
    light: [f32; 3],
    ambient: f32,
    /// By how much one side of the picture is brighter than the other.
    falloff: Point,
    /// Exposure and white balance.
    gain: Colour,
    /// Standard deviation in pixels.
    blur: f32,
    /// Standard deviation in shares of white.
    noise: f32,
    grain: [Noise; 3],
    film: Film,
}

/// Whether a camera sees colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Film {
    Colour,
    Grey,
}

/// What falls on the sensor: `[size, size]` colours without noise, 0 to 1.
pub(super) struct Exposure {
    pub(super) size: usize,
    pub(super) pixels: Vec<Colour>,
}

impl Camera {
    pub(super) fn draw(film: Film, chance: &mut Chance) -> Self {
        let (azimuth, elevation) = (chance.angle(), chance.between(0.7, 1.15));
        let flat = Point::polar(azimuth, elevation.cos());
        let exposure = chance.between(0.72, 1.12);
        Self {
            light: [flat.x, flat.y, elevation.sin()],
            ambient: chance.between(0.35, 0.6),
            falloff: chance.point(0.3),
            gain: std::array::from_fn(|_| exposure * chance.between(0.93, 1.07)),
            blur: chance.between(0.45, 0.85),
            noise: chance.between(0.006, 0.024),
            grain: std::array::from_fn(|_| chance.noise()),
            film,
        }
    }

    /// Lights the canvas, blurs it and gathers its texels to pixels.
    pub(super) fn expose(&self, canvas: &Canvas) -> Exposure {
        let merged = self.merge(canvas);
        let lit = self.light_all(&merged, canvas.side);
        let blurred = blur(&lit, canvas.side, self.blur * TEXELS as f32);
        gather(&blurred, canvas.side)
    }

    /// The picture: the sensor's noise, then 8 bits.
    pub(super) fn develop(&self, exposure: &Exposure) -> RgbImage {
        let size = exposure.size;
        RgbImage::from_fn(size as u32, size as u32, |x, y| {
            let light = exposure.pixels[y as usize * size + x as usize];
            // The sum of four even chances is close to a normal one of variance 1/3.
            let grain = |noise: &Noise| {
                let draw = |i: i32| noise.hash(x as i32 * 4 + i, y as i32);
                (0..4).map(draw).sum::<f32>() - 2.0
            };
            let noisy = |i: usize| {
                let deviation = self.noise * (0.6 + 0.8 * light[i]).sqrt();
                let grain = grain(&self.grain[if self.film == Film::Grey { 0 } else { i }]);
                ((light[i] + deviation * 3_f32.sqrt() * grain) * 255.0).round().clamp(0.0, 255.0)
            };
            Rgb(std::array::from_fn(|i| noisy(i) as u8))
        })
    }

    /// The subject on its ground, with the shadow that it casts.
    fn merge(&self, canvas: &Canvas) -> Vec<Texel> {
        let side = canvas.side;
        let merge = |index: usize| {
            let (subject, ground) = (canvas.subject[index], canvas.ground[index]);
            if subject.cover >= 1.0 {
                return subject;
            }
            let shadow = self.shadow(canvas, index % side, index / side);
            ground.shaded(1.0 - 0.4 * shadow).under(subject, subject.cover)
        };
        (0..side * side).map(merge).collect()
    }

    /// How much of the light the subject keeps from a point of the ground.
    fn shadow(&self, canvas: &Canvas, x: usize, y: usize) -> f32 {
        let side = canvas.side as isize;
        let taken = |step: isize| {
            let reach = 0.012 * step as f32 * side as f32;
            let x = x as isize + (self.light[0] * reach).round() as isize;
            let y = y as isize + (self.light[1] * reach).round() as isize;
            let within = (0..side).contains(&x) && (0..side).contains(&y);
            if within { canvas.subject[(y * side + x) as usize].cover } else { 0.0 }
        };
        (1..=4).map(taken).sum::<f32>() / 4.0
    }

    fn light_all(&self, texels: &[Texel], side: usize) -> Vec<Colour> {
        let height = |x: usize, y: usize| texels[y.min(side - 1) * side + x.min(side - 1)].height;
        let slope = |before: f32, behind: f32| {
            ((before - behind) * side as f32 / 2.0).clamp(-STEEPEST, STEEPEST)
        };
        let light = |index: usize| {
            let (x, y) = (index % side, index / side);
            let right = slope(height(x.saturating_sub(1), y), height(x + 1, y));
            let down = slope(height(x, y.saturating_sub(1)), height(x, y + 1));
            let at = Point::new(x as f32, y as f32) * (1.0 / side as f32) - Point::new(0.5, 0.5);
            self.light_one(&texels[index], [right, down], at)
        };
        (0..side * side).map(light).collect()
    }

    /// Lambert's law, a highlight, and a shoulder that keeps white from being cut off.
    fn light_one(&self, texel: &Texel, normal: [f32; 2], at: Point) -> Colour {
        let [right, down] = normal;
        let length = (right * right + down * down + 1.0).sqrt();
        let [lx, ly, lz] = self.light;
        let facing = ((right * lx + down * ly + lz) / length).max(0.0);
        let diffuse = mix(facing / lz, 1.0, self.ambient);
        // Half way between the light and the camera, which looks straight down.
        let half = (2.0 + 2.0 * lz).sqrt();
        let mirrored = (right * lx + down * ly + lz + 1.0) / (half * length);
        let highlight = texel.gloss * mirrored.max(0.0).powi(24);
        let falloff = 1.0 + self.falloff.x * at.x + self.falloff.y * at.y;
        let colour = std::array::from_fn(|i| {
            let light = (texel.colour[i] * diffuse + highlight) * falloff * self.gain[i];
            shoulder(light)
        });
        match self.film {
            Film::Colour => colour,
            Film::Grey => [0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]; 3],
        }
    }
}

/// Bends what is brighter than 0.75 towards 0.97, and what is darker than 0.04 up to it.
fn shoulder(light: f32) -> f32 {
    let lifted = 0.04 + 0.96 * light;
    let over = (lifted - 0.75).max(0.0);
    lifted.min(0.75) + 0.22 * (1.0 - (-over / 0.22).exp())
}

/// A Gaussian in both directions; outside, the border goes on.
fn blur(pixels: &[Colour], side: usize, deviation: f32) -> Vec<Colour> {
    let reach = (deviation * 3.0).ceil() as isize;
    let weights: Vec<f32> =
        (-reach..=reach).map(|i| (-0.5 * (i as f32 / deviation).powi(2)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let along = |from: &[Colour], index: fn(usize, usize, usize) -> usize| {
        let mut to = vec![[0.0; 3]; from.len()];
        for (line, place) in (0..side).flat_map(|line| (0..side).map(move |place| (line, place))) {
            let mut sum = [0.0; 3];
            for (weight, offset) in weights.iter().zip(-reach..=reach) {
                let at = (place as isize + offset).clamp(0, side as isize - 1) as usize;
                let pixel = from[index(line, at, side)];
                (0..3).for_each(|i| sum[i] += weight * pixel[i]);
            }
            to[index(line, place, side)] = sum.map(|part| part / total);
        }
        to
    };
    let rows = along(pixels, |line, place, side| line * side + place);
    along(&rows, |line, place, side| place * side + line)
}

/// The mean of the texels of each pixel.
fn gather(texels: &[Colour], side: usize) -> Exposure {
    let size = side / TEXELS;
    let pixel = |index: usize| {
        let (left, top) = (index % size * TEXELS, index / size * TEXELS);
        let mut sum = [0.0; 3];
        for y in top..top + TEXELS {
            for texel in &texels[y * side + left..y * side + left + TEXELS] {
                (0..3).for_each(|i| sum[i] += texel[i]);
            }
        }
        sum.map(|part| part / (TEXELS * TEXELS) as f32)
    };
    Exposure { size, pixels: (0..size * size).map(pixel).collect() }
}
