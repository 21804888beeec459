//! Every pixel format that a user may hold, and every way in which a file can be broken.

use std::path::PathBuf;

use image::{GrayAlphaImage, ImageBuffer, ImageFormat, Rgb, RgbaImage};

use super::*;

type Rgb16 = ImageBuffer<Rgb<u16>, Vec<u16>>;
type Grey16 = ImageBuffer<Luma<u16>, Vec<u16>>;

/// 2x1 palette PNG of one bit: (200, 100, 50), (1, 2, 3), the first transparent.
const PALETTE_PNG: [u8; 99] = [
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 1, 1, 3, 0,
    0, 0, 206, 236, 237, 201, 0, 0, 0, 6, 80, 76, 84, 69, 200, 100, 50, 1, 2, 3, 196, 177, 157,
    190, 0, 0, 0, 2, 116, 82, 78, 83, 0, 128, 155, 43, 78, 24, 0, 0, 0, 10, 73, 68, 65, 84, 120,
    156, 99, 112, 0, 0, 0, 66, 0, 65, 41, 55, 244, 239, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96,
    130,
];
/// A PNG whose header claims 100000x100000 RGB and whose data is 64 bytes.
const HUGE_PNG: [u8; 57] = [
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 1, 134, 160, 0, 1, 134, 160,
    8, 2, 0, 0, 0, 39, 48, 156, 159, 0, 0, 0, 12, 73, 68, 65, 84, 120, 156, 99, 96, 160, 12, 0, 0,
    0, 64, 0, 1, 183, 52, 124, 239,
];

fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn rgb(bytes: &[u8]) -> Result<RgbImage, DataError> {
    decode_rgb_bytes(bytes, Path::new("picture"))
}

fn mask(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask");
    fs::write(&path, bytes).unwrap();
    decode_mask(&path).unwrap().into_raw()
}

/// A picture with structure, so that parts that are missing show.
fn colourful() -> RgbImage {
    RgbImage::from_fn(16, 12, |x, y| Rgb([(x * 16) as u8, (y * 20) as u8, ((x * y) % 251) as u8]))
}

#[test]
fn every_format_is_read_by_content() {
    use ImageFormat::{Bmp, Jpeg, Png, Pnm, Tiff, WebP};
    for format in [Png, Bmp, Tiff, WebP, Pnm] {
        assert_eq!(rgb(&encode(colourful(), format)).unwrap(), colourful(), "{format:?}");
    }
    let lossy = rgb(&encode(RgbImage::from_pixel(16, 16, Rgb([90; 3])), Jpeg)).unwrap();
    assert!(lossy.iter().all(|value| value.abs_diff(90) <= 1));
}

#[test]
fn sixteen_bits_are_reduced_to_the_upper_byte() {
    let values = [0, 255, 256, 32_768, 65_535, 511];
    let colour = Rgb16::from_raw(2, 1, values.to_vec()).unwrap();
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let bytes = encode(DynamicImage::ImageRgb16(colour.clone()), format);
        assert_eq!(rgb(&bytes).unwrap().into_raw(), [0, 0, 1, 128, 255, 1]);
    }
    let grey = Grey16::from_raw(2, 1, vec![513, 65_535]).unwrap();
    let bytes = encode(DynamicImage::ImageLuma16(grey), ImageFormat::Png);
    assert_eq!(rgb(&bytes).unwrap().into_raw(), [2, 2, 2, 255, 255, 255]);
}

#[test]
fn alpha_is_dropped_and_grey_is_spread() {
    let transparent = RgbaImage::from_raw(1, 1, vec![9, 8, 7, 0]).unwrap();
    let bytes = encode(transparent, ImageFormat::Png);
    assert_eq!(rgb(&bytes).unwrap().into_raw(), [9, 8, 7]);
    let grey = GrayAlphaImage::from_raw(1, 1, vec![77, 3]).unwrap();
    let bytes = encode(grey, ImageFormat::Png);
    assert_eq!(rgb(&bytes).unwrap().into_raw(), [77; 3]);
}

/// On black: what cannot be seen is not marked, and what can be seen at all is.
#[test]
fn masks_are_as_visible_as_their_alpha() {
    let levels = [0, 1, 128, 255].map(|alpha| [255, alpha]).concat();
    let grey = GrayAlphaImage::from_raw(4, 1, levels).unwrap();
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        assert_eq!(mask(&encode(grey.clone(), format)), [0, 1, 128, 255], "{format:?}");
    }
    let faint = GrayAlphaImage::from_raw(1, 1, vec![1, 1]).unwrap();
    assert_eq!(mask(&encode(faint, ImageFormat::Png)), [1]);
}

#[test]
fn palettes_are_looked_up() {
    assert_eq!(rgb(&PALETTE_PNG).unwrap().into_raw(), [200, 100, 50, 1, 2, 3]);
    assert_eq!(mask(&PALETTE_PNG), [0, 1], "Pillow's convert(\"L\") is [124, 2], half seen");
}

#[test]
fn masks_keep_small_values_of_16_bits() {
    let labels = Grey16::from_raw(3, 1, vec![0, 1, 512]).unwrap();
    let bytes = encode(DynamicImage::ImageLuma16(labels), ImageFormat::Png);
    assert_eq!(mask(&bytes), [0, 1, 2]);
}

/// Orientation 6: the camera lay on its side, the picture is turned a quarter clockwise.
#[test]
fn exif_orientation_is_applied() {
    let mut lying = RgbImage::from_pixel(32, 16, Rgb([0; 3]));
    for x in 0..16 {
        (0..16).for_each(|y| lying.put_pixel(x, y, Rgb([255; 3])));
    }
    let mut bytes = encode(lying, ImageFormat::Jpeg);
    let exif =
        b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    bytes.splice(2..2, exif.iter().copied());
    let upright = rgb(&bytes).unwrap();
    assert_eq!(upright.dimensions(), (16, 32));
    assert!(upright.get_pixel(8, 4).0[0] > 240, "the left became the top");
    assert!(upright.get_pixel(8, 28).0[0] < 15);
}

fn message(bytes: &[u8]) -> String {
    let text = rgb(bytes).unwrap_err().to_string();
    assert!(text.starts_with("picture: ") && !text.contains('\n'), "{text}");
    text
}

#[test]
fn what_is_no_picture_is_said_so() {
    assert!(message(b"").contains("empty"));
    assert!(message(b"once upon a time").contains("text, not a picture"));
    assert!(message(b"\x01\x02\xFF\xFE and so on").contains("not a PNG"));
    assert!(message(b"P5\n0 0\n255\n").contains("a picture without a pixel"));
    assert!(message(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;").contains("begins as a GIF"));
    assert!(message(b"\x89PNG\r\n\x1a\n").contains("begins as a PNG"));
}

#[test]
fn claimed_sizes_cost_an_error_not_memory() {
    assert!(message(&HUGE_PNG).contains("is larger than 1048576 pixels a side or 512 MiB"));
    let mut jpeg = encode(colourful(), ImageFormat::Jpeg);
    let frame =
        jpeg.windows(2).position(|pair| pair[0] == 0xFF && (0xC0..=0xC2).contains(&pair[1]));
    let sizes = frame.unwrap() + 5;
    jpeg[sizes..sizes + 4].fill(0xFF);
    assert!(message(&jpeg).contains("is larger than 1048576 pixels a side or 512 MiB"));
    let mut bmp = encode(colourful(), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0xA0, 0x86, 1, 0, 0xA0, 0x86, 1, 0]);
    message(&bmp);
    let thin = encode(GrayImage::new(1, MAX_SIDE + 1), ImageFormat::Png);
    assert!(message(&thin).contains("1048576 pixels a side"));
}

#[test]
fn line_scans_are_long() {
    for (width, height) in [(70_000, 4), (4, 70_000)] {
        for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Pnm] {
            let read = rgb(&encode(GrayImage::new(width, height), format)).unwrap();
            assert_eq!(read.dimensions(), (width, height), "{format:?}");
        }
        let bmp = encode(GrayImage::new(width, height), ImageFormat::Bmp);
        assert!(message(&bmp).contains("a BMP of more than 65535 pixels a side"));
    }
}

#[test]
fn floating_point_pixels_are_refused() {
    let picture = image::Rgb32FImage::from_pixel(2, 2, Rgb([0.5; 3]));
    let bytes = encode(DynamicImage::ImageRgb32F(picture), ImageFormat::Tiff);
    assert!(message(&bytes).contains("8 or 16 bits"));
}

/// Wherever a file is cut, it is refused or still holds the whole picture (a PNG without its last
/// chunk does).
#[test]
fn cut_files_are_refused() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    for format in [Png, Jpeg, Bmp, Tiff, WebP, Gif, Pnm] {
        let bytes = encode(colourful(), format);
        let whole = rgb(&bytes).unwrap();
        for length in 0..bytes.len() {
            if let Ok(picture) = rgb(&bytes[..length]) {
                assert_eq!(picture, whole, "{format:?} cut to {length} of {}", bytes.len());
            }
        }
        assert!(rgb(&bytes[..bytes.len() / 2]).is_err(), "{format:?}");
    }
}

/// Flipped bits may give another picture or an error, never a panic.
#[test]
fn damaged_files_do_no_harm() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    for format in [Png, Jpeg, Bmp, Tiff, WebP, Gif, Pnm] {
        let bytes = encode(colourful(), format);
        for at in 0..bytes.len() {
            for damage in [0x01, 0x80, 0xFF] {
                let mut damaged = bytes.clone();
                damaged[at] ^= damage;
                if let Err(error) = rgb(&damaged) {
                    assert!(!error.to_string().contains('\n'));
                }
            }
        }
    }
}

#[test]
fn paths_that_are_no_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = decode_rgb(folder.path()).unwrap_err().to_string();
    assert!(error.contains("a folder, where an image file is needed"), "{error}");
    let missing: PathBuf = folder.path().join("missing.png");
    let error = decode_rgb(&missing).unwrap_err().to_string();
    assert!(error.contains("missing.png: cannot be read"), "{error}");
}

#[cfg(unix)]
#[test]
fn endless_devices_are_not_read() {
    let error = decode_rgb(Path::new("/dev/zero")).unwrap_err().to_string();
    assert!(error.contains("no regular file"), "{error}");
}
