//! Whether a file that has no ending of an image is one all the same, by its content, or looks like a
//! picture that is not read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use image::ImageFormat;

use super::{ending, is_image};

/// Bytes at a file's start that tell its format.
const START: u64 = 512;

/// Endings of pictures, and of measurements that are looked at as pictures, that no decoder here
/// answers to.
const PICTURE_ENDINGS: &[&str] = &[
    "gif", "pbm", "pgm", "ppm", "pnm", "pam", "pfm", "jp2", "j2k", "jpf", "jpx", "jpc", "j2c",
    "jpm", "jxr", "wdp", "hdp", "jxl", "jls", "jif", "jfi", "pjpeg", "pjp", "heic", "heif", "hif",
    "avif", "apng", "mng", "psd", "psb", "xcf", "kra", "ico", "cur", "icns", "qoi", "dds", "exr",
    "hdr", "tga", "sgi", "rgb", "ras", "pcx", "xbm", "xpm", "wbmp", "bigtiff", "btf", "tf8", "ff",
    "dcm", "dicom", "fits", "fit", "fts", "nii", "mha", "mhd", "nrrd", "mrc", "dm3", "dm4", "czi",
    "lif", "nd2", "lsm", "stk", "svs", "ndpi", "scn", "mrxs", "vsi", "bif", "svg", "emf", "wmf",
    "dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "orf", "rw2", "raf", "pef",
    "srw", "3fr", "iiq", "raw", "x3f",
];

/// Signatures of pictures that are not read: where it stands, what it is, and the format's name.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (4, b"jP  \r\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (4, b"JXL \r\n", "a JPEG XL"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"II\xbc", "a JPEG XR"),
    (4, b"ftypheic", "a HEIC"),
    (4, b"ftypheix", "a HEIC"),
    (4, b"ftyphevc", "a HEIC"),
    (4, b"ftypmif1", "a HEIF"),
    (4, b"ftypmsf1", "a HEIF"),
    (4, b"ftypavi", "an AVIF"),
    (4, b"ftypcrx", "a camera's raw file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"II+\0", "a BigTIFF"),
    (0, b"MM\0+", "a BigTIFF"),
    (0, b"SIMPLE  =", "a FITS"),
    (0, b"\x8aMNG\r\n", "a MNG"),
    #[cfg(not(feature = "dicom"))]
    (128, DICOM, "a DICOM"),
];

/// What a DICOM file has behind its first 128 bytes.
const DICOM: &[u8] = b"DICM";

/// What a file is.
pub(super) enum FileKind {
    /// An image by its content, under an ending that does not say otherwise.
    Image,
    /// A picture, or named like one; what is wrong with it and what to do.
    NotRead(String),
    /// Nothing that was meant.
    NoPicture,
}

/// What the file at `path` is, whose ending is none of an image. One that cannot be opened is taken
/// by its name.
pub(super) fn of(path: &Path) -> FileKind {
    let (ending, start) = (ending(path), start(path));
    let content = Content::of(&start);
    let is_numbered = ending.bytes().all(|byte| byte.is_ascii_digit());
    let is_picture = PICTURE_ENDINGS.contains(&ending.as_str());
    match content {
        Content::Read(_) if is_numbered => FileKind::Image,
        // Cameras and microscopes store more than a picture in what begins as a TIFF does.
        Content::Read("TIFF") if is_picture => FileKind::NotRead(format!(
            "a .{ending}, which is not read though it begins as a TIFF; convert it to PNG or TIFF"
        )),
        Content::Read(_) if is_picture => FileKind::Image,
        Content::Read(format) => FileKind::NotRead(format!(
            "holds a {format} under an ending that is not looked at; rename or remove it"
        )),
        Content::NotRead(format) => FileKind::NotRead(format!(
            "{format}, which is not read; convert it to PNG or remove it"
        )),
        Content::Unknown if is_picture => FileKind::NotRead(format!(
            "a .{ending}, which is not read; convert it to PNG or remove it"
        )),
        Content::Unknown => FileKind::NoPicture,
    }
}

/// Whether a file of this name, which is not there, was a picture.
pub(super) fn may_be_picture(path: &Path) -> bool {
    let ending = ending(path);
    ending.bytes().all(|byte| byte.is_ascii_digit())
        || is_image(path)
        || PICTURE_ENDINGS.contains(&ending.as_str())
}

/// What a file's first bytes say.
enum Content {
    Read(&'static str),
    NotRead(&'static str),
    Unknown,
}

impl Content {
    fn of(start: &[u8]) -> Self {
        let is_there = |at: usize, signature: &[u8]| {
            start.get(at..).is_some_and(|rest| rest.starts_with(signature))
        };
        let named = SIGNATURES.iter().find(|(at, signature, _)| is_there(*at, signature));
        if let Some((_, _, format)) = named {
            return Self::NotRead(format);
        }
        #[cfg(feature = "dicom")]
        if is_there(128, DICOM) {
            return Self::Read("DICOM");
        }
        match image::guess_format(start) {
            Ok(format) if !is_likely(format, start) => Self::Unknown,
            Ok(format) if format.reading_enabled() => Self::Read(format_name(format)),
            Ok(ImageFormat::Gif) => Self::NotRead("a GIF"),
            Ok(ImageFormat::Pnm) => Self::NotRead("a PNM"),
            Ok(_) => Self::NotRead("a picture"),
            Err(_) => Self::Unknown,
        }
    }
}

/// A format as messages call it.
fn format_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::WebP => "WebP",
        _ => "picture",
    }
}

/// Whether more than two letters speak for the format: text may begin with `BM` or `P1`.
fn is_likely(format: ImageFormat, start: &[u8]) -> bool {
    match format {
        ImageFormat::Bmp => {
            let header = start.get(14..18).and_then(|bytes| bytes.try_into().ok());
            header.map(u32::from_le_bytes).is_some_and(|size| (12..=124).contains(&size))
        }
        ImageFormat::Pnm => {
            let is_space = start.get(2).is_some_and(u8::is_ascii_whitespace);
            is_space && start.get(3).is_some_and(|b| b.is_ascii_digit() || *b == b'#')
        }
        _ => true,
    }
}

fn start(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    // What cannot be read says nothing.
    let _ = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
    start
}
