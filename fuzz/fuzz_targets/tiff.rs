//! Bytes of unknown origin as a TIFF or BigTIFF, as a picture and as a mask: an error or pixels, never a
//! crash, and no more memory than the limits allow.
#![no_main]

use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use moeclip_data::{decode_mask_bytes, decode_rgb_bytes};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let is_tiff = matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..]);
    if !is_tiff {
        return Corpus::Reject;
    }
    let path = Path::new("fuzzed");
    let picture = decode_rgb_bytes(bytes, path).map(|picture| picture.dimensions());
    let mask = decode_mask_bytes(bytes, path).map(|mask| mask.dimensions());
    // What is a picture is a mask, of the same size.
    assert_eq!(picture.ok(), mask.ok());
    Corpus::Keep
});
