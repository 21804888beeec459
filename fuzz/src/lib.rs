//! What several targets do with their bytes.

use std::io::{Cursor, Write};
use std::path::Path;

use clip_vit::weights::OpenOptions;
use clip_vit::{ClipCheckpoint, TensorFile};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Reads `bytes` as a checkpoint of whatever container, every tensor of it and then all of it as a CLIP.
///
/// # Panics
/// When a tensor is not what its shape and type say.
pub fn read_checkpoint(bytes: Vec<u8>) {
    // A folder that is not there: no settings lie beside the bytes.
    let Ok(file) = TensorFile::of_bytes(Path::new("absent/fuzzed"), bytes) else { return };
    for name in file.names() {
        let stored = file.stored(name).expect("a tensor lies within its file");
        let elements: usize =
            file.shape(name).expect("a named tensor has a shape").iter().product();
        let size = file.dtype(name).expect("a named tensor has a type").size();
        assert_eq!(stored.len(), elements * size);
    }
    if let Ok(clip) = ClipCheckpoint::of(file, &OpenOptions::default()) {
        let _ = clip.verify_finite();
    }
}

/// A zip archive as torch writes it, with these entries below `archive/`.
///
/// # Panics
/// Never: it is written to memory.
pub fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        archive.start_file(format!("archive/{name}"), stored).expect("a name that is not taken");
        archive.write_all(bytes).expect("memory takes all bytes");
    }
    archive.finish().expect("memory takes all bytes").into_inner()
}
