//! safetensors: a JSON header checked by the `safetensors` crate, then raw tensors.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{SafeTensorError, SafeTensors};

use super::error::shown;
use super::file::Contents;
use super::view::View;
use super::{Dtype, WeightError};

/// Bytes before the header: its length.
const LENGTH: usize = 8;

/// Longest header that the crate accepts.
const MAX_HEADER: u64 = 100_000_000;

/// The header's length, if `bytes` begin as a safetensors file does.
pub(super) fn header_length(bytes: &[u8]) -> Option<u64> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<LENGTH>()?);
    (bytes.get(LENGTH) == Some(&b'{') && length <= MAX_HEADER).then_some(length)
}

/// The tensors and metadata that the header declares.
pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Contents, WeightError> {
    let broken = |reason: String| WeightError::Safetensors { file: file.into(), reason };
    let (header, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| broken(reason(&error, bytes)))?;
    let data = LENGTH + header;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let about = |reason: String| broken(format!("tensor {}: {reason}", shown(&name)));
        let stored = info.dtype.to_string();
        let dtype = Dtype::named(&stored)
            .ok_or_else(|| about(format!("its type {stored} is not one of a CLIP")))?;
        let (start, end) = info.data_offsets;
        let place = data.checked_add(start).zip(data.checked_add(end));
        let (start, end) = place
            .filter(|(_, end)| *end <= bytes.len())
            .ok_or_else(|| about("it leaves the file".into()))?;
        let view = View::contiguous(dtype, info.shape.clone(), start..end).map_err(about)?;
        tensors.insert(name, view);
    }
    let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Contents { tensors, metadata, ..Contents::default() })
}

fn reason(error: &SafeTensorError, bytes: &[u8]) -> String {
    let length = bytes.len();
    match error {
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            format!(
                "its header describes another length than the file's {length} bytes (truncated?)"
            )
        }
        other => shown(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(header: &str, data: usize) -> Result<Contents, WeightError> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        parse(Path::new("x"), &bytes)
    }

    #[test]
    fn hostile_headers_are_errors() {
        let whole = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(parsed(whole, 8).is_ok());
        assert!(parsed(whole, 7).unwrap_err().to_string().contains("truncated"));
        let far = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,0]}}"#;
        let large = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#;
        let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        let unknown = r#"{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#;
        for header in [far, large, overlap, unknown, "{", "[]", "{\"a\":1}"] {
            let line = parsed(header, 8).unwrap_err().to_string();
            assert!(line.contains("broken safetensors") && !line.contains('\n'), "{line}");
        }
        assert!(parsed(unknown, 8).unwrap_err().to_string().contains("tensor a: its type F8_E4M3"));
    }

    #[test]
    fn sizes_that_wrap_around_are_errors() {
        // Three tensors of 2^61 bytes each and one of the rest sum to the file's length, modulo 2^64.
        let eighth = 1_u64 << 61;
        let tensors: Vec<String> = (0..7)
            .map(|i| {
                let (from, to) = (i * eighth, (i + 1) * eighth);
                format!(
                    r#""t{i}":{{"dtype":"U8","shape":[{eighth}],"data_offsets":[{from},{to}]}}"#
                )
            })
            .collect();
        assert!(parsed(&format!("{{{}}}", tensors.join(",")), 16).is_err());
    }
}
