//! Tells what the decoder would not say of a JPEG: of one that is cut off, it fills what is missing with
//! grey; one whose components come in scans of their own, it takes for another picture, or panics. Both
//! would be scored.

use std::iter;

use memchr::memchr;

const FILL: u8 = 0xFF;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_IMAGE: u8 = 0xD8;
const START_OF_SCAN: u8 = 0xDA;

/// A marker's code, and all that follows it: of a segment, two length bytes come first.
struct Marker<'a> {
    code: u8,
    after: &'a [u8],
}

/// Whether the file reaches its end-of-image marker.
pub(crate) fn is_complete(bytes: &[u8]) -> bool {
    markers(bytes).any(|marker| marker.code == END_OF_IMAGE)
}

/// Which kind of JPEG this is, if it is none that is read: as the frame that comes first says it.
pub(crate) fn unread_kind(bytes: &[u8]) -> Option<UnreadKind> {
    let is_told = |marker: &Marker<'_>| !matches!(marker.code, 0xC4 | 0xC8 | 0xCC);
    let is_frame = |marker: &Marker<'_>| matches!(marker.code, 0xC0..=0xCF | 0xF7 | START_OF_SCAN);
    let Marker { code, after } = markers(bytes).filter(is_told).find(is_frame)?;
    match code {
        0xC3 => Some(UnreadKind::Lossless),
        0xC5..=0xC7 | 0xCD..=0xCF => Some(UnreadKind::Hierarchical),
        0xC9..=0xCB => Some(UnreadKind::Arithmetic),
        0xF7 => Some(UnreadKind::JpegLs),
        // Behind the length.
        _ if code != START_OF_SCAN && after.get(2) == Some(&12) => Some(UnreadKind::TwelveBits),
        _ => None,
    }
}

/// Kinds of JPEG that are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnreadKind {
    TwelveBits,
    /// Packed by arithmetic coding.
    Arithmetic,
    Lossless,
    Hierarchical,
    JpegLs,
}

impl UnreadKind {
    /// What the file is, as in "a JPEG of 12 bits a sample".
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::TwelveBits => "a JPEG of 12 bits a sample",
            Self::Arithmetic => "a JPEG with arithmetic coding",
            Self::Lossless => "a lossless JPEG",
            Self::Hierarchical => "a hierarchical JPEG",
            Self::JpegLs => "a JPEG-LS picture",
        }
    }
}

/// Whether the file is a sequential JPEG whose first scan has not all components: they are in scans of
/// their own then. Cameras and programs interleave them; progressive files are read another way.
pub(crate) fn has_separate_scans(bytes: &[u8]) -> bool {
    if !bytes.starts_with(&[FILL, START_OF_IMAGE]) {
        return false;
    }
    // A damaged file may have more than one; which of them the decoder holds to is not asked.
    let mut frames = Vec::new();
    for Marker { code, after } in markers(bytes) {
        match code {
            // Behind the length: bits, height, width, then the number of components.
            0xC0 | 0xC1 => frames.push(after.get(7)),
            START_OF_SCAN => return frames.iter().any(|components| *components != after.get(2)),
            _ => {}
        }
    }
    false
}

/// The markers from the start. Segments (embedded thumbnails with them) are stepped over by their
/// length; in scan data a 0xFF is always stuffed with a zero or is a restart marker, so the first
/// other one is the next segment or the end.
fn markers(bytes: &[u8]) -> impl Iterator<Item = Marker<'_>> {
    let mut rest = bytes;
    iter::from_fn(move || {
        loop {
            let at = memchr(FILL, rest)?;
            let (&code, after) = rest.get(at + 1..)?.split_first()?;
            rest = match code {
                FILL => &rest[at + 1..],
                0x00 | 0x01 | 0xD0..=0xD8 => after,
                END_OF_IMAGE => &[],
                _ => after_segment(after),
            };
            if !matches!(code, FILL | 0x00) {
                return Some(Marker { code, after });
            }
        }
    })
}

/// What follows a segment whose two length bytes (counting themselves) come first; nothing when the
/// segment is cut off.
fn after_segment(segment: &[u8]) -> &[u8] {
    let &[high, low, ..] = segment else {
        return &[];
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    segment.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, a comment that contains an end marker, a scan with a stuffed byte, a restart marker
    /// and padding, and the end.
    const WHOLE: [u8; 22] = [
        0xFF, 0xD8, 0xFF, 0xFE, 0, 4, 0xFF, 0xD9, 0xFF, 0xDA, 0, 3, 1, 7, 0xFF, 0x00, 8, 0xFF,
        0xD0, 0xFF, 0xFF, 0xD9,
    ];

    #[test]
    fn only_the_whole_file_is_complete() {
        assert!(is_complete(&WHOLE));
        for length in 0..WHOLE.len() {
            assert!(!is_complete(&WHOLE[..length]), "cut to {length} bytes");
        }
    }

    #[test]
    fn bytes_after_the_end_do_no_harm() {
        let mut padded = WHOLE.to_vec();
        padded.extend([0, 0xFF, 0xDA, 9]);
        assert!(is_complete(&padded));
    }

    #[test]
    fn kinds_that_are_not_read_are_told_by_their_first_frame() {
        let kind = |code, bits| {
            unread_kind(&[FILL, START_OF_IMAGE, FILL, 0xC4, 0, 2, FILL, code, 0, 8, bits, 0, 3])
        };
        for code in [0xC0, 0xC1, 0xC2] {
            assert_eq!(kind(code, 8), None);
            assert_eq!(kind(code, 12), Some(UnreadKind::TwelveBits));
        }
        assert_eq!(kind(0xC3, 12), Some(UnreadKind::Lossless));
        assert_eq!(kind(0xC5, 8), Some(UnreadKind::Hierarchical));
        assert_eq!(kind(0xC9, 8), Some(UnreadKind::Arithmetic));
        assert_eq!(kind(0xF7, 8), Some(UnreadKind::JpegLs));
        assert_eq!(unread_kind(&WHOLE), None, "no frame at all");
    }

    #[test]
    fn scans_are_separate_when_the_first_lacks_components() {
        let frame = |code| [FILL, code, 0, 8, 8, 0, 1, 0, 1, 3];
        let scan = |components| [FILL, START_OF_SCAN, 0, 3, components, 7];
        let start = [FILL, START_OF_IMAGE];
        let separate = |file: &[&[u8]]| has_separate_scans(&[&start, &*file.concat()].concat());
        assert!(!separate(&[&frame(0xC0), &scan(3), &scan(1)]));
        assert!(!separate(&[&frame(0xC2), &scan(1)]), "progressive");
        assert!(separate(&[&frame(0xC0), &scan(1), &scan(3)]));
        assert!(separate(&[&frame(0xC1), &scan(2)]));
        assert!(!has_separate_scans(&[frame(0xC0).as_slice(), &scan(1)].concat()), "no JPEG");
        // As in a thumbnail, which is stepped over.
        let thumbnail = [&[FILL, 0xE1, 0, 12], frame(0xC0).as_slice()].concat();
        assert!(!separate(&[&thumbnail, &scan(1)]));
    }
}
