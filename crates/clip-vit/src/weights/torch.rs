//! From a pickle and the places of its storages to checked tensors: what every torch format shares.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::WeightError;
use super::error::shown;
use super::file::Contents;
use super::pickle::{Document, PickleError, StorageRef, TensorRef, flatten};
use super::view::{Declared, View};

/// Tensors and metadata of `document`. `place` gives the bytes of a storage within a file of
/// `file_length` bytes, or what is wrong with it.
pub(super) fn contents(
    file: &Path,
    document: &Document<'_>,
    file_length: usize,
    place: impl Fn(&StorageRef<'_>) -> Result<Range<usize>, String>,
) -> Result<Contents, WeightError> {
    let flat = flatten(document).map_err(|source| pickle_error(file, source))?;
    let mut tensors = BTreeMap::new();
    for (name, index) in flat.tensors {
        let view = document
            .tensors
            .get(index)
            .ok_or_else(|| String::from("is not declared"))
            .and_then(|tensor| checked(document, tensor, file_length, &place))
            .map_err(|reason| WeightError::Tensor {
                file: file.into(),
                tensor: shown(&name),
                reason,
            })?;
        tensors.insert(name, view);
    }
    Ok(Contents { tensors, metadata: flat.scalars, containers: flat.containers })
}

/// The same error, naming its file.
pub(super) fn pickle_error(file: &Path, source: PickleError) -> WeightError {
    WeightError::Pickle { file: file.into(), source }
}

fn checked(
    document: &Document<'_>,
    tensor: &TensorRef,
    file_length: usize,
    place: impl Fn(&StorageRef<'_>) -> Result<Range<usize>, String>,
) -> Result<View, String> {
    let storage = document.storages.get(tensor.storage).ok_or("its storage is not declared")?;
    let declared = Declared {
        dtype: storage.dtype,
        shape: &tensor.shape,
        strides: &tensor.strides,
        offset: tensor.offset,
        storage: part_of(storage, place(storage)?)?,
    };
    View::strided(&declared, file_length)
}

/// The part of `whole` that a storage takes.
fn part_of(storage: &StorageRef<'_>, whole: Range<usize>) -> Result<Range<usize>, String> {
    let bytes = |elements: usize| elements.checked_mul(storage.dtype.size());
    let start = bytes(storage.offset).and_then(|skipped| whole.start.checked_add(skipped));
    let end =
        start.zip(bytes(storage.length)).and_then(|(start, length)| start.checked_add(length));
    start.zip(end).filter(|(_, end)| *end <= whole.end).map(|(start, end)| start..end).ok_or_else(
        || {
            format!(
                "its storage {} of {} {} elements is longer than the {} bytes that the file has for it",
                shown(storage.key),
                storage.length,
                storage.dtype,
                whole.len()
            )
        },
    )
}
