//! Pictures inside a page: small, and as text.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, ImageFormat, RgbImage};
use maud::{Markup, Render, html};

use crate::EvalError;

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
