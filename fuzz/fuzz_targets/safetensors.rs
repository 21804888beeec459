//! Text of unknown origin as the header of a safetensors file whose length is right, so that every change
//! of it reaches what reads tensors. Its first character says how many bytes of data follow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moeclip_fuzz::read_checkpoint;

/// Bytes of data for each step of the first character.
const STEP: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, header)) = bytes.split_first() else { return };
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.resize(file.len() + STEP * usize::from(*length), 0);
    read_checkpoint(file);
});
