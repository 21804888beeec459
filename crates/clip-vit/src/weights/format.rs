//! Formats told by content: those that are read, and what people give in their place.

use std::fmt;
use std::path::Path;

use super::file::Contents;
use super::{WeightError, legacy, safe, zip};

/// How a file keeps its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// A JSON header and raw tensors.
    Safetensors,
    /// What `torch.save` writes: a zip archive with a pickle.
    TorchZip,
    /// What `torch.jit.save` writes, OpenAI's own format.
    TorchScript,
    /// What `torch.save` wrote before PyTorch 1.6: pickles, then raw storages.
    TorchLegacy,
}

impl FileFormat {
    /// A short name, as in `torchscript`.
    pub fn name(self) -> &'static str {
        match self {
            FileFormat::Safetensors => "safetensors",
            FileFormat::TorchZip => "torch-zip",
            FileFormat::TorchScript => "torchscript",
            FileFormat::TorchLegacy => "torch-legacy",
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The format and contents of `bytes`; `path` is for errors.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<(FileFormat, Contents), WeightError> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return zip::parse(path, bytes);
    }
    // Before the pickles: a header's length may begin with the same two bytes.
    if safe::header_length(bytes).is_some() {
        return Ok((FileFormat::Safetensors, safe::parse(path, bytes)?));
    }
    if legacy::is_pickle(bytes) {
        return Ok((FileFormat::TorchLegacy, legacy::parse(path, bytes)?));
    }
    Err(WeightError::Unknown { file: path.into(), looks: looks(bytes) })
}

/// First bytes, and what they are of.
const SIGNATURES: [(&[u8], &str); 18] = [
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"%PDF", "a PDF"),
    (b"version https://git-lfs", "a Git LFS pointer (fetch the file itself with git lfs pull)"),
    (b"version https://hawser", "a Git LFS pointer (fetch the file itself with git lfs pull)"),
    (b"<", "a web page or XML (the download has failed)"),
    (b"{", "JSON text"),
    (b"GGUF", "GGUF, a format of llama.cpp"),
    (b"\x89HDF", "HDF5, a format of Keras"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"ftrt", "an engine of TensorRT"),
    (b"\x1f\x8b", "gzip-compressed (unpack it first)"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed (unpack it first)"),
    (b"\xfd7zXZ", "xz-compressed (unpack it first)"),
    (b"BZh", "bzip2-compressed (unpack it first)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive (unpack it first)"),
    (b"Rar!", "a RAR archive (unpack it first)"),
    (b"\x7fELF", "a program or library"),
];

/// Where a tar archive says that it is one.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// Where a TensorFlow Lite model says that it is one.
const TFLITE: (usize, &[u8]) = (4, b"TFL3");

/// Bytes of a text that are looked at.
const TEXT: usize = 512;

/// What `bytes` that should be text are instead, where that is known.
pub(super) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Some("UTF-16 text (save it as UTF-8)");
    }
    let what = looks(bytes);
    let is_known = SIGNATURES.iter().any(|(start, name)| *name == what && *start != b"{");
    is_known.then_some(what)
}

/// What `bytes` look like.
fn looks(bytes: &[u8]) -> &'static str {
    // A page or a pointer may have a byte order mark and blank lines before it.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let at = |(place, mark): (usize, &[u8])| {
        bytes.get(place..).is_some_and(|rest| rest.starts_with(mark))
    };
    if let Some((_, what)) =
        SIGNATURES.iter().find(|(start, _)| bytes.starts_with(start) || text.starts_with(start))
    {
        return what;
    }
    if is_onnx(bytes) {
        "ONNX, which holds a graph (give the checkpoint that it was made from)"
    } else if at(TAR) {
        "a tar archive (unpack it first)"
    } else if at(TFLITE) {
        "a model of TensorFlow Lite"
    } else if is_text(bytes) {
        "plain text (has the download failed?)"
    } else {
        "in an unknown format"
    }
}

/// ONNX is a message of protocol buffers: the version of its format, then who wrote it, the
/// operators that it needs, or the graph itself.
fn is_onnx(bytes: &[u8]) -> bool {
    const VERSION: u8 = 0x08;
    const NEWEST: u8 = 0x20;
    // Producer and its version, domain, model version, text, graph, operator sets.
    const NEXT: [u8; 7] = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42];
    matches!(bytes, [VERSION, 1..=NEWEST, next, ..] if NEXT.contains(next))
}

/// Words of printable ASCII, as a server's message has them.
fn is_text(bytes: &[u8]) -> bool {
    let start = bytes.get(..TEXT).unwrap_or(bytes);
    let printed = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    start.iter().all(printed) && start.iter().any(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_files_are_called_by_their_names() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let cases: [(&[u8], &str); 10] = [
            (b"\x08\x08\x12\x07pytorch\x1a\x052.4.0", "ONNX"),
            (b"\x08\x0a:\x80\x01", "ONNX"),
            (b"\x08\x0a\x05", "unknown"),
            (b"\n\n  <!doctype html>", "web page"),
            (b"\xef\xbb\xbf<html>", "web page"),
            (b"\xef\xbb\xbfversion https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"Invalid credentials in Authorization header", "plain text"),
            (b"\x18\0\0\0TFL3", "TensorFlow Lite"),
            (&tar, "tar archive"),
            (b"hello", "unknown"),
        ];
        for (bytes, expected) in cases {
            assert!(looks(bytes).contains(expected), "{expected}: {}", looks(bytes));
        }
    }
}
