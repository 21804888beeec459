//! Truncated, altered and foreign files: one clear line, never a panic.

use std::io::Write;
use std::path::Path;

use crate::weights_common::{fixture, open_error, saved, state_dict, tiny_tensors};
use clip_vit::weights::write::{HostTensor, TorchValue, write_torch_zip};
use clip_vit::weights::{ClipCheckpoint, FileFormat, OpenOptions, TensorFile};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A small legacy file, as `torch.save(..., _use_new_zipfile_serialization=False)` writes it: one
/// transposed matrix and a second tensor on the same storage.
fn legacy() -> Vec<u8> {
    let text =
        |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend([&b"\x80\x02}"[..], &text("little_endian"), b"\x88s."].concat());
    let storage = [
        &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("94"),
        &text("cpu"),
        b"K\x06NtQ",
    ]
    .concat();
    let end = b"\x89ccollections\nOrderedDict\n)RtR";
    let turned = [&storage[..], b"K\x00K\x03K\x02\x86K\x01K\x03\x86", end].concat();
    let shared = [&storage[..], b"K\x04K\x02\x85K\x01\x85", end].concat();
    bytes.extend(
        [&b"\x80\x02}("[..], &text("turned"), &turned, &text("shared"), &shared, b"u."].concat(),
    );
    bytes.extend([&b"\x80\x02]("[..], &text("94"), b"e."].concat());
    bytes.extend(6_u64.to_le_bytes());
    bytes.extend((0..6).flat_map(|value| (value as f32).to_le_bytes()));
    bytes
}

/// A torch archive with the given pickle and one storage of three singles, its entries written with
/// `options`.
fn archive(pickle: &[u8], others: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let entries = [("data.pkl", pickle), ("data/0", &[0; 12][..])];
    for (name, bytes) in entries.iter().chain(others) {
        zip.start_file(format!("x/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn opened(bytes: &[u8]) -> Result<TensorFile, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    TensorFile::open(&path).map_err(|error| error.to_string())
}

/// Opens and reads everything; whatever comes out, it comes without a panic.
fn exercise(path: &Path) {
    if let Ok(file) = TensorFile::open(path) {
        for name in file.names() {
            file.read_f32(name).ok();
            file.read_i64(name).ok();
        }
    }
    if let Ok(clip) = ClipCheckpoint::open(path, &OpenOptions::default()) {
        clip.verify_finite().ok();
    }
}

#[test]
fn a_legacy_file_gathers_strides_and_shares_storages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("legacy");
    std::fs::write(&path, legacy()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.format(), FileFormat::TorchLegacy);
    assert_eq!(file.shape("turned"), Some(&[3, 2][..]));
    assert_eq!(file.read_f32("turned").unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(file.read_f32("shared").unwrap(), [4.0, 5.0]);
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = tiny_tensors();
    let some = tiny.iter().filter(|(name, _)| name.starts_with("ln_final"));
    let some = some.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    let zip = folder.path().join("zip");
    write_torch_zip(&zip, &state_dict(&some, "")).unwrap();
    let safe = saved(folder.path(), "safe", &some);
    let wholes = [legacy(), std::fs::read(zip).unwrap(), std::fs::read(safe).unwrap()];
    let cut = folder.path().join("cut");
    for whole in wholes {
        for length in 0..whole.len() {
            std::fs::write(&cut, &whole[..length]).unwrap();
            let line = TensorFile::open(&cut).unwrap_err().to_string();
            assert!(line.contains("cut: ") && !line.contains('\n'), "{line}");
        }
    }
}

#[test]
fn random_changes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = tiny_tensors();
    let zip = folder.path().join("zip");
    write_torch_zip(&zip, &state_dict(&tiny, "state_dict.module.")).unwrap();
    let safe = saved(folder.path(), "safe", &tiny);
    let script = std::fs::read(fixture("openai_torchscript.pt")).unwrap();
    // The TorchScript archive's pickle and directory, not its megabyte of numbers.
    let pickle = script.windows(4).position(|window| window == b"\x80\x02c_").unwrap();
    let files = [
        (legacy(), 0, 3000),
        (std::fs::read(zip).unwrap(), 0, 3000),
        (std::fs::read(safe).unwrap(), 0, 3000),
        (script, pickle, 300),
    ];
    let path = folder.path().join("changed");
    let mut random = Random(20);
    for (whole, from, rounds) in files {
        for _ in 0..rounds {
            let mut changed = whole.clone();
            for _ in 0..1 + random.below(4) {
                let at = from + random.below(whole.len() - from);
                changed[at] = random.below(256) as u8;
            }
            std::fs::write(&path, &changed).unwrap();
            exercise(&path);
        }
    }
}

/// A small generator (SplitMix64), the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

#[test]
fn foreign_files_are_named_for_what_they_are() {
    let cases: [(&[u8], &str); 12] = [
        (b"\x08\x08\x12\x07pytorch\x1a\x052.4.0", "ONNX"),
        (b"\n<!DOCTYPE html>", "a web page"),
        (b"", "is empty (0 bytes)"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "it is a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n", "it is a PNG picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!doctype html>", "the download has failed"),
        (b"{\"a\": 1}", "it is JSON text"),
        (b"hello", "in an unknown format"),
        (b"\x80\x02N.", "a pickle, but not one of torch.save"),
        (b"PK\x03\x04", "its zip directory cannot be read"),
        (b"\x08\0\0\0\0\0\0\0{       ", "broken safetensors"),
    ];
    for (bytes, expected) in cases {
        let line = opened(bytes).unwrap_err();
        assert!(line.contains(expected) && !line.contains('\n'), "{line}");
    }
}

#[test]
fn folders_missing_files_and_devices_are_told() {
    let folder = tempfile::tempdir().unwrap();
    assert!(open_error(folder.path()).contains("is a folder"));
    assert!(open_error(&folder.path().join("absent")).contains("cannot be read"));
    #[cfg(unix)]
    assert!(open_error(Path::new("/dev/zero")).contains("is not a regular file"));
}

#[test]
fn archives_that_are_not_torchs_are_told() {
    let line = |bytes: &[u8]| opened(bytes).unwrap_err();
    assert!(opened(&archive(b"\x80\x02}.", &[])).is_ok());
    let big = archive(b"\x80\x02}.", &[("byteorder", b"big")]);
    assert!(line(&big).contains("big-endian"));
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(
        "other",
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored),
    )
    .unwrap();
    assert!(line(&zip.finish().unwrap().into_inner()).contains("without data.pkl"));
    // The flag of compression in the directory: method 8 where it was 0.
    let mut packed = archive(b"\x80\x02}.", &[]);
    let directory = packed.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    packed[directory + 10] = 8;
    assert!(line(&packed).contains("compressed"));
    let script = archive(b"\x80\x02c__torch__\nM\n)\x81}b.", &[("constants.pkl", b"\x80\x02).")]);
    assert_eq!(opened(&script).unwrap().format(), FileFormat::TorchScript);
}

#[test]
fn tensors_stay_within_their_storages() {
    let tensor = |offset: &[u8], sizes: &[u8], key: u8| {
        let storage =
            [b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0", &[key][..]].concat();
        let call = [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..]].concat();
        let rest = [b"X\x03\0\0\0cpuK\x03tQ", offset, sizes, b"\x89NtR"].concat();
        archive(&[b"\x80\x02}X\x01\0\0\0w", &call[..], &rest, b"s."].concat(), &[])
    };
    assert_eq!(
        opened(&tensor(b"K\x00", b"K\x03\x85K\x01\x85", b'0')).unwrap().shape("w"),
        Some(&[3][..])
    );
    let cases: [(&[u8], &[u8], u8, &str); 6] = [
        (b"K\x01", b"K\x03\x85K\x01\x85", b'0', "leave its storage"),
        (b"K\x00", b"K\x03\x85K\x02\x85", b'0', "leave its storage"),
        (b"J\xff\xff\xff\x7f", b"K\x01\x85K\x01\x85", b'0', "leave its storage"),
        (
            b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"K\x02\x85K\x01\x85",
            b'0',
            "leave its storage",
        ),
        (b"K\x00", b"J\xff\xff\xff\x7f\x85K\x00\x85", b'0', "larger than the whole file"),
        (b"K\x00", b"K\x03\x85K\x01\x85", b'1', "no entry data/1"),
    ];
    for (offset, sizes, key, expected) in cases {
        let line = opened(&tensor(offset, sizes, key)).unwrap_err();
        assert!(line.contains("tensor w: ") && line.contains(expected), "{line}");
    }
}

#[test]
fn names_with_control_characters_stay_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny_tensors();
    tensors.insert("visual.\n\u{1b}[2J".into(), HostTensor::from_f32(&[1], &[0.0]));
    let line = open_error(&saved(folder.path(), "names", &tensors));
    assert!(line.contains("unexpected: visual.\\n\\u{1b}[2J;"), "{line}");
    let path = folder.path().join("nested");
    let root = TorchValue::Dict(vec![("a\nb".into(), TorchValue::Dict(vec![]))]);
    write_torch_zip(&path, &root).unwrap();
    assert!(open_error(&path).contains("none of its 0 tensors"));
}
