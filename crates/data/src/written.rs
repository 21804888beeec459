//! Tells the pictures that this program wrote from those that it is given: maps and overlays often lie
//! in the folder of their images, and are not to be taken for images when it is searched again.
//!
//! The mark is in the file, so that it stays with a picture that is moved or renamed, and goes when
//! another program saves it anew.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Keyword of the text chunk that every PNG of this program opens with.
pub const MARK_KEYWORD: &str = "Software";
/// What that chunk says.
pub const MARK_TEXT: &str = "MoECLIP";
/// Ends of the names of maps, overlays and sheets of experts.
pub const MAP_SUFFIX: &str = ".map.png";
/// As [`MAP_SUFFIX`].
pub const OVERLAY_SUFFIX: &str = ".overlay.png";
/// As [`MAP_SUFFIX`].
pub const EXPERTS_SUFFIX: &str = ".experts.png";

/// The list of what `predict` says, beside its maps.
pub const PREDICTIONS: &str = "predictions.jsonl";

/// Maps that were written before there was the mark say their range, and nothing else does.
const RANGE_KEYWORD: &str = "map-low";
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The mark is the second chunk.
const HEAD: u64 = 512;

/// Whether this program wrote the picture at `path`. What cannot be read is somebody else's.
pub fn is_written(path: &Path) -> bool {
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    is_png && (is_marked(path) || lies_beside_its_map(path))
}

fn is_marked(path: &Path) -> bool {
    head(path).is_ok_and(|head| texts(&head).any(is_mark))
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD as usize);
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// The text chunks that are whole in the first bytes of a PNG.
fn texts(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head.strip_prefix(SIGNATURE).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (kind, behind) = behind.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let body = behind.get(..length)?;
        rest = behind.get(length.saturating_add(4)..).unwrap_or_default();
        Some((kind, body))
    })
    .filter(|(kind, _)| *kind == b"tEXt")
    .map(|(_, body)| body)
}

fn is_mark(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |&byte| byte == 0);
    let keyword = parts.next().unwrap_or_default();
    let said = parts.next().unwrap_or_default();
    let is_own = keyword == MARK_KEYWORD.as_bytes() && said == MARK_TEXT.as_bytes();
    is_own || keyword == RANGE_KEYWORD.as_bytes()
}

/// Overlays and sheets that were written before there was the mark: what lies beside them tells.
fn lies_beside_its_map(path: &Path) -> bool {
    let beside = |suffix: &str, other: &str| {
        let stem = path.file_name()?.to_str()?.strip_suffix(suffix)?;
        Some(path.with_file_name(format!("{stem}{other}")))
    };
    let is_overlay = beside(OVERLAY_SUFFIX, MAP_SUFFIX).is_some_and(|map: PathBuf| is_marked(&map));
    is_overlay || beside(EXPERTS_SUFFIX, ".experts.json").is_some_and(|json| json.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::images;

    /// The beginning of a PNG with these chunks behind its header.
    fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        for (kind, body) in [(b"IHDR", &[0; 13][..])].iter().chain(chunks) {
            bytes.extend((body.len() as u32).to_be_bytes());
            bytes.extend([kind.as_slice(), body, &[0; 4]].concat());
        }
        bytes
    }

    #[test]
    fn pictures_of_this_program_are_told_by_their_mark() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, bytes: &[u8], expected: bool| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            assert_eq!(is_written(&path), expected, "{name}");
        };
        let own = png(&[(b"tEXt", b"Software\0MoECLIP")]);
        check("renamed.PNG", &own, true);
        check("second.png", &png(&[(b"gAMA", &[0; 4]), (b"tEXt", b"Software\0MoECLIP")]), true);
        check("another.png", &png(&[(b"tEXt", b"Software\0GIMP")]), false);
        check("in-a-comment.png", &png(&[(b"tEXt", b"Comment\0Software MoECLIP")]), false);
        check("plain.map.png", &png(&[]), false);
        check("torn.png", &own[..40], false);
        check("huge.png", &[&own[..33], &[255; 4], b"tEXtSoftware\0MoECLIP"].concat(), false);
        check("picture.jpg", &own, false);
        check("b.overlay.png", &png(&[]), false);
        check("b.map.png", &png(&[(b"tEXt", b"map-low\x000.5")]), true);
        check("b.overlay.png", &png(&[]), true);
        check("b.experts.png", &png(&[]), false);
        fs::write(folder.path().join("b.experts.json"), b"{}").unwrap();
        check("b.experts.png", &png(&[]), true);
        assert!(!is_written(&folder.path().join("nowhere.png")));
        let found = images(folder.path()).unwrap();
        let names = found.images.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
        let expected = ["another", "huge", "in-a-comment", "picture", "plain.map", "torn"];
        let stems = names.map(|name| name.rsplit_once('.').unwrap().0);
        assert_eq!(stems.collect::<Vec<_>>(), expected);
    }
}
