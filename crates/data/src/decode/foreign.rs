//! What a file is that no decoder reads: a picture of another format, what stands in place of a file that
//! was never fetched, or something else. Said so that one knows what to do.

/// Bytes of a text that are looked at.
const LOOKED_AT: usize = 4096;

const READ: &str = "PNG, JPEG, BMP, TIFF, WebP, GIF or PNM";

/// What begins with these bytes at this place, as in "a PDF".
struct Signature {
    at: usize,
    bytes: &'static [u8],
    what: &'static str,
}

const fn begins(bytes: &'static [u8], what: &'static str) -> Signature {
    Signature { at: 0, bytes, what }
}

/// Pictures that no decoder here reads.
const PICTURES: &[Signature] = &[
    begins(b"\0\0\0\x0CjP  \r\n\x87\n", "a JPEG 2000 picture"),
    begins(b"\xFF\x4F\xFF\x51", "a JPEG 2000 picture"),
    begins(b"\0\0\0\x0CJXL \r\n\x87\n", "a JPEG XL picture"),
    begins(b"\xFF\x0A", "a JPEG XL picture"),
    begins(b"II\xBC", "a JPEG XR picture"),
    begins(b"8BPS", "a Photoshop document"),
    begins(b"gimp xcf", "a GIMP document"),
    begins(b"\0\0\x01\0", "a Windows icon"),
    begins(b"\0\0\x02\0", "a Windows cursor"),
    begins(b"DDS ", "a DirectDraw texture"),
    begins(b"v/1\x01", "an OpenEXR picture"),
    begins(b"#?RADIANCE", "a Radiance picture"),
    begins(b"#?RGBE", "a Radiance picture"),
    begins(b"qoif", "a QOI picture"),
    begins(b"farbfeld", "a farbfeld picture"),
    begins(b"\x0A\x05\x01", "a PCX picture"),
    begins(b"\x01\xDA", "an SGI picture"),
    begins(b"\x59\xA6\x6A\x95", "a Sun raster picture"),
    begins(b"PF\n", "a floating-point map (PFM)"),
    begins(b"Pf\n", "a floating-point map (PFM)"),
    begins(b"FUJIFILMCCD-RAW", "a camera's raw file"),
    begins(b"IIRO", "a camera's raw file"),
    begins(b"IIRS", "a camera's raw file"),
    begins(b"MMOR", "a camera's raw file"),
    begins(b"IIU\0", "a camera's raw file"),
    begins(b"FOVb", "a camera's raw file"),
    begins(b"ZISRAWFILE", "a Zeiss microscope's file (CZI)"),
    begins(b"SIMPLE  =", "a FITS file"),
    begins(b"\xD7\xCD\xC6\x9A", "a Windows metafile"),
    Signature { at: 344, bytes: b"n+1\0", what: "a NIfTI volume" },
    Signature { at: 344, bytes: b"ni1\0", what: "a NIfTI volume" },
];

/// What has no picture in it, or many.
const OTHERS: &[Signature] = &[
    begins(b"%PDF", "a PDF"),
    begins(b"%!PS", "a PostScript document"),
    begins(b"PK\x03\x04", "a ZIP archive or Office document"),
    begins(b"\x1F\x8B", "a gzip archive"),
    begins(b"BZh", "a bzip2 archive"),
    begins(b"\xFD7zXZ\0", "an xz archive"),
    begins(b"\x28\xB5\x2F\xFD", "a Zstandard archive"),
    begins(b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive"),
    begins(b"Rar!", "a RAR archive"),
    Signature { at: 257, bytes: b"ustar", what: "a tar archive" },
    begins(b"\x93NUMPY", "a NumPy array"),
    begins(b"\x89HDF\r\n\x1A\n", "an HDF5 file"),
    begins(b"MATLAB 5.0", "a MATLAB file"),
    begins(b"\x1A\x45\xDF\xA3", "a video"),
    begins(b"\0\0\x01\xBA", "a video"),
    begins(b"\0\x05\x16\x07", "what macOS keeps beside a file (AppleDouble)"),
    begins(b"\0\x05\x16\0", "what macOS keeps beside a file (AppleDouble)"),
    begins(b"L\0\0\0\x01\x14\x02\0", "a Windows shortcut"),
    begins(b"\x7FELF", "a program"),
    begins(b"MZ", "a program"),
    begins(b"SQLite format 3", "a database"),
    begins(b"\xD0\xCF\x11\xE0", "an Office document"),
];

/// What the file is and what to do, in one line.
pub(super) fn describe(bytes: &[u8]) -> String {
    if let Some(what) = picture(bytes) {
        return format!("{what}, which is not read; save it as PNG");
    }
    if let Some(what) = found(OTHERS, bytes).or_else(|| boxed_other(bytes)) {
        return format!("{what}, not a picture; remove it, or put the picture in its place");
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return "nothing but zeros, as a copy that never ended leaves; copy it again".into();
    }
    if let Some(text) = text(bytes) {
        return describe_text(&text);
    }
    format!("not a {READ} image; remove or convert it")
}

/// The kind of picture that begins like this and is not read, as in "a JPEG XL picture".
pub(crate) fn picture(bytes: &[u8]) -> Option<&'static str> {
    found(PICTURES, bytes).or_else(|| boxed_picture(bytes))
}

fn found(signatures: &[Signature], bytes: &[u8]) -> Option<&'static str> {
    let is_it =
        |s: &&Signature| bytes.get(s.at..).is_some_and(|behind| behind.starts_with(s.bytes));
    signatures.iter().find(is_it).map(|signature| signature.what)
}

/// HEIC and its kin: a box `ftyp` names what is in the file, the main one first.
fn boxed_picture(bytes: &[u8]) -> Option<&'static str> {
    brands(bytes)?
        .find_map(|brand| match brand {
            b"avif" | b"avis" => Some("an AVIF picture"),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some("a HEIC picture"),
            b"jp2 " | b"jpx " => Some("a JPEG 2000 picture"),
            b"jxl " => Some("a JPEG XL picture"),
            b"crx " => Some("a camera's raw file"),
            _ => None,
        })
        .or_else(|| {
            brands(bytes)?.any(|b| matches!(b, b"mif1" | b"msf1")).then_some("a HEIF picture")
        })
}

fn boxed_other(bytes: &[u8]) -> Option<&'static str> {
    if let (Some(b"RIFF"), Some(kind)) = (bytes.get(..4), bytes.get(8..12)) {
        return Some(if kind == b"AVI " { "a video" } else { "a sound or other media file" });
    }
    brands(bytes).map(|_| "a video")
}

fn brands(bytes: &[u8]) -> Option<impl Iterator<Item = &[u8; 4]>> {
    let (length, behind) = bytes.split_first_chunk::<4>()?;
    let rest = behind.strip_prefix(b"ftyp")?;
    let inside = (u32::from_be_bytes(*length) as usize).saturating_sub(8).min(rest.len());
    // The second four bytes are a version.
    let (first, others) = rest.split_at(inside.min(4));
    let others = others.get(4..inside.saturating_sub(4)).unwrap_or_default();
    Some(first.chunks_exact(4).chain(others.chunks_exact(4)).filter_map(|b| b.first_chunk()))
}

/// The beginning of a text, lower case and without what may stand before it.
fn text(bytes: &[u8]) -> Option<String> {
    let start = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let start = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() && bytes.len() > LOOKED_AT => {
            std::str::from_utf8(start.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_binary = start.chars().any(|c| c.is_control() && !c.is_whitespace());
    let start = start.trim_start_matches('\u{FEFF}').trim_start();
    (!is_binary).then(|| start.to_lowercase())
}

/// What stands in place of a file that was never fetched.
pub(crate) struct Pointer {
    /// Whose it is, as in "a Git LFS pointer".
    pub(crate) of: &'static str,
    /// The command that fetches the file.
    pub(crate) fetch: &'static str,
}

/// Whether a text, which is looked at in small letters, is a pointer to a file.
pub(crate) fn pointer(text: &str) -> Option<Pointer> {
    let is_short = || text.lines().count() <= 3;
    if text.starts_with("version https://git-lfs.github.com/spec/") {
        return Some(Pointer { of: "a Git LFS pointer", fetch: "git lfs pull" });
    }
    if text.contains("annex/objects/") && is_short() {
        return Some(Pointer { of: "a git-annex pointer", fetch: "git annex get" });
    }
    let is_of_dvc = text.starts_with("outs:") || text.starts_with("md5:");
    if is_of_dvc && text.contains("md5:") {
        return Some(Pointer { of: "a DVC pointer", fetch: "dvc pull" });
    }
    None
}

fn describe_text(text: &str) -> String {
    let begins = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    if let Some(Pointer { of, fetch }) = pointer(text) {
        return format!("{of} in place of the picture; fetch it with `{fetch}`");
    }
    if text.contains("<svg") && begins(&["<"]) {
        return "an SVG drawing, which is not read; save it as PNG".into();
    }
    if begins(&["<!doctype html", "<html", "<head", "<body"]) || text.contains("<html") {
        return "a web page, as servers send in place of a file; download it again".into();
    }
    let what = match text.chars().next() {
        Some('<') => "XML text",
        Some('{' | '[') => "JSON text",
        _ => "text",
    };
    format!("{what}, not a picture; remove it, or download the picture again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let said = describe(bytes);
        assert!(said.contains(expected) && said.contains("; "), "{said:?}, not {expected:?}");
        for length in 0..bytes.len() {
            describe(&bytes[..length]);
        }
    }

    #[test]
    fn files_are_called_what_they_are() {
        for (bytes, expected) in [
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n" as &[u8],
                "a Git LFS pointer",
            ),
            (b"/annex/objects/MD5E-s1--00.png\n", "git-annex"),
            (b"../../.git/annex/objects/x/y/MD5E-s1--00.png", "git-annex"),
            (b"outs:\n- md5: 00\n  path: a.png\n", "a DVC pointer"),
            (b"<!DOCTYPE html><html><head>", "a web page"),
            (b"\xEF\xBB\xBF \n<HTML>", "a web page"),
            (b"<!-- proxy -->\n<html>", "a web page"),
            (b"<?xml version=\"1.0\"?>\n<svg>", "an SVG drawing"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied", "XML text"),
            (b"{\"error\": 404}", "JSON text"),
            (b"once upon a time", "text, not a picture"),
            (b"P1 is the first of seven", "text, not a picture"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC picture"),
            (b"\0\0\0\x14ftypmif1\0\0\0\0mif1", "a HEIF picture"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0avifmif1", "an AVIF picture"),
            (b"\0\0\0\x14ftypavif\0\0\0\0miaf", "an AVIF picture"),
            (b"\0\0\0\x14ftypisom\0\0\0\0mp41", "a video"),
            (b"\0\0\0\x0CjP  \r\n\x87\n\0\0", "a JPEG 2000 picture"),
            (b"\xFF\x4F\xFF\x51\0", "a JPEG 2000 picture"),
            (b"\xFF\x0A\0\0", "a JPEG XL picture"),
            (b"%PDF-1.7\n", "a PDF"),
            (b"PK\x03\x04\x14\0", "a ZIP archive"),
            (b"8BPS\0\x01", "a Photoshop document"),
            (b"RIFF\0\0\0\0AVI LIST", "a video"),
            (b"\0\0\0\0\0\0", "nothing but zeros"),
            (b"\x80\x02\xFF\xFE}q", "not a PNG, JPEG"),
        ] {
            check(bytes, expected);
        }
    }
}
