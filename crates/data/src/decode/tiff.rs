//! TIFF and BigTIFF of every kind that cameras, scanners and ImageJ write: the library unpacks their
//! samples, and what the samples mean is said here.
//!
//! The library refuses palettes and loses its place in pictures with further samples. So it is given a
//! directory in which the samples are grey, of as many bands as there are, and unpacks them all alike.

use std::collections::BTreeSet;
use std::io::Cursor;

use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::Tag;
use ::tiff::{TiffError, TiffResult};
use image::DynamicImage;
use image::metadata::Orientation;

use super::Refusal;
use super::container::{Pages, Storage};
use super::exif;

mod directory;
mod layout;
mod unpack;

use directory::DirectoryFields;
use layout::SampleLayout;

/// Directories of a file that are looked at.
const MOST_PAGES: usize = 10_000;

type FileDecoder<'a> = Decoder<Cursor<&'a [u8]>>;

/// The first picture of a file, and what the file says of it.
pub(super) struct TiffPicture {
    pub(super) picture: DynamicImage,
    pub(super) orientation: Orientation,
    pub(super) pages: Pages,
    pub(super) storage: Storage,
}

/// Reads the first picture.
///
/// # Errors
/// Of a kind that is not read, broken, or too large.
pub(super) fn read(bytes: &[u8]) -> Result<TiffPicture, Refusal> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(refusal)?;
    let layout = SampleLayout::of(&mut decoder)?;
    refuse_raw(bytes, &mut decoder)?;
    let orientation = orientation(&mut decoder);
    let pages = pages(&mut decoder).map_err(refusal)?;
    let samples = layout.unpacked(samples(bytes, &mut decoder, &layout)?)?;
    let picture = layout.picture(samples).ok_or(Refusal::Broken)?;
    let storage = if layout.is_jpeg() { Storage::Lossy("JPEG inside") } else { Storage::Lossless };
    Ok(TiffPicture { picture, orientation, pages, storage })
}

/// How the first picture is to be turned, its pixels not read.
pub(super) fn turned(bytes: &[u8]) -> Result<Orientation, Refusal> {
    Ok(orientation(&mut Decoder::new(Cursor::new(bytes)).map_err(refusal)?))
}

fn refusal(error: TiffError) -> Refusal {
    match error {
        TiffError::LimitsExceeded | TiffError::IntSizeError => Refusal::TooLarge,
        TiffError::UnsupportedError(_) => {
            Refusal::Unread("a TIFF whose colours or samples are of an unusual kind".into())
        }
        _ => Refusal::Broken,
    }
}

/// A camera's raw file is a TIFF whose first picture is a small preview.
fn refuse_raw(bytes: &[u8], decoder: &mut FileDecoder<'_>) -> Result<(), Refusal> {
    const DNG_VERSION: Tag = Tag::Unknown(50_706);
    let kind = decoder.find_tag_unsigned::<u64>(Tag::NewSubfileType).map_err(refusal)?;
    let is_preview = kind.unwrap_or(0) & 1 != 0;
    let is_raw = decoder.find_tag(DNG_VERSION).map_err(refusal)?.is_some()
        || bytes.get(8..10) == Some(b"CR")
        || (is_preview && decoder.find_tag(Tag::SubIfd).map_err(refusal)?.is_some());
    if is_raw { Err(Refusal::Unread("a camera's raw file".into())) } else { Ok(()) }
}

fn orientation(decoder: &mut FileDecoder<'_>) -> Orientation {
    const XMP: Tag = Tag::Unknown(700);
    match decoder.find_tag(Tag::Orientation) {
        Ok(Some(value)) => {
            let unsigned = value.clone().into_u64().ok().and_then(|value| value.try_into().ok());
            exif::of_value(unsigned.or_else(|| value.into_i64().ok()))
        }
        _ => {
            let packet = decoder.get_tag_u8_vec(XMP).ok();
            exif::orientation(None, packet.as_deref())
        }
    }
}

/// How many pictures there are, smaller copies and masks of the first not counted.
fn pages(decoder: &mut FileDecoder<'_>) -> TiffResult<Pages> {
    let mut seen = BTreeSet::new();
    let mut count = 1;
    let first = decoder.ifd_pointer().map(|at| decoder.read_directory(at)).transpose()?;
    let mut next = first.and_then(|directory| directory.next());
    while let Some(at) = next.filter(|at| seen.insert(at.0) && seen.len() < MOST_PAGES) {
        // What is broken behind the first picture is not its fault.
        let Ok(directory) = decoder.read_directory(at) else { break };
        let kind = decoder.read_directory_tags(&directory).find_tag_unsigned(Tag::NewSubfileType);
        let kind: u64 = kind.ok().flatten().unwrap_or(0);
        count += usize::from(directory.contains(Tag::ImageWidth) && kind & 0b101 == 0);
        next = directory.next();
    }
    let count = count.max(stacked(decoder));
    Ok(if count > 1 { Pages::Counted(count) } else { Pages::One })
}

/// The pictures that ImageJ stacks behind one directory, as its description says.
fn stacked(decoder: &mut FileDecoder<'_>) -> usize {
    let text = decoder.get_tag_ascii_string(Tag::ImageDescription).unwrap_or_default();
    let images = text.strip_prefix("ImageJ=").and_then(|rest| {
        rest.lines().find_map(|line| line.strip_prefix("images=")?.trim().parse().ok())
    });
    images.unwrap_or(1)
}

/// All samples, row by row and pixel by pixel, packed as in the file below 8 bits and of 9 to 15.
fn samples(
    bytes: &[u8],
    decoder: &mut FileDecoder<'_>,
    layout: &SampleLayout,
) -> Result<DecodingResult, Refusal> {
    let fields = decoder.ifd_pointer().and_then(|at| DirectoryFields::at(bytes, at.0));
    let fields = fields.ok_or(Refusal::Broken)?;
    let plain = layout.plain(&fields, bytes).ok_or(Refusal::Broken)?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = super::MAX_BYTES as usize;
    limits.intermediate_buffer_size = super::MAX_BYTES as usize;
    let decoder = Decoder::new(Cursor::new(plain.as_slice())).map_err(refusal)?;
    let mut decoder = decoder.with_limits(limits);
    let mut samples = DecodingResult::U8(Vec::new());
    let found = decoder.read_image_to_buffer(&mut samples).map_err(refusal)?;
    if samples.as_buffer(0).byte_len() < found.complete_len {
        return Err(Refusal::TooLarge);
    }
    Ok(samples)
}
