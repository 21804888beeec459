//! What a file of pictures says beside its pixels: its format, how many pictures are in it, and whether
//! they were stored with loss.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, ImageDecoder, ImageFormat, ImageResult};

use super::limits;
use crate::dicom;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Dicom,
    /// Classic or BigTIFF.
    Tiff,
    Common(ImageFormat),
}

/// Whether a file gives back the values that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Lossless,
    /// Of this format.
    Lossy(&'static str),
}

/// How many pictures a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    One,
    /// So many, of which the first is read.
    Counted(usize),
    /// An animation, of which the first picture is read.
    Animation,
}

impl Container {
    /// By the first bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if dicom::is_dicom(bytes) {
            return Some(Self::Dicom);
        }
        if let [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] = bytes {
            return Some(Self::Tiff);
        }
        // Not all that this build of the library may read: what is read depends on no other crate.
        match image::guess_format(bytes).ok()? {
            ImageFormat::Pnm => is_pnm(bytes).then_some(Self::Common(ImageFormat::Pnm)),
            format @ (ImageFormat::Png
            | ImageFormat::Jpeg
            | ImageFormat::Bmp
            | ImageFormat::WebP
            | ImageFormat::Gif) => Some(Self::Common(format)),
            _ => None,
        }
    }

    /// The format's name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dicom => "DICOM",
            Self::Tiff => "TIFF",
            Self::Common(ImageFormat::Png) => "PNG",
            Self::Common(ImageFormat::Jpeg) => "JPEG",
            Self::Common(ImageFormat::Bmp) => "BMP",
            Self::Common(ImageFormat::WebP) => "WebP",
            Self::Common(ImageFormat::Gif) => "GIF",
            Self::Common(ImageFormat::Pnm) => "PNM",
            Self::Common(_) => "picture",
        }
    }

    pub(super) fn storage(self, bytes: &[u8]) -> Storage {
        match self {
            Self::Common(ImageFormat::Jpeg) => Storage::Lossy("JPEG"),
            Self::Common(ImageFormat::WebP) if is_lossy_webp(bytes) => Storage::Lossy("lossy WebP"),
            _ => Storage::Lossless,
        }
    }

    /// Of any format but TIFF, whose decoder counts.
    pub(super) fn pages(self, bytes: &[u8]) -> Pages {
        let is_animation = match self {
            Self::Common(ImageFormat::Png) => png_chunk(bytes, b"acTL")
                .and_then(|chunk| chunk.first_chunk())
                .is_some_and(|frames| u32::from_be_bytes(*frames) > 1),
            Self::Common(ImageFormat::WebP) => {
                bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|f| f & 2 != 0)
            }
            Self::Common(ImageFormat::Gif) => is_animated_gif(bytes).unwrap_or(false),
            _ => false,
        };
        if is_animation { Pages::Animation } else { Pages::One }
    }

    /// The bits of a sample that a PNG says were filled, the most of its colours.
    pub(super) fn claimed_bits(self, bytes: &[u8]) -> Option<u8> {
        let is_png = self == Self::Common(ImageFormat::Png);
        let chunk = png_chunk(bytes, b"sBIT").filter(|_| is_png)?;
        chunk.iter().take(3).max().copied()
    }
}

fn is_animated_gif(bytes: &[u8]) -> ImageResult<bool> {
    let mut decoder = GifDecoder::new(Cursor::new(bytes))?;
    decoder.set_limits(limits())?;
    Ok(decoder.into_frames().nth(1).is_some_and(|frame| frame.is_ok()))
}

/// `P1` to `P7` begin many a text; in a header a space or comment follows.
fn is_pnm(bytes: &[u8]) -> bool {
    bytes.get(2).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'#')
}

fn is_lossy_webp(bytes: &[u8]) -> bool {
    match bytes.get(12..16) {
        Some(b"VP8 ") => true,
        // The chunks of a file with more than a picture: its picture is in one of them.
        Some(b"VP8X") => {
            let mut rest = bytes.get(12..).unwrap_or_default();
            while let Some((name, behind)) = rest.split_first_chunk::<4>() {
                if name == b"VP8 " {
                    return true;
                }
                let Some((length, _)) = behind.split_first_chunk::<4>() else { return false };
                let length = u32::from_le_bytes(*length) as usize;
                rest = behind.get(4 + length + length % 2..).unwrap_or_default();
            }
            false
        }
        _ => false,
    }
}

/// The data of a PNG's chunk that stands before its pixels.
fn png_chunk<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (found, behind) = behind.split_first_chunk::<4>()?;
        let (data, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        match found {
            found if found == kind => return Some(data),
            b"IDAT" => return None,
            _ => rest = behind.get(4..)?,
        }
    }
}
