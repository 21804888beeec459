//! Stored elements to numbers: in bulk, on every core, with the check for NaN and infinity in the
//! same pass.

use burn::tensor::Element;
use bytemuck::{AnyBitPattern, NoUninit, Pod, Zeroable};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use super::Dtype;

#[cfg(target_endian = "big")]
compile_error!("weight files are little-endian and are read without swapping bytes");

/// Elements that one task converts: large enough to pay for the task, small enough for the cache.
const CHUNK: usize = 1 << 16;

/// Numbers read from a file.
#[derive(Debug)]
pub(super) struct Decoded<T> {
    /// Every element, in row-major order.
    pub(super) values: Vec<T>,
    /// Whether none of them is NaN or infinite.
    pub(super) finite: bool,
}

/// A floating-point type in which tensors are read.
pub(super) trait Real: Element + Pod + Zeroable + Send + Sync {
    /// Its name in a file.
    const DTYPE: Dtype;

    /// Fills `out` from as many singles.
    fn from_singles(out: &mut [Self], singles: &[f32]);

    /// Fills `out` from stored elements of `dtype`, which is another type than its own.
    fn convert(bytes: &[u8], dtype: Dtype, out: &mut [Self]) {
        let mut singles = vec![0.0_f32; out.len()];
        singles_from(bytes, dtype, &mut singles);
        Self::from_singles(out, &singles);
    }
}

impl Real for f32 {
    const DTYPE: Dtype = Dtype::F32;

    fn from_singles(out: &mut [f32], singles: &[f32]) {
        out.copy_from_slice(singles);
    }

    fn convert(bytes: &[u8], dtype: Dtype, out: &mut [f32]) {
        singles_from(bytes, dtype, out);
    }
}

impl Real for f16 {
    const DTYPE: Dtype = Dtype::F16;

    fn from_singles(out: &mut [f16], singles: &[f32]) {
        out.convert_from_f32_slice(singles);
    }
}

impl Real for bf16 {
    const DTYPE: Dtype = Dtype::Bf16;

    fn from_singles(out: &mut [bf16], singles: &[f32]) {
        out.convert_from_f32_slice(singles);
    }
}

/// Stored floating-point elements as `T`. The caller has checked that `dtype` is floating-point.
pub(super) fn decode<T: Real>(bytes: &[u8], dtype: Dtype) -> Decoded<T> {
    let size = dtype.size();
    // Zeroed pages come from the system as they are, so nothing is written twice.
    let mut values: Vec<T> = bytemuck::zeroed_vec(bytes.len() / size);
    let finite = values
        .par_chunks_mut(CHUNK)
        .zip(bytes.par_chunks(CHUNK * size))
        .map(|(out, stored)| {
            if dtype == T::DTYPE {
                copy_elements(stored, out);
            } else {
                T::convert(stored, dtype, out);
            }
            finite_chunk(bytemuck::cast_slice(out), T::DTYPE)
        })
        .reduce(|| true, |left, right| left & right);
    Decoded { values, finite }
}

/// Whether no stored element is NaN or infinite; true for integers.
pub(super) fn is_finite(bytes: &[u8], dtype: Dtype) -> bool {
    bytes.par_chunks(CHUNK * dtype.size()).all(|stored| finite_chunk(stored, dtype))
}

/// Stored integers or booleans, widened; values beyond `i64` become its maximum. `None` for
/// floating-point types.
pub(super) fn integers(bytes: &[u8], dtype: Dtype) -> Option<Vec<i64>> {
    Some(match dtype {
        Dtype::Bool | Dtype::U8 => widen::<u8>(bytes),
        Dtype::I8 => widen::<i8>(bytes),
        Dtype::I16 => widen::<i16>(bytes),
        Dtype::U16 => widen::<u16>(bytes),
        Dtype::I32 => widen::<i32>(bytes),
        Dtype::U32 => widen::<u32>(bytes),
        Dtype::I64 => widen::<i64>(bytes),
        Dtype::U64 => {
            elements::<u64>(bytes).map(|value| i64::try_from(value).unwrap_or(i64::MAX)).collect()
        }
        Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64 => return None,
    })
}

fn widen<T: AnyBitPattern + Into<i64>>(bytes: &[u8]) -> Vec<i64> {
    elements::<T>(bytes).map(Into::into).collect()
}

/// Elements one by one, at any alignment.
fn elements<T: AnyBitPattern>(bytes: &[u8]) -> impl Iterator<Item = T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned)
}

fn copy_elements<T: Pod>(stored: &[u8], out: &mut [T]) {
    let out: &mut [u8] = bytemuck::cast_slice_mut(out);
    out.copy_from_slice(stored);
}

fn singles_from(bytes: &[u8], dtype: Dtype, out: &mut [f32]) {
    match dtype {
        Dtype::F16 => aligned::<f16>(bytes, |halves| halves.convert_to_f32_slice(out)),
        Dtype::Bf16 => aligned::<bf16>(bytes, |halves| halves.convert_to_f32_slice(out)),
        Dtype::F64 => {
            for (single, double) in out.iter_mut().zip(elements::<f64>(bytes)) {
                *single = double as f32;
            }
        }
        _ => copy_elements(bytes, out),
    }
}

/// Gives `use_slice` the elements as a slice, copied first if a file has put them at an odd byte.
fn aligned<T: Pod + NoUninit>(bytes: &[u8], use_slice: impl FnOnce(&[T])) {
    match bytemuck::try_cast_slice(bytes) {
        Ok(slice) => use_slice(slice),
        Err(_) => {
            let mut copied: Vec<T> = bytemuck::zeroed_vec(bytes.len() / size_of::<T>());
            copy_elements(bytes, &mut copied);
            use_slice(&copied);
        }
    }
}

/// An element is NaN or infinite where all bits of its exponent are set: the largest magnitude,
/// compared as an integer, tells it without a branch per element.
fn finite_chunk(stored: &[u8], dtype: Dtype) -> bool {
    match dtype {
        Dtype::F16 => largest::<u16>(stored, 0x7fff) < 0x7c00,
        Dtype::Bf16 => largest::<u16>(stored, 0x7fff) < 0x7f80,
        Dtype::F32 => largest::<u32>(stored, 0x7fff_ffff) < 0x7f80_0000,
        Dtype::F64 => largest::<u64>(stored, u64::MAX >> 1) < 0x7ff0_0000_0000_0000,
        _ => true,
    }
}

fn largest<T>(stored: &[u8], magnitude: T) -> T
where
    T: AnyBitPattern + Ord + Default + std::ops::BitAnd<Output = T>,
{
    elements::<T>(stored).fold(T::default(), |most, bits| most.max(bits & magnitude))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f32; 6] = [0.0, -0.5, 1.0, 1024.0, -65504.0, 6.103_515_6e-5];

    fn stored(dtype: Dtype) -> Vec<u8> {
        let each = VALUES.iter();
        match dtype {
            Dtype::F64 => each.flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            Dtype::F16 => each.flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            Dtype::Bf16 => each.flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
            _ => each.flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    #[test]
    fn every_type_reads_to_singles_at_any_alignment() {
        for dtype in [Dtype::F64, Dtype::F32, Dtype::F16] {
            let mut shifted = vec![0];
            shifted.extend(stored(dtype));
            for bytes in [&stored(dtype)[..], &shifted[1..]] {
                let decoded = decode::<f32>(bytes, dtype);
                assert_eq!(decoded.values, VALUES, "{dtype}");
                assert!(decoded.finite && is_finite(bytes, dtype));
            }
        }
        let rounded = decode::<f32>(&stored(Dtype::Bf16), Dtype::Bf16).values;
        assert_eq!(rounded, VALUES.map(|v| bf16::from_f32(v).to_f32()));
    }

    #[test]
    fn halves_are_kept_or_rounded() {
        let same = decode::<f16>(&stored(Dtype::F16), Dtype::F16).values;
        let rounded = decode::<f16>(&stored(Dtype::F64), Dtype::F64).values;
        assert_eq!(same, VALUES.map(f16::from_f32));
        assert_eq!(rounded, same);
        let brain = decode::<bf16>(&stored(Dtype::F32), Dtype::F32).values;
        assert_eq!(brain, VALUES.map(bf16::from_f32));
    }

    #[test]
    fn nan_and_infinity_are_seen_in_every_type() {
        for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let halves = f16::from_f64(bad).to_le_bytes();
            let brains = bf16::from_f64(bad).to_le_bytes();
            assert!(!is_finite(&halves, Dtype::F16) && !decode::<f32>(&halves, Dtype::F16).finite);
            assert!(
                !is_finite(&brains, Dtype::Bf16) && !decode::<f16>(&brains, Dtype::Bf16).finite
            );
            assert!(!is_finite(&bad.to_le_bytes(), Dtype::F64));
            assert!(!is_finite(&(bad as f32).to_le_bytes(), Dtype::F32));
        }
        let large = 1e6_f32.to_le_bytes();
        assert!(!decode::<f16>(&large, Dtype::F32).finite);
        assert!(decode::<bf16>(&large, Dtype::F32).finite);
    }

    #[test]
    fn the_last_chunk_is_checked_too() {
        let mut values = vec![1.0_f32; 2 * CHUNK + 3];
        values[2 * CHUNK + 2] = f32::NAN;
        let bytes: &[u8] = bytemuck::cast_slice(&values);
        assert!(!decode::<f32>(bytes, Dtype::F32).finite);
        assert!(!is_finite(bytes, Dtype::F32));
        let kept = &bytes[..4 * (2 * CHUNK + 2)];
        assert_eq!(decode::<f32>(kept, Dtype::F32).values.len(), 2 * CHUNK + 2);
        assert!(is_finite(kept, Dtype::F32));
    }

    #[test]
    fn integers_widen() {
        assert_eq!(integers(&[255, 1], Dtype::U8), Some(vec![255, 1]));
        assert_eq!(integers(&[255], Dtype::I8), Some(vec![-1]));
        assert_eq!(integers(&(-2_i32).to_le_bytes(), Dtype::I32), Some(vec![-2]));
        assert_eq!(integers(&u64::MAX.to_le_bytes(), Dtype::U64), Some(vec![i64::MAX]));
        assert_eq!(integers(&[0; 4], Dtype::F32), None);
    }
}
