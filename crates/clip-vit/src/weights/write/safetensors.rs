//! safetensors with the same bytes for the same content.
//!
//! The header is written here because the `safetensors` crate keeps metadata in a hash map, whose
//! order, and so the file's hash, differs from run to run. Its reader checks what is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{HostTensor, replace};
use crate::weights::error::shown;
use crate::weights::view::byte_length;
use crate::weights::{Dtype, WeightError};

/// The key of the metadata, which no tensor may have.
const METADATA: &str = "__metadata__";

/// The header's length is a multiple of it, so that elements lie where processors like them.
const ALIGNMENT: usize = 8;

/// Writes tensors and metadata as one safetensors file, deterministically.
///
/// # Errors
///
/// [`WeightError`] when the folder cannot be written or a tensor's bytes do not fit its shape.
pub fn write_safetensors(
    path: &Path,
    tensors: &BTreeMap<String, HostTensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightError> {
    let mut declared = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        tensor.check(path, name)?;
        declared.push(Declared { name, dtype: tensor.dtype, shape: &tensor.shape });
    }
    write_declared(path, declared, metadata, |name| {
        Ok(Cow::Borrowed(tensors.get(name).map_or(&[], |tensor| tensor.bytes.as_slice())))
    })
}

/// A tensor whose elements are fetched when they are written.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [usize],
}

/// Writes what `fetch` gives for each name, one tensor in memory at a time.
pub(super) fn write_declared<'t>(
    path: &Path,
    mut tensors: Vec<Declared<'_>>,
    metadata: &BTreeMap<String, String>,
    fetch: impl Fn(&str) -> Result<Cow<'t, [u8]>, WeightError>,
) -> Result<(), WeightError> {
    // Wide elements first keeps every tensor aligned.
    tensors.sort_by_key(|tensor| (std::cmp::Reverse(tensor.dtype.size()), tensor.name));
    let header = header(path, &tensors, metadata)?;
    replace(path, |writer| {
        let failed = |source| WeightError::write(path, source);
        writer.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
        writer.write_all(&header).map_err(failed)?;
        for tensor in &tensors {
            writer.write_all(&fetch(tensor.name)?).map_err(failed)?;
        }
        Ok(())
    })
}

fn header(
    path: &Path,
    tensors: &[Declared<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, WeightError> {
    let mut entries = Vec::with_capacity(tensors.len());
    let mut start = 0_usize;
    for tensor in tensors {
        let end = end(tensor, start).map_err(|reason| WeightError::Unwritable {
            file: path.into(),
            tensor: shown(tensor.name),
            reason,
        })?;
        let (dtype, shape) = (tensor.dtype.name(), tensor.shape);
        let place = Place { dtype, shape, data_offsets: [start, end] };
        entries.push(Entry { name: tensor.name, place });
        start = end;
    }
    let mut header = serde_json::to_vec(&Header { metadata, entries })
        .map_err(|error| WeightError::write(path, error.into()))?;
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    Ok(header)
}

/// Where a tensor that begins at `start` ends.
fn end(tensor: &Declared<'_>, start: usize) -> Result<usize, String> {
    if tensor.name == METADATA {
        return Err("safetensors keeps this name for itself".into());
    }
    let length = byte_length(tensor.dtype, tensor.shape)?;
    start.checked_add(length).ok_or_else(|| "the file would be too large".into())
}

struct Header<'a> {
    metadata: &'a BTreeMap<String, String>,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    name: &'a str,
    place: Place<'a>,
}

#[derive(serde::Serialize)]
struct Place<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry(METADATA, self.metadata)?;
        }
        for entry in &self.entries {
            map.serialize_entry(entry.name, &entry.place)?;
        }
        map.end()
    }
}
