//! Which way up a picture is, by its EXIF data, else by its XMP.
//!
//! As Pillow's `exif_transpose` reads it, with one more: writers store the orientation as any whole
//! number, and all of them count.

use image::metadata::Orientation;
use memchr::memmem;

const ORIENTATION: u16 = 0x0112;
/// Before the data, in a JPEG and in what copied it from one.
const PREFIX: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"tiff:Orientation";

/// How a picture with these data is to be turned. EXIF that names an orientation that there is none of
/// turns nothing, whatever XMP says.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let value = exif.and_then(of_exif).or_else(|| xmp.and_then(of_xmp));
    of_value(value)
}

/// The orientation of a value as EXIF numbers them.
pub(super) fn of_value(value: Option<i64>) -> Orientation {
    let value = value.and_then(|value| u8::try_from(value).ok());
    value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

fn of_exif(chunk: &[u8]) -> Option<i64> {
    let data = ExifData::new(chunk.strip_prefix(PREFIX).unwrap_or(chunk))?;
    let directory = data.unsigned(4, 4)? as usize;
    let entries = data.unsigned(directory, 2)? as usize;
    let starts = (0..entries).map(|entry| directory + 2 + 12 * entry);
    starts.map_while(|at| data.entry(at)).find(|entry| entry.tag == ORIENTATION)?.value
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
fn of_xmp(packet: &[u8]) -> Option<i64> {
    let rest = packet.get(memmem::find(packet, XMP)? + XMP.len()..)?;
    let rest = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
    rest.first().filter(|digit| digit.is_ascii_digit()).map(|digit| i64::from(digit - b'0'))
}

struct ExifEntry {
    tag: u16,
    /// One whole number; `None` of anything else.
    value: Option<i64>,
}

/// A TIFF structure: its bytes and their order.
struct ExifData<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

/// In which order the bytes of a TIFF's numbers stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// An unsigned number of so many bytes, 8 at most, in a TIFF structure.
pub(super) fn unsigned(bytes: &[u8], at: usize, length: usize, order: ByteOrder) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    let push = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    Some(match order {
        ByteOrder::Little => bytes.iter().rev().fold(0, push),
        ByteOrder::Big => bytes.iter().fold(0, push),
    })
}

impl<'a> ExifData<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.get(..4)? {
            b"II*\0" => Some(Self { bytes, order: ByteOrder::Little }),
            b"MM\0*" => Some(Self { bytes, order: ByteOrder::Big }),
            _ => None,
        }
    }

    /// An unsigned number of so many bytes.
    fn unsigned(&self, at: usize, length: usize) -> Option<u64> {
        unsigned(self.bytes, at, length, self.order)
    }

    fn entry(&self, at: usize) -> Option<ExifEntry> {
        let tag = self.unsigned(at, 2)? as u16;
        let (kind, count) = (self.unsigned(at + 2, 2)?, self.unsigned(at + 4, 4)?);
        let value = if count == 1 { self.integer(kind, at + 8) } else { None };
        Some(ExifEntry { tag, value })
    }

    /// A whole number of any of TIFF's types, whose field is at `at`; those of 8 bytes lie elsewhere.
    fn integer(&self, kind: u64, at: usize) -> Option<i64> {
        let signed = |length: usize, at: usize| {
            let unused = 64 - 8 * length as u32;
            self.unsigned(at, length).map(|value| (value << unused) as i64 >> unused)
        };
        let unsigned = |length, at| i64::try_from(self.unsigned(at, length)?).ok();
        let elsewhere = || self.unsigned(at, 4).map(|at| at as usize);
        match kind {
            1 => unsigned(1, at),
            3 => unsigned(2, at),
            4 => unsigned(4, at),
            6 => signed(1, at),
            8 => signed(2, at),
            9 => signed(4, at),
            16 => unsigned(8, elsewhere()?),
            17 => signed(8, elsewhere()?),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure of one entry, as EXIF begins in a JPEG.
    fn exif(is_little: bool, kind: u16, value: &[u8]) -> Vec<u8> {
        let two = |v: u16| if is_little { v.to_le_bytes() } else { v.to_be_bytes() };
        let four = |v: u32| if is_little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mark = if is_little { b"II" } else { b"MM" };
        let mut field = value.to_vec();
        let mut behind = Vec::new();
        if value.len() > 4 {
            field = four(26).to_vec();
            behind = value.to_vec();
        }
        field.resize(4, 0);
        let parts: [&[u8]; 11] = [
            PREFIX,
            mark,
            &two(42),
            &four(8),
            &two(1),
            &two(ORIENTATION),
            &two(kind),
            &four(1),
            &field,
            &four(0),
            &behind,
        ];
        parts.concat()
    }

    #[test]
    fn every_whole_number_counts_in_both_byte_orders() {
        let kinds: [(u16, usize); 8] =
            [(1, 1), (3, 2), (4, 4), (6, 1), (8, 2), (9, 4), (16, 8), (17, 8)];
        for (kind, length) in kinds {
            for is_little in [true, false] {
                let mut value = vec![0; length];
                value[if is_little { 0 } else { length - 1 }] = 6;
                let chunk = exif(is_little, kind, &value);
                assert_eq!(orientation(Some(&chunk), None), Orientation::Rotate90, "kind {kind}");
                let bare = &chunk[PREFIX.len()..];
                assert_eq!(orientation(Some(bare), None), Orientation::Rotate90, "kind {kind}");
            }
        }
        for kind in [2, 5, 7, 11, 12] {
            let chunk = exif(true, kind, &[6, 0, 0, 0]);
            assert_eq!(orientation(Some(&chunk), None), Orientation::NoTransforms, "kind {kind}");
        }
    }

    #[test]
    fn nothing_is_turned_by_what_is_no_orientation() {
        for value in [0_u8, 9, 255] {
            let chunk = exif(true, 4, &[value, 0, 0, 0]);
            assert_eq!(orientation(Some(&chunk), None), Orientation::NoTransforms);
        }
        let whole = exif(false, 3, &[0, 6]);
        for length in 0..whole.len() - 4 {
            orientation(Some(&whole[..length]), None);
        }
        assert_eq!(orientation(Some(&whole[..20]), None), Orientation::NoTransforms);
        let chunk = exif(true, 9, &[0xFA, 0xFF, 0xFF, 0xFF]);
        assert_eq!(orientation(Some(&chunk), None), Orientation::NoTransforms, "-6");
    }

    #[test]
    fn xmp_is_asked_where_exif_says_nothing() {
        for packet in ["<x tiff:Orientation=\"8\"/>", "<tiff:Orientation>8</tiff:Orientation>"] {
            assert_eq!(orientation(None, Some(packet.as_bytes())), Orientation::Rotate270);
            let exif = exif(true, 3, &[3, 0]);
            let both = orientation(Some(&exif), Some(packet.as_bytes()));
            assert_eq!(both, Orientation::Rotate180);
        }
        assert_eq!(orientation(None, Some(b"tiff:Orientation")), Orientation::NoTransforms);
    }
}
