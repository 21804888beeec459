//! Pictures as people have them: kinds of TIFF, files of several pages, 16 bits that were never filled,
//! masks in alpha, orientations, and what is said of files that are not read.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::gif::GifEncoder;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Rgb, RgbImage, RgbaImage,
};
use moeclip_data::{
    DataError, Fault, FaultKind, PictureReader, SampleBits, decode_mask_bytes, decode_rgb_bytes,
};

use crate::files::{TiffFile, TiffKind, exif, with_chunk};

const WIDTH: u32 = 6;
const HEIGHT: u32 = 4;

fn read(bytes: &[u8]) -> Result<RgbImage, DataError> {
    decode_rgb_bytes(bytes, Path::new("picture"))
}

fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Grey levels of a picture without any symmetry.
fn levels() -> Vec<u8> {
    (0..WIDTH * HEIGHT).map(|at| (at * at % 251) as u8).collect()
}

fn spread(levels: &[u8]) -> Vec<u8> {
    levels.iter().flat_map(|level| [*level; 3]).collect()
}

/// Samples of so many bits without gaps, each row from a byte on.
fn packed(values: &[u16], per_row: usize, bits: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in values.chunks(per_row) {
        let (mut held, mut count) = (0_u64, 0);
        for value in row {
            held = held << bits | u64::from(*value);
            count += bits;
            while count >= 8 {
                count -= 8;
                bytes.push((held >> count) as u8);
            }
        }
        if count > 0 {
            bytes.push((held << (8 - count)) as u8);
        }
    }
    bytes
}

/// A TIFF of each byte order and size is read as these colours.
fn check_tiff(name: &str, file: &TiffFile<'_>, expected: &[u8]) {
    for kind in TiffKind::ALL {
        let read =
            read(&file.file(kind)).unwrap_or_else(|error| panic!("{name}, {kind:?}: {error}"));
        assert_eq!(read.as_raw(), expected, "{name}, {kind:?}");
    }
}

fn tiff<'a>(bits: &'a [u16], photometric: u16, pixels: &'a [u8]) -> TiffFile<'a> {
    TiffFile { width: WIDTH, height: HEIGHT, bits, photometric, pixels, more: &[] }
}

#[test]
fn grey_tiffs_of_all_depths() {
    let grey = levels();
    check_tiff("8 bits", &tiff(&[8], 1, &grey), &spread(&grey));
    let inverted: Vec<u8> = grey.iter().map(|level| !level).collect();
    check_tiff("white is zero", &tiff(&[8], 0, &inverted), &spread(&grey));
    let words: Vec<u8> = grey.iter().flat_map(|level| [*level; 2]).collect();
    check_tiff("16 bits", &tiff(&[16], 1, &words), &spread(&grey));
    for bits in 1..16_u32 {
        let value = |level: &u8| (u32::from(*level) * ((1 << bits) - 1) / 255) as u16;
        let values: Vec<u16> = grey.iter().map(value).collect();
        let most = (1_u32 << bits) - 1;
        let shown = |value: &u16| match bits {
            1..8 => ((u32::from(*value) * 255 + most / 2) / most) as u8,
            _ => (u32::from(*value) >> (bits - 8)) as u8,
        };
        let expected: Vec<u8> = values.iter().map(shown).collect();
        let pixels = packed(&values, WIDTH as usize, bits);
        check_tiff(&format!("{bits} bits"), &tiff(&[bits as u16], 1, &pixels), &spread(&expected));
    }
}

#[test]
fn coloured_tiffs() {
    let colours: Vec<u8> = (0..WIDTH * HEIGHT * 3).map(|at| (at * 7 % 256) as u8).collect();
    check_tiff("rgb", &tiff(&[8; 3], 2, &colours), &colours);
    let four: Vec<u8> = colours.chunks(3).flat_map(|c| [c[0], c[1], c[2], 255]).collect();
    for (name, extra) in [("no alpha", 0), ("alpha", 2), ("associated", 1)] {
        let file = TiffFile { more: &[(338, &[extra])], ..tiff(&[8; 4], 2, &four) };
        check_tiff(name, &file, &colours);
    }
    let planes: Vec<u8> =
        (0..3).flat_map(|at| colours.iter().skip(at).step_by(3)).copied().collect();
    let file = TiffFile { more: &[(284, &[2])], ..tiff(&[8; 3], 2, &planes) };
    check_tiff("planes", &file, &colours);
    let inks: Vec<u8> = colours.chunks(3).flat_map(|c| [!c[0], !c[1], !c[2], 0]).collect();
    check_tiff("cmyk", &tiff(&[8; 4], 5, &inks), &colours);
    let grey = levels();
    let ycbcr: Vec<u8> = grey.iter().flat_map(|level| [*level, 128, 128]).collect();
    let file = TiffFile { more: &[(530, &[1, 1])], ..tiff(&[8; 3], 6, &ycbcr) };
    check_tiff("ycbcr", &file, &spread(&grey));
}

#[test]
fn tiffs_with_alpha_and_palette() {
    let grey = levels();
    let both: Vec<u8> = grey.iter().flat_map(|level| [*level, 255]).collect();
    let file = TiffFile { more: &[(338, &[2])], ..tiff(&[8; 2], 1, &both) };
    check_tiff("grey and alpha", &file, &spread(&grey));
    let words: Vec<u8> = grey.iter().flat_map(|level| [*level, *level, 255, 255]).collect();
    let file = TiffFile { more: &[(338, &[2])], ..tiff(&[16; 2], 1, &words) };
    check_tiff("grey and alpha of 16 bits", &file, &spread(&grey));
    for bits in [1_u32, 2, 4, 8] {
        let count = 1_usize << bits;
        let colour = |at: usize| [(at * 3) as u8, (at * 5 + 1) as u8, (at * 11 + 2) as u8];
        let values: Vec<u16> = grey.iter().map(|level| u16::from(*level) % count as u16).collect();
        let pixels = packed(&values, WIDTH as usize, bits);
        let expected: Vec<u8> = values.iter().flat_map(|value| colour((*value).into())).collect();
        let map = |scale: u16| -> Vec<u16> {
            let channel = |c: usize| (0..count).map(move |at| u16::from(colour(at)[c]) * scale);
            (0..3).flat_map(channel).collect()
        };
        for scale in [257, 256, 1] {
            let (map, depth) = (map(scale), [bits as u16]);
            let file = TiffFile { more: &[(320, &map)], ..tiff(&depth, 3, &pixels) };
            check_tiff(&format!("palette of {bits} bits by {scale}"), &file, &expected);
        }
    }
}

/// What is said of a file that is not read: one line with what it is, and no type of a library.
fn refusal(bytes: &[u8]) -> String {
    let text = read(bytes).unwrap_err().to_string();
    assert!(text.starts_with("picture: ") && !text.contains('\n'), "{text}");
    for word in ["Unknown", "Error", "error", "Format", "::", "Some(", "ColorType", "None"] {
        assert!(!text.contains(word), "{text}");
    }
    text
}

#[test]
fn what_is_not_read_is_called_by_its_name() {
    let grey = levels();
    let long: Vec<u8> = grey.iter().flat_map(|level| [*level; 4]).collect();
    let said = |file: TiffFile<'_>| refusal(&file.file(TiffKind::Little));
    assert!(said(tiff(&[32], 1, &long)).contains("a TIFF of 32 bits a sample, which is not read"));
    let float = TiffFile { more: &[(339, &[3])], ..tiff(&[32], 1, &long) };
    assert!(said(float).contains("a TIFF of 32-bit floating-point numbers"));
    let signed = TiffFile { more: &[(339, &[2])], ..tiff(&[8], 1, &grey) };
    assert!(said(signed).contains("a TIFF of 8-bit numbers with a sign"));
    for (compression, name) in
        [(6, "JPEG of the old kind"), (50_000, "Zstandard"), (999, "method 999")]
    {
        let file = TiffFile { more: &[(259, &[compression])], ..tiff(&[8], 1, &grey) };
        assert!(said(file).contains(&format!("packed by {name}")));
    }
    let packed = TiffFile { more: &[(259, &[7])], ..tiff(&[8; 2], 1, &long) };
    assert!(said(packed).contains("grey and alpha packed by JPEG"));
    assert!(said(tiff(&[8; 3], 8, &spread(&grey))).contains("Lab"));
    assert!(said(tiff(&[8; 3], 1, &spread(&grey))).contains("3 bands"));
    assert!(said(tiff(&[8; 3], 6, &spread(&grey))).contains("half the size"));
    let raw = TiffFile { more: &[(254, &[1]), (330, &[8])], ..tiff(&[8], 1, &grey) };
    assert!(said(raw).contains("a camera's raw file"));
    let mut jpeg = encode(GrayImage::new(8, 8), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 1] = 0xC9;
    assert!(refusal(&jpeg).contains("a JPEG with arithmetic coding, which is not read"));
    jpeg[frame + 1] = 0xC1;
    jpeg[frame + 4] = 12;
    assert!(refusal(&jpeg).contains("a JPEG of 12 bits a sample, which is not read"));
    assert!(refusal(b"<!DOCTYPE html><html></html>").contains("a web page"));
}

/// What is noticed of a picture that is read.
fn noticed(name: &str, bytes: &[u8], bits: Option<u8>) -> (RgbImage, Vec<Fault>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let reader = PictureReader::new(bits.map(|bits| SampleBits::new(bits).unwrap()));
    let picture = reader.rgb(&path).unwrap();
    let faults = reader.take_faults();
    reader.rgb(&path).unwrap();
    assert_eq!(reader.take_faults(), [], "{name}: told once");
    assert!(faults.iter().all(|fault| fault.path == path));
    (picture, faults)
}

fn sixteen_bits(values: Vec<u16>) -> DynamicImage {
    DynamicImage::ImageLuma16(ImageBuffer::from_raw(WIDTH, HEIGHT, values).unwrap())
}

#[test]
fn bits_that_were_never_filled_are_told_and_can_be_said() {
    let grey: Vec<u8> = levels().iter().map(|level| level / 2 + 120).collect();
    for bits in [8_u32, 10, 12, 14] {
        let value = |level: &u8| {
            let level = u16::from(*level);
            level << (bits - 8) | level >> (16 - bits)
        };
        let picture = sixteen_bits(grey.iter().map(value).collect());
        for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Pnm] {
            let file = encode(picture.clone(), format);
            let (_, faults) = noticed("low", &file, None);
            let [Fault { kind, detail, .. }] = faults.as_slice() else { panic!("{faults:?}") };
            assert_eq!(*kind, FaultKind::LowBits);
            let most = (1_u32 << bits) - 1;
            let start = format!("no value above {most} of 65535; {bits} bits? --bits {bits}");
            assert!(detail.starts_with(&start), "{detail}");
            let (picture, faults) = noticed("said", &file, Some(bits as u8));
            assert_eq!((picture.into_raw(), faults), (spread(&grey), vec![]), "{bits}, {format:?}");
            let (dark, faults) = noticed("dark", &file, Some(16));
            assert!(faults.is_empty() && dark.iter().all(|value| *value < 64));
        }
    }
    let full =
        encode(sixteen_bits(grey.iter().map(|v| u16::from(*v) * 257).collect()), ImageFormat::Png);
    let (picture, faults) = noticed("full", &full, None);
    assert_eq!((picture.into_raw(), faults), (spread(&grey), vec![]));
    let path = Path::new("full.png");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(path), &full).unwrap();
    let reader = PictureReader::new(Some(SampleBits::new(12).unwrap()));
    let error = reader.rgb(&folder.path().join(path)).unwrap_err().to_string();
    assert!(error.contains("12 bits go up to 4095"), "{error}");
    let black = encode(sixteen_bits(vec![0; grey.len()]), ImageFormat::Png);
    assert_eq!(noticed("black", &black, None).1, []);
    let eight = encode(GrayImage::from_raw(WIDTH, HEIGHT, grey.clone()).unwrap(), ImageFormat::Png);
    assert_eq!(noticed("eight", &eight, Some(12)).0.into_raw(), spread(&grey));
}

#[test]
fn of_several_pages_the_first_is_read_and_the_others_are_told() {
    let grey = levels();
    let file = tiff(&[8], 1, &grey);
    for kind in TiffKind::ALL {
        let (picture, faults) = noticed("pages", &file.pages(kind, 3), None);
        assert_eq!(picture.into_raw(), spread(&grey));
        let [Fault { kind, detail, .. }] = faults.as_slice() else { panic!("{faults:?}") };
        assert_eq!(*kind, FaultKind::SeveralPages);
        assert!(detail.starts_with("3 pages"), "{detail}");
    }
    assert_eq!(noticed("one", &file.file(TiffKind::Big), None).1, []);
    let smaller = TiffFile { more: &[(254, &[1])], ..tiff(&[8], 1, &grey) };
    assert_eq!(noticed("pyramid", &smaller.pages(TiffKind::Little, 3), None).1, []);
    let frame = || image::Frame::new(RgbaImage::new(WIDTH, HEIGHT));
    for (count, told) in [(1, 0), (2, 1)] {
        let mut gif = Vec::new();
        GifEncoder::new(&mut gif).encode_frames((0..count).map(|_| frame())).unwrap();
        let (_, faults) = noticed("animation", &gif, None);
        assert_eq!(faults.len(), told, "{faults:?}");
        assert!(faults.iter().all(|fault| fault.detail.starts_with("an animation")));
    }
}

#[test]
fn an_invisible_pixel_is_not_marked_in_any_format() {
    let marked = |bytes: &[u8]| {
        let mask = decode_mask_bytes(bytes, Path::new("mask")).unwrap();
        mask.iter().map(|value| u8::from(*value != 0)).collect::<Vec<_>>()
    };
    let alpha: Vec<u8> = (0..WIDTH * HEIGHT).map(|at| if at % 5 == 0 { 255 } else { 0 }).collect();
    let expected: Vec<u8> = alpha.iter().map(|alpha| u8::from(*alpha > 0)).collect();
    let white: Vec<u8> = alpha.iter().flat_map(|alpha| [255, 255, 255, *alpha]).collect();
    let white = RgbaImage::from_raw(WIDTH, HEIGHT, white).unwrap();
    let red = RgbaImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let alpha = white.get_pixel(x, y).0[3];
        image::Rgba([255, 0, 0, alpha])
    });
    let grey: Vec<u8> = alpha.iter().flat_map(|alpha| [255, *alpha]).collect();
    let grey = GrayAlphaImage::from_raw(WIDTH, HEIGHT, grey).unwrap();
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Bmp] {
        assert_eq!(marked(&encode(white.clone(), format)), expected, "{format:?}");
        assert_eq!(marked(&encode(red.clone(), format)), expected, "red, {format:?}");
    }
    assert_eq!(marked(&encode(white.clone(), ImageFormat::Gif)), expected, "GIF");
    let sixteen = DynamicImage::ImageRgba8(white.clone()).into_rgba16();
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let sixteen = DynamicImage::ImageRgba16(sixteen.clone());
        assert_eq!(marked(&encode(sixteen, format)), expected, "16 bits, {format:?}");
    }
    assert_eq!(marked(&encode(grey, ImageFormat::Png)), expected, "grey");
    for extra in [1, 2] {
        let pixels: Vec<u8> =
            alpha.iter().flat_map(|a| [if extra == 1 { *a } else { 255 }, *a]).collect();
        let file = TiffFile { more: &[(338, &[extra])], ..tiff(&[8; 2], 1, &pixels) };
        assert_eq!(marked(&file.file(TiffKind::Little)), expected, "TIFF, {extra}");
    }
    let unmarked = TiffFile { more: &[(338, &[0])], ..tiff(&[8; 2], 1, &[255; 48]) };
    assert!(marked(&unmarked.file(TiffKind::Little)).iter().all(|marked| *marked == 1));
}

#[test]
fn an_orientation_of_any_whole_number_turns_every_format() {
    let lying = RgbImage::from_fn(16, 8, |x, _| if x < 8 { Rgb([255; 3]) } else { Rgb([0; 3]) });
    let png = with_chunk(&encode(lying.clone(), ImageFormat::Png), b"eXIf", &exif(6));
    let mut jpeg = encode(lying.clone(), ImageFormat::Jpeg);
    let segment = [b"Exif\0\0", exif(6).as_slice()].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    jpeg.splice(2..2, [&[0xFF, 0xE1], &length[..], &segment].concat());
    let tiff = TiffFile {
        width: 16,
        height: 8,
        bits: &[8; 3],
        photometric: 2,
        pixels: lying.as_raw(),
        more: &[(274, &[6])],
    };
    for (name, file) in [("PNG", png), ("JPEG", jpeg), ("TIFF", tiff.file(TiffKind::BigTiff))] {
        let upright = read(&file).unwrap();
        assert_eq!(upright.dimensions(), (8, 16), "{name}");
        assert!(upright.get_pixel(4, 2).0[0] > 240 && upright.get_pixel(4, 14).0[0] < 15, "{name}");
    }
}

#[test]
fn netpbm_of_any_maximum_is_scaled_to_it() {
    let pgm = |most: u16, value: u16| {
        let mut file = format!("P5\n# of a camera\n2 1\n{most}\n").into_bytes();
        for value in [0, value] {
            match most {
                0..256 => file.push(value as u8),
                _ => file.extend(value.to_be_bytes()),
            }
        }
        noticed("a.pgm", &file, None)
    };
    for (most, value, expected) in
        [(255, 77, 77), (4095, 4095, 255), (1023, 512, 127), (15, 15, 255)]
    {
        let (picture, faults) = pgm(most, value);
        let level = picture.get_pixel(1, 0).0[0];
        assert!(level.abs_diff(expected) <= 1, "{value} of {most} is {level}");
        assert_eq!(faults, []);
    }
    assert_eq!(pgm(65_535, 4095).1.len(), 1, "twelve bits of sixteen");
    let mask = decode_mask_bytes(b"P4\n8 1\n\x0F", Path::new("mask")).unwrap();
    assert_eq!(mask.into_raw(), [255, 255, 255, 255, 0, 0, 0, 0]);
}
