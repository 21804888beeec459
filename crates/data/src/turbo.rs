//! JPEG by libjpeg-turbo, behind the feature `libjpeg-turbo`: it takes four fifths of the time, and gives
//! Pillow's bytes to the last bit, for Pillow has them from there too.
//!
//! It is C and assembly, so building it takes a C compiler, CMake and NASM; without the feature
//! everything is Rust, and colours differ from Pillow's by a few grey levels in places.

/// Fills `pixels` with the RGB picture of `width` x `height` in `bytes`; false, whatever they hold then,
/// where these are no JPEG or one that libjpeg-turbo refuses or warns of. The other decoder is asked then.
#[cfg(feature = "libjpeg-turbo")]
pub(crate) fn read_rgb(bytes: &[u8], [width, height]: [u32; 2], pixels: &mut [u8]) -> bool {
    use turbojpeg::{Decompressor, Image, PixelFormat};

    let (width, height) = (width as usize, height as usize);
    if !bytes.starts_with(&[0xFF, 0xD8, 0xFF]) || pixels.len() != 3 * width * height {
        return false;
    }
    let picture = Image { pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB };
    let decode = || {
        let mut decompressor = Decompressor::new()?;
        let header = decompressor.read_header(bytes)?;
        let as_claimed = (header.width, header.height) == (width, height);
        Ok::<_, turbojpeg::Error>(as_claimed && decompressor.decompress(bytes, picture).is_ok())
    };
    decode().unwrap_or(false)
}

/// Without the feature: leaves every picture to the other decoder.
#[cfg(not(feature = "libjpeg-turbo"))]
pub(crate) fn read_rgb(_bytes: &[u8], _size: [u32; 2], _pixels: &mut [u8]) -> bool {
    false
}
