//! Bytes of unknown origin as a checkpoint, whatever container they claim to be: safetensors, a zip
//! archive with a pickle, TorchScript, or old pickles. An error or tensors, never a crash, and no more
//! memory than the bytes account for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moeclip_fuzz::read_checkpoint;

fuzz_target!(|bytes: &[u8]| read_checkpoint(bytes.to_vec()));
