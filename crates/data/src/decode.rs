//! Reads a picture of any supported format into 8-bit RGB or grey as Pillow's `convert` does, and
//! refuses what is broken, huge or of another kind, in plain words.
//!
//! PNG, JPEG, BMP, TIFF, WebP, GIF, PNM and, with a feature, DICOM, told by content and never by
//! extension. Alpha is dropped from a picture; in a mask, what cannot be seen is not marked. Palettes are
//! looked up, the EXIF orientation is applied. What is read otherwise than by Pillow, and on purpose, is
//! listed in docs/deviations.md.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    Luma, RgbImage,
};

use crate::error::DataError;
use crate::fault::{Fault, FaultKind};
use crate::folder::unfetched;
use crate::{dicom, jpeg, spare, turbo};

mod container;
mod exif;
mod foreign;
mod reader;
mod samples;
mod tiff;

pub(crate) use container::{Container, Pages, Storage};
pub(crate) use foreign::picture as foreign_picture;
pub(crate) use foreign::{Pointer, pointer};
pub use reader::PictureReader;
pub use samples::SampleBits;

/// Most bytes that a file may have, and most that a decoded picture may take (13377x13377 in RGB).
const MAX_BYTES: u64 = 512 << 20;
/// Longest side of a picture, in pixels: line scans are long.
const MAX_SIDE: u32 = 1 << 20;
const TOO_LARGE: &str =
    "the picture is larger than 1048576 pixels a side or 512 MiB; scale it down first";

/// Reads a picture as 8-bit RGB; what is noticed of it is not said ([`PictureReader`] says it).
///
/// # Errors
/// [`DataError`] naming `path`: missing, a folder, empty, not a picture, cut off, larger than 2^20
/// pixels a side or 512 MiB decoded, or of a kind that is not read.
pub fn decode_rgb(path: &Path) -> Result<RgbImage, DataError> {
    decode_rgb_bytes(&read(path)?, path)
}

/// Reads a picture that is in memory as 8-bit RGB; `path` is only for the message.
///
/// # Errors
/// As [`decode_rgb`].
pub fn decode_rgb_bytes(bytes: &[u8], path: &Path) -> Result<RgbImage, DataError> {
    Ok(read_rgb(bytes, path, None)?.pixels)
}

/// Reads a mask as 8-bit grey, colours weighted as Pillow's `convert("L")` weighs them, on black where
/// it is transparent: what cannot be seen is not marked.
///
/// A 16-bit value that is not zero stays so: label masks hold small numbers.
///
/// # Errors
/// As [`decode_rgb`].
pub fn decode_mask(path: &Path) -> Result<GrayImage, DataError> {
    decode_mask_bytes(&read(path)?, path)
}

/// Reads a mask that is in memory; `path` is only for the message.
///
/// # Errors
/// As [`decode_rgb`].
pub fn decode_mask_bytes(bytes: &[u8], path: &Path) -> Result<GrayImage, DataError> {
    Ok(read_mask(bytes, path)?.pixels)
}

/// The whole file, unless it is no file or too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let metadata = fs::metadata(path).map_err(|e| match unfetched(path) {
        Some(detail) => DataError::bad_image(path, format!("is not there, {detail}")),
        None => DataError::unreadable(path, e),
    })?;
    if !metadata.is_file() {
        return Err(DataError::WrongKind {
            path: path.to_path_buf(),
            found: if metadata.is_dir() { "a folder" } else { "no regular file" },
            needed: "an image file",
        });
    }
    if metadata.len() > MAX_BYTES {
        return Err(DataError::bad_image(
            path,
            "the file is larger than 512 MiB; scale it down first",
        ));
    }
    fs::read(path).map_err(|e| DataError::unreadable(path, e))
}

/// What was read of a file.
pub(crate) struct ReadPicture<T> {
    pub(crate) pixels: T,
    /// How the pixels of the file were turned.
    pub(crate) orientation: Orientation,
    pub(crate) storage: Storage,
    /// What is to be told of the file.
    pub(crate) faults: Vec<Fault>,
}

/// A picture as 8-bit RGB; of 16 bits, the lower `bits` where they are given.
pub(crate) fn read_rgb(
    bytes: &[u8],
    path: &Path,
    bits: Option<SampleBits>,
) -> Result<ReadPicture<RgbImage>, DataError> {
    let picture = DecodedFile::decode(bytes, path)?;
    let largest = samples::largest_sample(&picture.pixels);
    if let (Some(bits), Some(largest)) = (bits, largest)
        && largest > bits.largest()
    {
        let most = bits.largest();
        let reason = format!(
            "has a value of {largest}, and {bits} bits go up to {most}; say more bits, or leave \
             them out"
        );
        return Err(DataError::bad_image(path, reason));
    }
    let mut faults = picture.page_fault(path).into_iter().collect::<Vec<_>>();
    if bits.is_none() {
        let suspected = samples::suspected(&picture.pixels, picture.container.claimed_bits(bytes));
        faults.extend(suspected.map(|suspected| low_bits(path, suspected)));
    }
    let DecodedFile { pixels, orientation, storage, .. } = picture;
    let reduced = samples::to_8_bit(pixels, bits).ok_or_else(|| no_range(path))?;
    Ok(ReadPicture { pixels: reduced.into_rgb8(), orientation, storage, faults })
}

/// A mask as [`decode_mask`] has it.
pub(crate) fn read_mask(bytes: &[u8], path: &Path) -> Result<ReadPicture<GrayImage>, DataError> {
    let picture = DecodedFile::decode(bytes, path)?;
    let faults = picture.page_fault(path).into_iter().collect();
    let DecodedFile { pixels, orientation, storage, .. } = picture;
    let reduced = samples::mask_to_8_bit(pixels).ok_or_else(|| no_range(path))?;
    Ok(ReadPicture { pixels: grey(reduced), orientation, storage, faults })
}

/// How a picture is turned to be upright, its pixels not read; not at all where that cannot be told.
pub(crate) fn orientation(bytes: &[u8]) -> Orientation {
    let turned = match Container::of(bytes) {
        Some(Container::Tiff) => tiff::turned(bytes),
        Some(Container::Common(format)) => {
            let reader = ImageReader::with_format(Cursor::new(bytes), format);
            reader.into_decoder().map_err(Refusal::from).and_then(|mut d| turned(&mut d))
        }
        Some(Container::Dicom) | None => Ok(Orientation::NoTransforms),
    };
    turned.unwrap_or(Orientation::NoTransforms)
}

fn low_bits(path: &Path, bits: SampleBits) -> Fault {
    let most = bits.largest();
    let detail = format!(
        "no value above {most} of 65535; {bits} bits? --bits {bits}, or bits = {bits} in a \
         description, reads it so; 16 says that it is as dark as that"
    );
    Fault::new(FaultKind::LowBits, path, detail)
}

fn no_range(path: &Path) -> DataError {
    let reason = "floating-point pixels have no fixed range; convert it to 8 or 16 bits";
    DataError::bad_image(path, reason)
}

/// A picture upright in the file's own colour type, and what the file says of it.
struct DecodedFile {
    pixels: DynamicImage,
    container: Container,
    orientation: Orientation,
    storage: Storage,
    pages: Pages,
}

/// Why a file is not read.
#[derive(Debug)]
enum Refusal {
    /// Its data do not decode.
    Broken,
    TooLarge,
    /// It is of this kind, as in "a JPEG of 12 bits a sample".
    Unread(String),
}

impl DecodedFile {
    fn decode(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        let refuse = |reason: &str| Err(DataError::bad_image(path, reason));
        if bytes.is_empty() {
            return refuse("the file is empty; copy it again");
        }
        let Some(container) = Container::of(bytes) else {
            return refuse(&foreign::describe(bytes));
        };
        let pixels = match container {
            Container::Dicom => {
                dicom::decode(bytes, MAX_BYTES).map_err(|e| DataError::bad_image(path, e))?
            }
            Container::Tiff => return Self::of_tiff(bytes, path),
            Container::Common(format) => {
                if format == ImageFormat::Jpeg && !jpeg::is_complete(bytes) {
                    return refuse("the JPEG is cut off before its end; copy it again");
                }
                let read = Self::of_common(bytes, format, container);
                return read.map_err(|refusal| refusal.explained(path, container));
            }
        };
        let (orientation, storage) = (Orientation::NoTransforms, Storage::Lossless);
        Ok(Self { pixels, container, orientation, storage, pages: Pages::One })
    }

    fn of_tiff(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        let container = Container::Tiff;
        let read = tiff::read(bytes).map_err(|refusal| refusal.explained(path, container))?;
        let tiff::TiffPicture { mut picture, orientation, pages, storage } = read;
        picture.apply_orientation(orientation);
        Ok(Self { pixels: picture, container, orientation, storage, pages })
    }

    fn of_common(bytes: &[u8], format: ImageFormat, container: Container) -> Result<Self, Refusal> {
        if format == ImageFormat::Jpeg
            && let Some(kind) = jpeg::unread_kind(bytes)
        {
            return Err(Refusal::Unread(kind.what().into()));
        }
        if format == ImageFormat::Bmp && is_long_bmp(bytes) {
            return Err(Refusal::Unread("a BMP of more than 65535 pixels a side".into()));
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits());
        let mut decoder = reader.into_decoder()?;
        // Checked before anything is allocated: the header may claim any size.
        let mut left = limits();
        left.reserve(decoder.total_bytes())?;
        decoder.set_limits(left)?;
        if decoder.total_bytes() == 0 {
            return Err(Refusal::Unread("a picture without a pixel".into()));
        }
        let orientation = turned(&mut decoder)?;
        let mut pixels = match decoder.color_type() {
            ColorType::Rgb8 => common_rgb(decoder, bytes)?,
            _ => DynamicImage::from_decoder(decoder)?,
        };
        pixels.apply_orientation(orientation);
        let (storage, pages) = (container.storage(bytes), container.pages(bytes));
        Ok(Self { pixels, container, orientation, storage, pages })
    }

    /// That there is more in the file than is read.
    fn page_fault(&self, path: &Path) -> Option<Fault> {
        let detail = match self.pages {
            Pages::One => return None,
            Pages::Counted(pages) => {
                format!("{pages} pages, of which the first is read; save each as a file of its own")
            }
            Pages::Animation => {
                "an animation, of which the first picture is read; save each as a file of its own"
                    .into()
            }
        };
        Some(Fault::new(FaultKind::SeveralPages, path, detail))
    }
}

/// Whether a BMP claims more than the library reads, which calls it broken.
fn is_long_bmp(bytes: &[u8]) -> bool {
    let side = |at: usize| bytes.get(at..at + 4).and_then(|side| side.first_chunk());
    let sides = [side(18), side(22)].into_iter().flatten();
    // An old header has sides of 16 bits.
    bytes.get(14) != Some(&12)
        && sides.map(|side| i32::from_le_bytes(*side)).any(|side| side.unsigned_abs() > 0xFFFF)
}

/// How a picture is turned, as its metadata say.
fn turned(decoder: &mut impl ImageDecoder) -> Result<Orientation, Refusal> {
    let exif = decoder.exif_metadata()?;
    // Damaged metadata that nobody needs are no reason to refuse a picture.
    let xmp = decoder.xmp_metadata().unwrap_or_default();
    Ok(exif::orientation(exif.as_deref(), xmp.as_deref()))
}

/// Into the memory of the picture before.
fn common_rgb(decoder: impl ImageDecoder, bytes: &[u8]) -> Result<DynamicImage, Refusal> {
    let (width, height) = decoder.dimensions();
    let length = usize::try_from(decoder.total_bytes()).map_err(|_| Refusal::TooLarge)?;
    let mut pixels = spare::take(length);
    if !turbo::read_rgb(bytes, [width, height], &mut pixels) {
        if jpeg::has_separate_scans(bytes) {
            return Err(Refusal::Unread("a JPEG with its components in scans of their own".into()));
        }
        decoder.read_image(&mut pixels)?;
    }
    let picture = RgbImage::from_raw(width, height, pixels).ok_or(Refusal::TooLarge)?;
    Ok(DynamicImage::ImageRgb8(picture))
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits
}

impl From<ImageError> for Refusal {
    /// The library's own words name its types, and help nobody who has the file.
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            ImageError::Unsupported(_) => Self::Unread("a picture of an unusual kind".into()),
            _ => Self::Broken,
        }
    }
}

impl Refusal {
    fn explained(self, path: &Path, container: Container) -> DataError {
        let reason = match self {
            Self::Broken => format!(
                "broken: it begins as a {} and does not go on as one; copy it again",
                container.name()
            ),
            Self::TooLarge => TOO_LARGE.to_owned(),
            Self::Unread(what) => {
                format!(
                    "{what}, which is not read; save it as a PNG of RGB or grey with 8 or 16 bits"
                )
            }
        };
        DataError::bad_image(path, reason)
    }
}

/// Grey levels, on black as far as a pixel is transparent; one that can be seen at all stays above zero.
fn grey(picture: DynamicImage) -> GrayImage {
    if let DynamicImage::ImageLuma8(grey) = picture {
        return grey;
    }
    if !picture.color().has_alpha() {
        let rgb = picture.into_rgb8();
        let grey = |x, y| Luma([luma(rgb.get_pixel(x, y).0)]);
        return GrayImage::from_fn(rgb.width(), rgb.height(), grey);
    }
    let rgba = picture.into_rgba8();
    GrayImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0;
        let shown = u32::from(luma([red, green, blue])) * u32::from(alpha);
        let rounded = (shown + 127) / 255;
        Luma([rounded.max(u32::from(shown > 0)) as u8])
    })
}

/// ITU-R 601 luma in Pillow's fixed point.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests;
