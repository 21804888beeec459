//! NumPy's `.npy`, so that a map can be opened with `numpy.load` and every number recomputed.
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, version 1.0.

use std::io::Write;
use std::path::Path;

use super::write_atomically;
use crate::EvalError;
use crate::error::require_length;

/// Magic, version 1.0.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// The data begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// Writes `data` as a row-major little-endian float32 array of `shape`.
///
/// # Errors
/// [`EvalError::Length`] when the shape does not hold exactly `data`, [`EvalError::Write`] when the
/// file cannot be written.
pub fn write_npy_f32(path: &Path, shape: &[usize], data: &[f32]) -> Result<(), EvalError> {
    let size = shape.iter().fold(1_usize, |size, &side| size.saturating_mul(side));
    require_length("npy array", size, data.len())?;
    write_atomically(path, |file| {
        file.write_all(&header(shape))?;
        data.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))
    })
}

/// All that comes before the data.
fn header(shape: &[usize]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", sides.trim_end());
    let before = MAGIC.len() + 2;
    let padded = (before + text.len() + 1).next_multiple_of(ALIGNMENT);
    text.push_str(&" ".repeat(padded - before - text.len() - 1));
    text.push('\n');
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&(text.len() as u16).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}
