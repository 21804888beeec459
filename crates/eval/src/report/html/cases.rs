//! Single images as a detector saw them: the picture, the truth, the map, and the map over the
//! picture. They stand inside a page, small, and as text.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{GrayImage, ImageBuffer, ImageFormat, Luma, RgbImage};
use maud::{Markup, Render, html};

use crate::pictures::{heat, tint};
use crate::{EvalError, MapRange, MapView};

/// Longer side of a thumbnail, in pixels: twice what a page shows of it.
const SIDE: u32 = 192;

/// Images side by side under a heading.
#[derive(Clone, Debug)]
pub struct Cases {
    /// What they have in common.
    pub title: String,
    /// One for each image.
    pub cases: Vec<Case>,
}

/// One image.
#[derive(Clone, Debug)]
pub struct Case {
    text: String,
    photo: Picture,
    kind: String,
    truth: Result<Picture, String>,
    map: Picture,
    overlay: Picture,
}

/// What a case is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct CaseInput<'a> {
    /// Why it is shown, in two or three words.
    pub kind: &'a str,
    /// What it is, in a few words; part of every picture's description.
    pub text: &'a str,
    /// The image at its own size.
    pub image: &'a RgbImage,
    /// The map, of any size; it covers the whole image.
    pub map: MapView<'a>,
    /// As large as the map, `true` where anomalous; `None` where there is no mask.
    pub mask: Option<&'a [bool]>,
    /// What stands in the place of a mask that is not there.
    pub without_mask: &'a str,
    /// The values shown as weakest and strongest.
    pub range: MapRange,
}

impl Case {
    /// Draws the four pictures.
    ///
    /// # Errors
    /// [`EvalError::EmptyPicture`] when the image has no pixels.
    pub fn draw(input: &CaseInput<'_>) -> Result<Self, EvalError> {
        let (width, height) = thumbnail(input.image.dimensions());
        let photo = imageops::resize(input.image, width, height, FilterType::Triangle);
        let fractions = input.fractions(width, height);
        let fraction = |x, y| fractions.get_pixel(x, y).0[0];
        let map = RgbImage::from_fn(width, height, |x, y| heat(fraction(x, y)));
        let overlay =
            RgbImage::from_fn(width, height, |x, y| tint(*photo.get_pixel(x, y), fraction(x, y)));
        let alt = |what: &str| format!("{what}: {}", input.text);
        Ok(Self {
            text: input.text.to_owned(),
            kind: input.kind.to_owned(),
            truth: match input.truth(width, height) {
                Some(mask) => Ok(Picture::mask(&mask, alt("Mask"))?),
                None => Err(input.without_mask.to_owned()),
            },
            photo: Picture::photo(&photo, alt("Picture"))?,
            map: Picture::photo(&map, alt("Anomaly map"))?,
            overlay: Picture::photo(&overlay, alt("Map over the picture"))?,
        })
    }
}

impl CaseInput<'_> {
    fn fractions(&self, width: u32, height: u32) -> ImageBuffer<Luma<f32>, Vec<f32>> {
        let (columns, values) = (self.map.width(), self.map.values());
        let whole = ImageBuffer::from_fn(columns as u32, self.map.height() as u32, |x, y| {
            Luma([self.range.fraction(values[y as usize * columns + x as usize])])
        });
        imageops::resize(&whole, width, height, FilterType::Triangle)
    }

    /// White where anomalous.
    fn truth(&self, width: u32, height: u32) -> Option<GrayImage> {
        let mask = self.mask.filter(|mask| mask.len() == self.map.values().len())?;
        let columns = self.map.width();
        let whole = GrayImage::from_fn(columns as u32, self.map.height() as u32, |x, y| {
            let marked = mask[y as usize * columns + x as usize];
            Luma([if marked { 255 } else { 0 }])
        });
        let mut small = imageops::resize(&whole, width, height, FilterType::Triangle);
        // Small regions would be lost to a nearest neighbour; a tenth of a pixel still shows.
        small.pixels_mut().for_each(|Luma([grey])| *grey = if *grey > 25 { 255 } else { 0 });
        Some(small)
    }
}

/// The sides of a thumbnail of a picture; at least a pixel each.
fn thumbnail((width, height): (u32, u32)) -> (u32, u32) {
    let longer = width.max(height).max(1);
    let side =
        |pixels: u32| (u64::from(pixels) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
    (side(width), side(height))
}

impl Render for Cases {
    fn render(&self) -> Markup {
        html! {
            @if !self.cases.is_empty() {
                h3 { (self.title) }
                div.cases { @for case in &self.cases { (case) } }
            }
        }
    }
}

impl Render for Case {
    fn render(&self) -> Markup {
        html! {
            div.case {
                p { strong { (self.kind) } " " (self.text) }
                div.views {
                    figure { (self.photo) figcaption { "picture" } }
                    figure {
                        @match &self.truth {
                            Ok(truth) => (truth),
                            Err(why) => div.nothing { (why) },
                        }
                        figcaption { "truth" }
                    }
                    figure { (self.map) figcaption { "map" } }
                    figure { (self.overlay) figcaption { "overlay" } }
                }
            }
        }
    }
}

/// JPEG's quality: what a thumbnail of this size needs.
const QUALITY: u8 = 78;

/// A picture that is part of the page.
#[derive(Clone, Debug)]
pub struct Picture {
    width: u32,
    height: u32,
    source: String,
    alt: String,
}

impl Picture {
    /// A photo, as JPEG. `alt` is what a reader who cannot see it should know.
    ///
    /// # Errors
    /// [`EvalError::EmptyPicture`] without pixels, or where there are too many for the format.
    pub fn photo(picture: &RgbImage, alt: impl Into<String>) -> Result<Self, EvalError> {
        let mut bytes = Vec::new();
        let encoded = JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(picture);
        let (width, height) = picture.dimensions();
        encoded.map_err(|_| unusable(width, height))?;
        Ok(Self::new(width, height, "jpeg", &bytes, alt.into()))
    }

    /// A mask, as PNG: few bytes, sharp edges.
    ///
    /// # Errors
    /// As [`Picture::photo`].
    pub fn mask(picture: &GrayImage, alt: impl Into<String>) -> Result<Self, EvalError> {
        let mut bytes = Cursor::new(Vec::new());
        let (width, height) = picture.dimensions();
        let encoded = picture.write_to(&mut bytes, ImageFormat::Png);
        encoded.map_err(|_| unusable(width, height))?;
        Ok(Self::new(width, height, "png", bytes.get_ref(), alt.into()))
    }

    fn new(width: u32, height: u32, format: &str, bytes: &[u8], alt: String) -> Self {
        let source = format!("data:image/{format};base64,{}", STANDARD.encode(bytes));
        Self { width, height, source, alt }
    }
}

impl Render for Picture {
    fn render(&self) -> Markup {
        html! {
            img src=(self.source) alt=(self.alt) width=(self.width) height=(self.height) decoding="async";
        }
    }
}

fn unusable(width: u32, height: u32) -> EvalError {
    let (width, height) = (width as usize, height as usize);
    EvalError::EmptyPicture { what: "thumbnail".into(), width, height }
}
