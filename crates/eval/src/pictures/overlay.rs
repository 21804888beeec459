//! The map laid over its image: how a person sees where a detector looks and how sure it is.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Rgb, RgbImage};

use super::legend::Legend;
use crate::{EvalError, MapRange, MapView};

/// How much of the image the highest value covers.
const STRONGEST: f32 = 0.85;

/// An image, its map, and what the legend says about them.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    /// The image at its own size.
    pub image: &'a RgbImage,
    /// The map, of any size; it covers the whole image.
    pub map: MapView<'a>,
    /// The values shown as weakest and strongest. The same range makes pictures comparable.
    pub range: MapRange,
    /// What is shown, such as the image's path. Where it is too long its end is kept.
    pub title: &'a str,
    /// The image's anomaly score.
    pub score: f32,
}

/// A map brought to the image's size as fractions of the range.
type Fractions = ImageBuffer<Luma<f32>, Vec<f32>>;

impl Overlay<'_> {
    /// Draws the image at its own size with the map over it and a ring around the map's maximum,
    /// and below it the legend: title, score, maximum, and the colour bar with the ends of the
    /// range.
    ///
    /// The picture is as wide as the image (at least 64 pixels, so that the legend can be read) and
    /// higher by the legend.
    ///
    /// # Errors
    /// [`EvalError::EmptyPicture`] when the image has no pixels.
    pub fn draw(&self) -> Result<RgbImage, EvalError> {
        let (width, height) = self.image.dimensions();
        if width == 0 || height == 0 {
            let what = "image".to_owned();
            let (width, height) = (width as usize, height as usize);
            return Err(EvalError::EmptyPicture { what, width, height });
        }
        let legend = Legend::new(self, width);
        let mut picture =
            RgbImage::from_pixel(legend.width(), height + legend.height(), Legend::BACKGROUND);
        self.draw_image(&mut picture);
        Ring::around_peak(self).draw(&mut picture, self.image.dimensions());
        legend.draw(&mut picture, height);
        Ok(picture)
    }

    fn draw_image(&self, picture: &mut RgbImage) {
        let Self { image, map, range, .. } = *self;
        imageops::replace(picture, &MapOverImage { image, map, range }.draw(), 0, 0);
    }
}

/// A map over its image, and nothing else.
#[derive(Clone, Copy)]
pub(super) struct MapOverImage<'a> {
    pub(super) image: &'a RgbImage,
    pub(super) map: MapView<'a>,
    pub(super) range: MapRange,
}

impl MapOverImage<'_> {
    /// The image at its own size in the map's colours.
    pub(super) fn draw(&self) -> RgbImage {
        let fractions = self.fractions();
        let mut picture = self.image.clone();
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            *pixel = tint(*pixel, fractions.get_pixel(x, y).0[0]);
        }
        picture
    }

    /// The map at the image's size, bilinear.
    fn fractions(&self) -> Fractions {
        let (width, height) = (self.map.width() as u32, self.map.height() as u32);
        let values = self.map.values();
        let small = Fractions::from_fn(width, height, |x, y| {
            Luma([self.range.fraction(values[y as usize * self.map.width() + x as usize])])
        });
        imageops::resize(&small, self.image.width(), self.image.height(), FilterType::Triangle)
    }
}

/// `pixel` under the colour of `fraction`: the higher, the stronger; where nothing is found the
/// image stays as it is.
pub(crate) fn tint(pixel: Rgb<u8>, fraction: f32) -> Rgb<u8> {
    let Rgb([red, green, blue]) = heat(fraction);
    let strength = STRONGEST * fraction.clamp(0.0, 1.0);
    let mix = |under: u8, over: u8| {
        (f32::from(under) * (1.0 - strength) + f32::from(over) * strength).round() as u8
    };
    let Rgb([r, g, b]) = pixel;
    Rgb([mix(r, red), mix(g, green), mix(b, blue)])
}

/// The colour of `fraction`, from 0 to 1.
pub(crate) fn heat(fraction: f32) -> Rgb<u8> {
    let colour = colorous::TURBO.eval_continuous(f64::from(fraction.clamp(0.0, 1.0)));
    Rgb([colour.r, colour.g, colour.b])
}

/// A thin white ring with dark edges, seen on any colour.
struct Ring {
    x: f32,
    y: f32,
    radius: f32,
    thickness: f32,
}

impl Ring {
    fn around_peak(overlay: &Overlay<'_>) -> Self {
        let (width, height) = (overlay.image.width() as f32, overlay.image.height() as f32);
        let peak = overlay.map.peak();
        let thickness = (width.max(height) / 400.0).max(1.0);
        Self {
            x: (peak.x as f32 + 0.5) * width / overlay.map.width() as f32,
            y: (peak.y as f32 + 0.5) * height / overlay.map.height() as f32,
            radius: (width.min(height) / 25.0).max(4.0 * thickness),
            thickness,
        }
    }

    /// Draws into the upper left `size` of the picture.
    fn draw(&self, picture: &mut RgbImage, size: (u32, u32)) {
        let reach = self.radius + 2.0 * self.thickness;
        let columns = (self.x - reach).max(0.0) as u32..size.0.min((self.x + reach) as u32 + 1);
        let rows = (self.y - reach).max(0.0) as u32..size.1.min((self.y + reach) as u32 + 1);
        for y in rows {
            for x in columns.clone() {
                self.draw_pixel(picture, x, y);
            }
        }
    }

    fn draw_pixel(&self, picture: &mut RgbImage, x: u32, y: u32) {
        let distance = (x as f32 + 0.5 - self.x).hypot(y as f32 + 0.5 - self.y);
        let off = (distance - self.radius).abs() / self.thickness;
        if off <= 0.6 {
            picture.put_pixel(x, y, Rgb([255; 3]));
        } else if off <= 1.5 {
            picture.put_pixel(x, y, Rgb([0; 3]));
        }
    }
}
