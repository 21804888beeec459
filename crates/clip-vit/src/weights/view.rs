//! Where a tensor lies in its file: checked once against the file's length, then read or gathered.

use std::borrow::Cow;
use std::ops::Range;

use super::Dtype;

/// Most axes that a stored tensor may have; CLIP's largest has four.
pub(super) const MAX_RANK: usize = 16;

/// A tensor within a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Element type.
    pub(super) dtype: Dtype,
    /// Sizes of the axes; empty for a scalar.
    pub(super) shape: Vec<usize>,
    /// Byte at which the first element lies.
    start: usize,
    /// Elements from one index of an axis to the next; `None` where they follow each other.
    strides: Option<Vec<usize>>,
}

/// A tensor as a file declares it, yet to be checked.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [usize],
    pub(super) strides: &'a [usize],
    /// First element, counted from the start of the storage.
    pub(super) offset: usize,
    /// Bytes of the storage within the file.
    pub(super) storage: Range<usize>,
}

impl View {
    /// A view of elements that follow each other and fill `bytes`.
    pub(super) fn contiguous(
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: Range<usize>,
    ) -> Result<View, String> {
        let needed = byte_length(dtype, &shape)?;
        if bytes.end.checked_sub(bytes.start) != Some(needed) {
            return Err(format!("its shape {shape:?} does not fill bytes {bytes:?}"));
        }
        Ok(View { dtype, shape, start: bytes.start, strides: None })
    }

    /// A view of what a pickle declares, checked against its storage and the file's length.
    pub(super) fn strided(declared: &Declared<'_>, file_length: usize) -> Result<View, String> {
        let Declared { dtype, shape, strides, offset, storage } = declared;
        if shape.len() != strides.len() || shape.len() > MAX_RANK {
            return Err(format!("its shape {shape:?} and strides {strides:?} do not fit"));
        }
        if byte_length(*dtype, shape)? > file_length {
            return Err(format!("its shape {shape:?} is larger than the whole file"));
        }
        let elements = storage.len() / dtype.size();
        let needed = elements_spanned(shape, strides).and_then(|span| match span {
            0 => Some(0),
            span => span.checked_add(*offset),
        });
        if needed.is_none_or(|needed| needed > elements) {
            return Err(format!(
                "shape {shape:?}, strides {strides:?} and offset {offset} leave its storage of {elements} elements"
            ));
        }
        let empty = shape.contains(&0);
        let start = if empty { storage.start } else { storage.start + offset * dtype.size() };
        let strides = (!empty && !follows(shape, strides)).then(|| strides.to_vec());
        Ok(View { dtype: *dtype, shape: shape.to_vec(), start, strides })
    }

    /// The same elements with the two axes of a matrix exchanged.
    pub(super) fn transposed(&self) -> View {
        let mut turned = self.clone();
        if let [rows, columns] = self.shape[..] {
            let strides = self.strides.clone().unwrap_or_else(|| vec![columns, 1]);
            turned.shape = vec![columns, rows];
            turned.strides = Some(strides.into_iter().rev().collect());
        }
        turned
    }

    /// The elements in order, borrowed where they follow each other. `None` where the file is
    /// shorter than it was when the view was checked.
    pub(super) fn bytes<'a>(&self, file: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match &self.strides {
            None => {
                let length = byte_length(self.dtype, &self.shape).ok()?;
                file.get(self.start..self.start.checked_add(length)?).map(Cow::Borrowed)
            }
            Some(strides) => self.gather(file, strides).map(Cow::Owned),
        }
    }

    fn gather(&self, file: &[u8], strides: &[usize]) -> Option<Vec<u8>> {
        let size = self.dtype.size();
        let mut gathered = Vec::with_capacity(byte_length(self.dtype, &self.shape).ok()?);
        let mut index = vec![0_usize; self.shape.len()];
        loop {
            let element: usize = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
            let at = self.start + element * size;
            gathered.extend_from_slice(file.get(at..at + size)?);
            if !advance(&mut index, &self.shape) {
                return Some(gathered);
            }
        }
    }
}

/// The next index in row-major order; `false` past the last.
fn advance(index: &mut [usize], shape: &[usize]) -> bool {
    for (i, size) in index.iter_mut().zip(shape).rev() {
        *i += 1;
        if *i < *size {
            return true;
        }
        *i = 0;
    }
    false
}

/// Bytes of a tensor, unless they are more than the machine can count.
pub(super) fn byte_length(dtype: Dtype, shape: &[usize]) -> Result<usize, String> {
    shape
        .iter()
        .try_fold(dtype.size(), |bytes, size| bytes.checked_mul(*size))
        .ok_or_else(|| format!("its shape {shape:?} is too large"))
}

/// Elements from the first to just past the last; 0 for an empty tensor.
fn elements_spanned(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().zip(strides).try_fold(1_usize, |span, (size, stride)| {
        span.checked_add((size - 1).checked_mul(*stride)?)
    })
}

/// Whether the elements follow each other; the stride of an axis of size 1 does not matter.
fn follows(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1_usize;
    shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == expected;
        expected = expected.saturating_mul(*size);
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[usize], strides: &[usize], offset: usize) -> Result<View, String> {
        let declared = Declared { dtype: Dtype::U8, shape, strides, offset, storage: 2..14 };
        View::strided(&declared, 20)
    }

    #[test]
    fn strided_elements_are_gathered_in_order() {
        let file: Vec<u8> = (0..20).collect();
        let turned = view(&[4, 3], &[1, 4], 0).unwrap();
        let expected = [2, 6, 10, 3, 7, 11, 4, 8, 12, 5, 9, 13];
        assert_eq!(*turned.bytes(&file).unwrap(), expected);
        let back = turned.transposed();
        assert_eq!(back.shape, [3, 4]);
        assert_eq!(*back.bytes(&file).unwrap(), file[2..14]);
        let row = view(&[1, 4], &[99, 1], 4).unwrap();
        assert_eq!(*row.bytes(&file).unwrap(), file[6..10]);
        let expanded = view(&[3], &[0], 11).unwrap();
        assert_eq!(*expanded.bytes(&file).unwrap(), [13, 13, 13]);
    }

    #[test]
    fn nothing_leaves_its_storage() {
        assert!(view(&[4, 3], &[3, 1], 0).is_ok());
        assert!(view(&[4, 3], &[3, 1], 1).is_err());
        assert!(view(&[2], &[usize::MAX], 0).is_err());
        assert!(view(&[1], &[1], usize::MAX).is_err());
        assert!(view(&[usize::MAX, 2], &[0, 0], 0).is_err());
        assert!(view(&[30], &[0], 0).is_err());
        assert!(view(&[1, 1], &[1], 0).is_err());
        let empty = view(&[0, usize::MAX], &[1, 1], usize::MAX);
        assert!(empty.is_ok_and(|view| view.bytes(&[0; 20]).is_some_and(|bytes| bytes.is_empty())));
    }

    #[test]
    fn a_shape_must_fill_its_bytes() {
        assert!(View::contiguous(Dtype::F32, vec![2, 3], 8..32).is_ok());
        assert!(View::contiguous(Dtype::F32, vec![2, 3], 8..31).is_err());
        assert!(View::contiguous(Dtype::F32, vec![usize::MAX, 3], 8..32).is_err());
    }
}
