//! From the samples of a file to bytes: 16 bits to 8, and how many of the 16 a camera filled.

use std::fmt;
use std::str::FromStr;

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Pixel, Rgb, Rgba};
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// Depths of cameras; the least that holds a picture's values is the one to ask about.
const DEPTHS: [u8; 5] = [8, 10, 12, 14, 15];

/// How many bits of the samples of a 16-bit file hold the picture, from the lowest: 8 to 16.
///
/// Cameras of 10, 12 and 14 bits often leave the upper bits of a 16-bit file empty, and no file says so.
/// Files of 8 bits, and those that say their bits, are read as they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct SampleBits(u8);

impl SampleBits {
    /// So many bits.
    ///
    /// # Errors
    /// [`DataError::Setting`] unless there are 8 to 16.
    pub fn new(bits: u8) -> Result<Self, DataError> {
        match bits {
            8..=16 => Ok(Self(bits)),
            _ => Err(DataError::setting("bits", bits, "use 8 to 16")),
        }
    }

    /// Whether they are all 16 there are, as where nobody says how many.
    pub fn is_all(self) -> bool {
        self.largest() == u16::MAX
    }

    /// The largest value of a sample.
    pub fn largest(self) -> u16 {
        u16::MAX >> (16 - self.0)
    }

    /// The upper 8 of them.
    fn upper_byte(self, value: u16) -> u8 {
        (value >> (self.0 - 8)).min(0xFF) as u8
    }
}

impl fmt::Display for SampleBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SampleBits> for u8 {
    fn from(bits: SampleBits) -> Self {
        bits.0
    }
}

impl TryFrom<u8> for SampleBits {
    type Error = DataError;

    fn try_from(bits: u8) -> Result<Self, DataError> {
        Self::new(bits)
    }
}

impl FromStr for SampleBits {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let refuse = || DataError::setting("bits", text, "use 8 to 16");
        text.parse().map_err(|_| refuse()).and_then(Self::new)
    }
}

/// The bits that a 16-bit picture may have meant when its upper ones are never used: those that its file
/// claims, if they hold its values, else those of a camera. `None` when it uses the uppermost, is all
/// black, or has no 16 bits.
pub(super) fn suspected(picture: &DynamicImage, claimed: Option<u8>) -> Option<SampleBits> {
    let largest = largest_sample(picture).filter(|largest| *largest > 0)?;
    let used = 16 - largest.leading_zeros() as u8;
    let claimed = claimed.filter(|claimed| (used..16).contains(claimed));
    let depth = claimed.or_else(|| DEPTHS.into_iter().find(|depth| *depth >= used))?;
    SampleBits::new(depth).ok()
}

/// The largest value of a 16-bit picture, its alpha left aside.
pub(super) fn largest_sample(picture: &DynamicImage) -> Option<u16> {
    let of_each = |samples: &[u16], each: usize| {
        let colours = samples.chunks_exact(each).flat_map(|pixel| &pixel[..each - 1]);
        colours.max().copied()
    };
    match picture {
        DynamicImage::ImageLuma16(b) => b.as_raw().iter().max().copied(),
        DynamicImage::ImageRgb16(b) => b.as_raw().iter().max().copied(),
        DynamicImage::ImageLumaA16(b) => of_each(b.as_raw(), 2),
        DynamicImage::ImageRgba16(b) => of_each(b.as_raw(), 4),
        _ => None,
    }
}

/// Brings the samples of a picture to 8 bits: their upper byte, or that of the lower `bits`.
pub(super) fn to_8_bit(picture: DynamicImage, bits: Option<SampleBits>) -> Option<DynamicImage> {
    reduced(picture, |value| bits.map_or((value >> 8) as u8, |bits| bits.upper_byte(value)))
}

/// The same for a mask, in which a value that is not zero stays so: label masks hold small numbers.
pub(super) fn mask_to_8_bit(picture: DynamicImage) -> Option<DynamicImage> {
    reduced(picture, |value| ((value >> 8) as u8).max(u8::from(value != 0)))
}

/// `None` for floating-point samples.
fn reduced(picture: DynamicImage, reduce: impl Fn(u16) -> u8) -> Option<DynamicImage> {
    use DynamicImage as D;
    match picture {
        D::ImageLuma16(b) => samples::<_, Luma<u8>>(&b, reduce).map(D::ImageLuma8),
        D::ImageLumaA16(b) => samples::<_, LumaA<u8>>(&b, reduce).map(D::ImageLumaA8),
        D::ImageRgb16(b) => samples::<_, Rgb<u8>>(&b, reduce).map(D::ImageRgb8),
        D::ImageRgba16(b) => samples::<_, Rgba<u8>>(&b, reduce).map(D::ImageRgba8),
        D::ImageRgb32F(_) | D::ImageRgba32F(_) => None,
        eight_bit => Some(eight_bit),
    }
}

fn samples<P, Q>(
    picture: &ImageBuffer<P, Vec<u16>>,
    reduce: impl Fn(u16) -> u8,
) -> Option<ImageBuffer<Q, Vec<u8>>>
where
    P: Pixel<Subpixel = u16>,
    Q: Pixel<Subpixel = u8>,
{
    let samples = picture.as_raw().iter().map(|value| reduce(*value)).collect();
    ImageBuffer::from_raw(picture.width(), picture.height(), samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(values: &[u16]) -> DynamicImage {
        let picture = ImageBuffer::from_raw(values.len() as u32, 1, values.to_vec());
        DynamicImage::ImageLuma16(picture.unwrap())
    }

    #[test]
    fn the_depth_of_a_camera_is_suspected_where_upper_bits_are_never_used() {
        let suspected = |largest, claimed| {
            let bits = suspected(&grey(&[0, largest]), claimed);
            bits.map(u8::from)
        };
        for (largest, bits) in [
            (1, Some(8)),
            (255, Some(8)),
            (256, Some(10)),
            (1023, Some(10)),
            (1024, Some(12)),
            (4095, Some(12)),
            (16_383, Some(14)),
            (32_767, Some(15)),
            (32_768, None),
            (65_535, None),
            (0, None),
        ] {
            assert_eq!(suspected(largest, None), bits, "{largest}");
        }
        assert_eq!(suspected(900, Some(12)), Some(12), "claimed");
        assert_eq!(suspected(5000, Some(12)), Some(14), "claimed, and exceeded");
        assert_eq!(suspected(900, Some(16)), Some(10));
    }

    #[test]
    fn alpha_is_no_value_of_the_picture() {
        let picture = ImageBuffer::from_raw(1, 1, vec![9_u16, 8, 7, 65_535]).unwrap();
        assert_eq!(largest_sample(&DynamicImage::ImageRgba16(picture)), Some(9));
        let picture = ImageBuffer::from_raw(1, 1, vec![9_u16, 65_535]).unwrap();
        assert_eq!(largest_sample(&DynamicImage::ImageLumaA16(picture)), Some(9));
    }

    #[test]
    fn bits_are_counted_from_the_lowest() {
        let bytes = |bits: Option<u8>, values: &[u16]| {
            let bits = bits.map(|bits| SampleBits::new(bits).unwrap());
            to_8_bit(grey(values), bits).unwrap().into_bytes()
        };
        assert_eq!(bytes(None, &[0x1234, 255]), [0x12, 0]);
        assert_eq!(bytes(Some(16), &[0x1234, 255]), [0x12, 0]);
        assert_eq!(bytes(Some(12), &[0xFFF, 0xABC]), [0xFF, 0xAB]);
        assert_eq!(bytes(Some(10), &[0x3FF, 4]), [0xFF, 1]);
        assert_eq!(bytes(Some(8), &[255, 7]), [255, 7]);
        for bits in ["7", "17", "many", "-1"] {
            let error = bits.parse::<SampleBits>().unwrap_err().to_string();
            assert_eq!(error, format!("bits = {bits}: use 8 to 16"));
        }
    }
}
