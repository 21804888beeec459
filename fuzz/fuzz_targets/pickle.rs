//! A pickle of unknown origin where torch keeps one, in a container that is right, so that every change of
//! it reaches the machine that reads pickles. The first byte says which container.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moeclip_fuzz::{archive, read_checkpoint};

/// The magic number, the version and the notes on the system with which an old file begins.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\
    \x80\x02}X\x0d\x00\x00\x00little_endian\x88s.";

/// Bytes of each storage of an archive.
const STORAGE: [u8; 64] = [0; 64];

fuzz_target!(|bytes: &[u8]| {
    let Some((container, pickle)) = bytes.split_first() else { return };
    let mut entries: Vec<(&str, &[u8])> = vec![
        ("data.pkl", pickle),
        ("byteorder", b"little"),
        ("data/0", &STORAGE),
        ("data/1", &STORAGE),
        ("version", b"3\n"),
    ];
    match container % 3 {
        0 => read_checkpoint(archive(&entries)),
        1 => {
            entries.push(("constants.pkl", b"\x80\x02)."));
            read_checkpoint(archive(&entries));
        }
        _ => read_checkpoint([LEGACY, pickle].concat()),
    }
});
