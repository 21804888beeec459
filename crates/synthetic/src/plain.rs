//! A small made-up dataset in MVTec layout: two surfaces, two kinds of defects, masks that are exact.
//!
//! It exists so that every command runs on a machine that holds no dataset. It is no benchmark: its
//! defects are easy for anything that looks at contrast.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use moeclip_data::DataError;

/// What the pictures show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Crossing threads.
    Weave,
    /// Grains of light and dark.
    Speckle,
}

/// What is wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    Scratch,
    Stain,
}

/// A set of pictures of one surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticSet {
    /// What they show.
    pub surface: Surface,
    /// Side of the square pictures in pixels.
    pub size: u32,
    /// Pictures without a defect, and of each kind of defect.
    pub per_kind: usize,
    /// Decides every pixel.
    pub seed: u64,
}

impl Surface {
    /// The class as its folder is called.
    pub fn class(self) -> &'static str {
        match self {
            Surface::Weave => "weave",
            Surface::Speckle => "speckle",
        }
    }

    fn brightness(self, x: u32, y: u32, rng: &mut impl Rng) -> f32 {
        let noise = rng.random_range(-0.05..0.05);
        let wave = |at: u32, period: f32| (at as f32 * std::f32::consts::TAU / period).sin();
        match self {
            Surface::Weave => 0.5 + 0.12 * wave(x, 9.0) + 0.12 * wave(y, 7.0) + noise,
            Surface::Speckle => 0.55 + 4.0 * noise * noise.abs().sqrt(),
        }
    }
}

impl Defect {
    const ALL: [Defect; 2] = [Defect::Scratch, Defect::Stain];

    fn folder(self) -> &'static str {
        match self {
            Defect::Scratch => "scratch",
            Defect::Stain => "stain",
        }
    }

    /// Marks the pixels of one such defect at a random place.
    fn draw(self, mask: &mut GrayImage, rng: &mut impl Rng) {
        let size = mask.width() as f32;
        let middle = [rng.random_range(0.3..0.7) * size, rng.random_range(0.3..0.7) * size];
        let angle: f32 = rng.random_range(0.0..std::f32::consts::TAU);
        let (length, breadth) = match self {
            Defect::Scratch => (rng.random_range(0.15..0.3) * size, 0.015 * size),
            Defect::Stain => {
                let radius = rng.random_range(0.06..0.13) * size;
                (radius, radius * rng.random_range(0.6..1.0))
            }
        };
        for (x, y, pixel) in mask.enumerate_pixels_mut() {
            let (dx, dy) = (x as f32 - middle[0], y as f32 - middle[1]);
            let along = (dx * angle.cos() + dy * angle.sin()) / length;
            let across = (dy * angle.cos() - dx * angle.sin()) / breadth;
            if along * along + across * across <= 1.0 {
                *pixel = Luma([255]);
            }
        }
    }
}

/// Writes the set under `root`: `CLASS/test/KIND/NNN.png` and `CLASS/ground_truth/KIND/NNN_mask.png`.
///
/// # Errors
///
/// [`DataError`] when a picture cannot be written.
pub fn write_synthetic(root: &Path, set: &SyntheticSet) -> Result<(), DataError> {
    let mut rng = ChaCha8Rng::seed_from_u64(set.seed);
    let class = root.join(set.surface.class());
    for index in 0..set.per_kind {
        let name = format!("{index:03}.png");
        let clean = GrayImage::new(set.size, set.size);
        save(&paint(set, &clean, &mut rng), &class.join("test").join("good").join(&name))?;
        for defect in Defect::ALL {
            let mut mask = clean.clone();
            defect.draw(&mut mask, &mut rng);
            let folder = defect.folder();
            save(&paint(set, &mask, &mut rng), &class.join("test").join(folder).join(&name))?;
            let mask_name = format!("{index:03}_mask.png");
            save(&mask, &class.join("ground_truth").join(folder).join(mask_name))?;
        }
    }
    Ok(())
}

/// The surface, darker or brighter where the mask says so.
fn paint(set: &SyntheticSet, mask: &GrayImage, rng: &mut impl Rng) -> RgbImage {
    let tint: [f32; 3] = std::array::from_fn(|_| rng.random_range(0.85..1.0));
    let contrast = if rng.random_bool(0.5) { 0.5 } else { 1.5 };
    RgbImage::from_fn(set.size, set.size, |x, y| {
        let light = set.surface.brightness(x, y, rng);
        let light = if mask.get_pixel(x, y).0[0] > 0 { light * contrast } else { light };
        Rgb(tint.map(|part| (light * part * 255.0).clamp(0.0, 255.0) as u8))
    })
}

fn save<P, C>(picture: &image::ImageBuffer<P, C>, path: &Path) -> Result<(), DataError>
where
    P: image::Pixel<Subpixel = u8> + image::PixelWithColorType,
    C: std::ops::Deref<Target = [u8]>,
{
    let failed = |reason: String| DataError::Write { path: path.into(), reason };
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    picture.save(path).map_err(|error| failed(error.to_string()))
}
