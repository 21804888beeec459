//! Bytes of unknown origin as a checkpoint, whatever container they claim to be: safetensors, a zip
//! archive with a pickle, TorchScript, or old pickles. An error or tensors, never a crash, and no more
//! memory than the bytes account for.
#![no_main]

use std::path::Path;

use clip_vit::weights::OpenOptions;
use clip_vit::{ClipCheckpoint, TensorFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A folder that is not there: no settings lie beside the bytes.
    let Ok(file) = TensorFile::of_bytes(Path::new("absent/fuzzed"), bytes.to_vec()) else { return };
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
});
