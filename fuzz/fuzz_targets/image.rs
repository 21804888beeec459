//! Bytes of unknown origin as a picture and as a mask: an error or pixels, never a crash, and no
//! more memory than the limits allow.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use moeclip_data::{Preprocessing, decode_mask_bytes, decode_rgb_bytes};

/// Pictures up to here are brought to the model's input as well; larger ones only cost time.
const PIXELS: u32 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let preprocessing = Preprocessing::clip(16).expect("16 is a size");
    if let Ok(picture) = decode_rgb_bytes(bytes, Path::new("fuzzed"))
        && picture.width().saturating_mul(picture.height()) <= PIXELS
    {
        let values = preprocessing.image(&picture).expect("a decoded picture has pixels");
        assert_eq!(values.len(), 3 * 16 * 16);
    }
    if let Ok(mask) = decode_mask_bytes(bytes, Path::new("fuzzed")) {
        assert_eq!(preprocessing.mask(&mask).len(), 16 * 16);
    }
});
