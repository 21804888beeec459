//! Whether a file that has no ending of an image is one all the same, by its content, or looks like a
//! picture that is not read.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use image::ImageFormat;

use super::{ending, is_image, unfetched};
use crate::decode::{Container, foreign_picture};

/// Bytes at a file's start that tell its format.
const START: u64 = 512;

/// Endings of pictures, and of measurements that are looked at as pictures, that no decoder here
/// answers to.
const PICTURE_ENDINGS: &[&str] = &[
    "pfm", "jp2", "j2k", "jpf", "jpx", "jpc", "j2c", "jpm", "jxr", "wdp", "hdp", "jxl", "jls",
    "jif", "jfi", "pjpeg", "pjp", "heic", "heif", "hif", "avif", "apng", "mng", "psd", "psb",
    "xcf", "kra", "ico", "cur", "icns", "qoi", "dds", "exr", "hdr", "tga", "sgi", "rgb", "ras",
    "pcx", "xbm", "xpm", "wbmp", "ff", "dcm", "dicom", "fits", "fit", "fts", "nii", "mha", "mhd",
    "nrrd", "mrc", "dm3", "dm4", "czi", "lif", "nd2", "lsm", "stk", "svs", "ndpi", "scn", "mrxs",
    "vsi", "bif", "svg", "emf", "wmf", "dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf",
    "sr2", "orf", "rw2", "raf", "pef", "srw", "3fr", "iiq", "raw", "x3f",
];

/// What a file is.
pub(super) enum FileKind {
    /// An image by its content, under an ending that does not say otherwise.
    Image,
    /// A picture, or named like one; what is wrong with it and what to do.
    NotRead(String),
    /// What DVC notes of this picture, or folder of them, which is not there.
    NoteOf(PathBuf),
    /// Nothing that was meant.
    NoPicture,
}

/// What the file at `path` is, whose ending is none of an image. One that cannot be opened is taken
/// by its name.
pub(super) fn of(path: &Path) -> FileKind {
    let kept = path.with_extension("");
    if ending(path) == "dvc" && may_be_picture(&kept) && unfetched(&kept).is_some() {
        return FileKind::NoteOf(kept);
    }
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

/// Whether a file or folder of this name, which is not there, was a picture or a folder of them.
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
        match Container::of(start) {
            Some(Container::Dicom) if cfg!(not(feature = "dicom")) => Self::NotRead("a DICOM"),
            Some(container) if is_likely(container, start) => Self::Read(container.name()),
            Some(_) => Self::Unknown,
            None => foreign_picture(start).map_or(Self::Unknown, Self::NotRead),
        }
    }
}

/// Whether more than two letters speak for the format: text may begin with `BM` or `P1`.
fn is_likely(container: Container, start: &[u8]) -> bool {
    match container {
        Container::Common(ImageFormat::Bmp) => {
            let header = start.get(14..18).and_then(|bytes| bytes.try_into().ok());
            header.map(u32::from_le_bytes).is_some_and(|size| (12..=124).contains(&size))
        }
        Container::Common(ImageFormat::Pnm) => {
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
