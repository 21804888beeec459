//! What the samples of a TIFF mean, and the picture that they make.

use ::tiff::decoder::DecodingResult;
use ::tiff::tags::Tag;
use image::{DynamicImage, ImageBuffer};

use super::directory::DirectoryFields;
use super::unpack::{to_byte, to_word, unpacked};
use super::{FileDecoder, refusal};
use crate::decode::{MAX_BYTES, MAX_SIDE, Refusal};

/// Compression by JPEG as it is done today.
const JPEG: u16 = 7;

/// What the first samples of a pixel are.
enum SampleColours {
    /// The lowest value is black, or white.
    Grey {
        is_inverted: bool,
    },
    Rgb,
    /// The numbers of these colours.
    Palette(Vec<[u8; 3]>),
    Cmyk,
    YCbCr,
}

/// The sample behind the colours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alpha {
    /// Not there, or something else.
    None,
    Separate,
    /// The colours are multiplied by it.
    Associated,
}

/// How the samples of a picture lie and what they mean.
pub(super) struct SampleLayout {
    width: u32,
    height: u32,
    /// Bits of a sample.
    bits: u32,
    /// Samples of a pixel.
    samples: usize,
    /// All first samples, then all second ones.
    is_planar: bool,
    compression: u16,
    colours: SampleColours,
    alpha: Alpha,
}

/// The samples of a picture on the full scale of their type; numbers of colours as they are.
pub(super) enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl SampleLayout {
    /// As the directory says it.
    ///
    /// # Errors
    /// Samples or colours that are not read; a picture that is too large.
    pub(super) fn of(decoder: &mut FileDecoder<'_>) -> Result<Self, Refusal> {
        let (width, height) = decoder.dimensions().map_err(refusal)?;
        let mut number = |tag, otherwise: u16| -> Result<u16, Refusal> {
            Ok(decoder.find_tag_unsigned(tag).map_err(refusal)?.unwrap_or(otherwise))
        };
        let samples = usize::from(number(Tag::SamplesPerPixel, 1)?);
        let compression = number(Tag::Compression, 1)?;
        let is_planar = number(Tag::PlanarConfiguration, 1)? == 2 && samples > 1;
        let photometric = number(Tag::PhotometricInterpretation, 1)?;
        refuse_packing(compression, number(Tag::FillOrder, 1)?)?;
        let bits = depth(decoder, samples)?;
        let area = u64::from(width).saturating_mul(height.into());
        let bytes = area.saturating_mul(samples as u64 * if bits > 8 { 2 } else { 1 });
        if width > MAX_SIDE || height > MAX_SIDE || bytes > MAX_BYTES {
            return Err(Refusal::TooLarge);
        }
        if is_planar && !matches!(bits, 8 | 16) {
            return unread(format!("a TIFF of {bits} bits a sample in separate planes"));
        }
        if compression == JPEG && samples == 2 {
            // The decoder takes two components for something else, and says nothing.
            return unread("a TIFF of grey and alpha packed by JPEG".into());
        }
        let colours = SampleColours::of(photometric, decoder, bits, compression)?;
        let extra: Vec<u16> =
            decoder.find_tag_unsigned_vec(Tag::ExtraSamples).map_err(refusal)?.unwrap_or_default();
        let count = colours.count();
        if samples < count {
            return Err(Refusal::Broken);
        }
        if count == 1 && samples > 2 {
            return unread(format!("a TIFF of {samples} bands"));
        }
        let alpha = match extra.first() {
            _ if samples == count => Alpha::None,
            Some(1) => Alpha::Associated,
            Some(2) | None => Alpha::Separate,
            Some(_) => Alpha::None,
        };
        Ok(Self { width, height, bits, samples, is_planar, compression, colours, alpha })
    }

    pub(super) fn is_jpeg(&self) -> bool {
        self.compression == JPEG
    }

    /// A copy of the file that says its samples are grey, each pixel of as many bands as it has samples;
    /// of 9 to 15 bits, which the library does not cut apart, each row of as many bytes as it has.
    pub(super) fn plain(&self, fields: &DirectoryFields, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        fields.set(&mut bytes, Tag::PhotometricInterpretation.to_u16(), 1)?;
        fields.hide(&mut bytes, Tag::ExtraSamples.to_u16())?;
        if (9..16).contains(&self.bits) {
            let row_bytes = (self.width as usize * self.samples * self.bits as usize).div_ceil(8);
            fields.set(&mut bytes, Tag::ImageWidth.to_u16(), row_bytes.try_into().ok()?)?;
            fields.set(&mut bytes, Tag::BitsPerSample.to_u16(), 8)?;
            fields.set(&mut bytes, Tag::SamplesPerPixel.to_u16(), 1)?;
        }
        Some(bytes)
    }

    /// The samples pixel by pixel, of 8 or 16 bits.
    ///
    /// # Errors
    /// Samples of another type than the directory says.
    pub(super) fn unpacked(&self, read: DecodingResult) -> Result<Samples, Refusal> {
        let per_row = self.width as usize * self.samples;
        let is_index = matches!(self.colours, SampleColours::Palette(_));
        let bits = self.bits;
        match (read, bits) {
            (DecodingResult::U8(bytes), 8) => Ok(Samples::Bytes(self.interleaved(bytes))),
            (DecodingResult::U16(words), 16) => Ok(Samples::Words(self.interleaved(words))),
            (DecodingResult::U8(packed), 1..8) => {
                let values = unpacked(&packed, per_row, bits).into_iter();
                let byte = |value| if is_index { value as u8 } else { to_byte(value, bits) };
                Ok(Samples::Bytes(values.map(byte).collect()))
            }
            (DecodingResult::U8(packed), 9..16) => {
                let values = unpacked(&packed, per_row, bits).into_iter();
                Ok(Samples::Words(values.map(|value| to_word(value, bits)).collect()))
            }
            _ => Err(Refusal::Broken),
        }
    }

    fn interleaved<T: Copy>(&self, values: Vec<T>) -> Vec<T> {
        let area = self.width as usize * self.height as usize;
        if !self.is_planar {
            return values;
        }
        let planes: Vec<&[T]> = values.chunks_exact(area.max(1)).collect();
        (0..area)
            .flat_map(|at| planes.iter().filter_map(move |plane| plane.get(at)))
            .copied()
            .collect()
    }

    /// The picture; `None` where there are not enough samples.
    pub(super) fn picture(&self, samples: Samples) -> Option<DynamicImage> {
        let (samples, pixel) = (samples, self.samples);
        match (&self.colours, samples) {
            (SampleColours::Grey { is_inverted }, Samples::Bytes(mut bytes)) => {
                if *is_inverted {
                    bytes.iter_mut().step_by(pixel).for_each(|value| *value = !*value);
                }
                self.of_bytes(bytes)
            }
            (SampleColours::Grey { is_inverted }, Samples::Words(mut words)) => {
                if *is_inverted {
                    words.iter_mut().step_by(pixel).for_each(|value| *value = !*value);
                }
                self.of_words(words)
            }
            (SampleColours::Rgb, Samples::Bytes(bytes)) => self.of_bytes(bytes),
            (SampleColours::Rgb, Samples::Words(words)) => self.of_words(words),
            (colours, Samples::Bytes(bytes)) => self.converted(&bytes, colours),
            // As Pillow has it: the upper bytes first, and then the colours of them.
            (colours, Samples::Words(words)) => {
                let bytes: Vec<u8> = words.iter().map(|word| (word >> 8) as u8).collect();
                self.converted(&bytes, colours)
            }
        }
    }

    /// Pixels whose colours become RGB, and their alpha.
    fn converted(&self, bytes: &[u8], colours: &SampleColours) -> Option<DynamicImage> {
        let has_alpha = self.alpha != Alpha::None;
        let mut rgb = Vec::with_capacity(bytes.len() / self.samples * (3 + usize::from(has_alpha)));
        for pixel in bytes.chunks_exact(self.samples) {
            rgb.extend(colours.rgb(pixel)?);
            rgb.extend(pixel.get(colours.count()).filter(|_| has_alpha));
        }
        match has_alpha {
            true => buffer(self, rgb).map(DynamicImage::ImageRgba8),
            false => buffer(self, rgb).map(DynamicImage::ImageRgb8),
        }
    }

    fn of_bytes(&self, bytes: Vec<u8>) -> Option<DynamicImage> {
        use DynamicImage as D;
        let pixels = self.kept(bytes, |colour, alpha| match alpha {
            0 | u8::MAX => colour,
            _ => (u32::from(colour) * 255 / u32::from(alpha)).min(255) as u8,
        });
        match (self.colours.count(), self.alpha != Alpha::None) {
            (1, false) => buffer(self, pixels).map(D::ImageLuma8),
            (1, true) => buffer(self, pixels).map(D::ImageLumaA8),
            (_, false) => buffer(self, pixels).map(D::ImageRgb8),
            (_, true) => buffer(self, pixels).map(D::ImageRgba8),
        }
    }

    fn of_words(&self, words: Vec<u16>) -> Option<DynamicImage> {
        use DynamicImage as D;
        let pixels = self.kept(words, |colour, alpha| match alpha {
            0 | u16::MAX => colour,
            _ => (u32::from(colour) * 65_535 / u32::from(alpha)).min(65_535) as u16,
        });
        match (self.colours.count(), self.alpha != Alpha::None) {
            (1, false) => buffer(self, pixels).map(D::ImageLuma16),
            (1, true) => buffer(self, pixels).map(D::ImageLumaA16),
            (_, false) => buffer(self, pixels).map(D::ImageRgb16),
            (_, true) => buffer(self, pixels).map(D::ImageRgba16),
        }
    }

    /// Colours and alpha, other samples left out; `divided` takes an associated alpha out of a colour.
    fn kept<T: Copy>(&self, values: Vec<T>, divided: impl Fn(T, T) -> T) -> Vec<T> {
        let colours = self.colours.count();
        let kept = colours + usize::from(self.alpha != Alpha::None);
        if kept == self.samples && self.alpha != Alpha::Associated {
            return values;
        }
        let mut pixels = Vec::with_capacity(values.len() / self.samples * kept);
        for pixel in values.chunks_exact(self.samples) {
            let (colour, rest) = pixel.split_at(colours);
            match (self.alpha, rest.first()) {
                (Alpha::Associated, Some(alpha)) => {
                    pixels.extend(colour.iter().map(|colour| divided(*colour, *alpha)));
                    pixels.push(*alpha);
                }
                (Alpha::Separate, Some(alpha)) => {
                    pixels.extend_from_slice(colour);
                    pixels.push(*alpha);
                }
                _ => pixels.extend_from_slice(colour),
            }
        }
        pixels
    }
}

impl SampleColours {
    fn of(
        photometric: u16,
        decoder: &mut FileDecoder<'_>,
        bits: u32,
        compression: u16,
    ) -> Result<Self, Refusal> {
        match photometric {
            0 => Ok(Self::Grey { is_inverted: true }),
            1 => Ok(Self::Grey { is_inverted: false }),
            2 => Ok(Self::Rgb),
            3 if bits <= 8 => Ok(Self::Palette(palette(decoder)?)),
            5 if bits >= 8 => Ok(Self::Cmyk),
            6 if bits == 8 => {
                let halves = decoder.find_tag_unsigned_vec::<u16>(Tag::ChromaSubsampling);
                let is_whole = halves.map_err(refusal)?.is_some_and(|each| each == [1, 1]);
                // The JPEG inside says it itself.
                if is_whole || compression == JPEG {
                    Ok(Self::YCbCr)
                } else {
                    unread("a TIFF in YCbCr with colours of half the size".into())
                }
            }
            3 => unread(format!("a TIFF with a palette of {bits} bits")),
            5 => unread(format!("a TIFF in CMYK of {bits} bits a sample")),
            6 => unread(format!("a TIFF in YCbCr of {bits} bits a sample")),
            8..=10 => unread("a TIFF in Lab colours".into()),
            4 => unread("a TIFF that is only a mask of transparency".into()),
            _ => unread("a TIFF of raw camera data or unknown colours".into()),
        }
    }

    /// Samples of a pixel.
    fn count(&self) -> usize {
        match self {
            Self::Grey { .. } | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr => 3,
            Self::Cmyk => 4,
        }
    }

    /// The colour of a pixel of bytes; `None` where a number names none.
    fn rgb(&self, pixel: &[u8]) -> Option<[u8; 3]> {
        match (self, pixel) {
            (Self::Grey { .. }, [grey, ..]) => Some([*grey; 3]),
            (Self::Palette(colours), [index, ..]) => colours.get(usize::from(*index)).copied(),
            (Self::Rgb, [red, green, blue, ..]) => Some([*red, *green, *blue]),
            (Self::YCbCr, [y, cb, cr, ..]) => Some(of_ycbcr(*y, *cb, *cr)),
            (Self::Cmyk, [c, m, y, k, ..]) => Some([*c, *m, *y].map(|ink| without_ink(ink, *k))),
            _ => None,
        }
    }
}

/// Pillow's way from ink to light, rounding included.
fn without_ink(ink: u8, black: u8) -> u8 {
    let light = 255 - i32::from(black);
    let product = i32::from(ink) * light + 128;
    (light - ((product + (product >> 8)) >> 8)).clamp(0, 255) as u8
}

/// JFIF's conversion.
fn of_ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_14 * cb - 0.714_14 * cr, y + 1.772 * cb]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// The colours of a palette. They are of 16 bits; writers that put 8 into them are known by that.
fn palette(decoder: &mut FileDecoder<'_>) -> Result<Vec<[u8; 3]>, Refusal> {
    let values: Vec<u16> =
        decoder.find_tag_unsigned_vec(Tag::ColorMap).map_err(refusal)?.ok_or(Refusal::Broken)?;
    let shift = if values.iter().all(|value| *value < 256) { 0 } else { 8 };
    let count = values.len() / 3;
    let byte = |at: usize| values.get(at).map(|value| (value >> shift) as u8);
    let colour = |at: usize| Some([byte(at)?, byte(count + at)?, byte(2 * count + at)?]);
    (0..count).map(colour).collect::<Option<Vec<_>>>().ok_or(Refusal::Broken)
}

/// Bits of a sample, where they hold whole numbers from 0 on.
fn depth(decoder: &mut FileDecoder<'_>, samples: usize) -> Result<u32, Refusal> {
    let mut list = |tag, otherwise: u16| -> Result<Vec<u16>, Refusal> {
        Ok(decoder.find_tag_unsigned_vec(tag).map_err(refusal)?.unwrap_or(vec![otherwise]))
    };
    let bits = list(Tag::BitsPerSample, 1)?;
    let first = bits.first().copied().unwrap_or(1);
    if bits.iter().any(|each| *each != first) {
        return unread("a TIFF whose samples have different bits".into());
    }
    match list(Tag::SampleFormat, 1)?.first() {
        Some(3) => return unread(format!("a TIFF of {first}-bit floating-point numbers")),
        Some(2) => return unread(format!("a TIFF of {first}-bit numbers with a sign")),
        Some(5 | 6) => return unread("a TIFF of complex numbers".into()),
        _ => {}
    }
    if first > 16 || first == 0 || samples == 0 {
        return unread(format!("a TIFF of {first} bits a sample"));
    }
    let predictor = list(Tag::Predictor, 1)?.first().copied();
    let is_tiled = decoder.find_tag(Tag::TileWidth).map_err(refusal)?.is_some();
    if (9..16).contains(&first) && (is_tiled || predictor != Some(1)) {
        return unread(format!("a TIFF of {first} bits a sample in tiles or as differences"));
    }
    Ok(first.into())
}

fn refuse_packing(compression: u16, fill_order: u16) -> Result<(), Refusal> {
    let name = match compression {
        // None, LZW, JPEG, Deflate (both numbers), PackBits.
        1 | 5 | JPEG | 8 | 32_946 | 32_773 if fill_order != 2 => return Ok(()),
        4 if fill_order != 2 => return Ok(()),
        1 | 4 | 5 | JPEG | 8 | 32_946 | 32_773 => {
            return unread("a TIFF with its bits in reverse order".into());
        }
        2 | 3 | 32_771 => "an old fax code (CCITT group 3)",
        6 => "JPEG of the old kind",
        34_661 => "JBIG",
        33_003 | 33_005 | 34_712 => "JPEG 2000",
        34_887 => "LERC",
        34_925 => "LZMA",
        34_676 | 34_677 => "LogLuv",
        50_000 => "Zstandard",
        50_001 => "WebP",
        50_002 => "JPEG XL",
        other => return unread(format!("a TIFF packed by method {other}")),
    };
    unread(format!("a TIFF packed by {name}"))
}

fn unread<T>(what: String) -> Result<T, Refusal> {
    Err(Refusal::Unread(what))
}

/// The pixels as a buffer of the picture's size; `None` where there are too few.
fn buffer<P, T>(layout: &SampleLayout, pixels: Vec<T>) -> Option<ImageBuffer<P, Vec<T>>>
where
    P: image::Pixel<Subpixel = T>,
    T: image::Primitive,
{
    ImageBuffer::from_raw(layout.width, layout.height, pixels)
}
