//! Tells a whole JPEG from a cut-off one: the decoder fills what is missing with grey and says
//! nothing, which would be scored.

use memchr::memchr;

const FILL: u8 = 0xFF;
const END_OF_IMAGE: u8 = 0xD9;

/// Whether the file reaches its end-of-image marker.
///
/// Walks the markers from the start. Segments (embedded thumbnails with them) are stepped over by
/// their length; in scan data a 0xFF is always stuffed with a zero or is a restart marker, so the
/// first other one is the next segment or the end.
pub(crate) fn is_complete(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = memchr(FILL, rest) {
        let Some((&marker, after)) = rest.get(at + 1..).and_then(<[u8]>::split_first) else {
            return false;
        };
        rest = match marker {
            END_OF_IMAGE => return true,
            FILL => rest.get(at + 1..).unwrap_or_default(),
            0x00 | 0x01 | 0xD0..=0xD8 => after,
            _ => after_segment(after),
        };
    }
    false
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
}
