//! Products of every kind of kernels and every format against naive ones in f64: all tails, outputs
//! poisoned before, and buffers that end where memory ends.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};

use crate::format::{Bf16, F32, Format, SplitF32};
use crate::isa::Isa;
use crate::linear::{AddTo, Linear, WriteTo};
use crate::norm::rows_to_tiles;
use crate::rows::Tokens;
use crate::tiles::{Plain, RegisterTile, SIDE};

/// Values in front of a page that nobody may touch.
struct Guarded<T: Plain> {
    start: *mut u8,
    bytes: usize,
    first: *mut T,
    len: usize,
}

#[cfg(all(target_os = "linux", not(miri)))]
mod pages {
    pub(super) const PAGE: usize = 4096;

    /// Pages of zeros, of which the last cannot be touched.
    pub(super) fn guarded(bytes: usize) -> *mut u8 {
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: fresh pages that nobody else knows; the last of them is only forbidden.
        unsafe {
            let start = libc::mmap(std::ptr::null_mut(), bytes + PAGE, access, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(start.byte_add(bytes), PAGE, libc::PROT_NONE), 0);
            start.cast()
        }
    }

    pub(super) fn free(start: *mut u8, bytes: usize) {
        // SAFETY: what `guarded` gave, given back once.
        assert_eq!(unsafe { libc::munmap(start.cast(), bytes + PAGE) }, 0);
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod pages {
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    pub(super) const PAGE: usize = 4096;

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, PAGE).unwrap()
    }

    pub(super) fn guarded(bytes: usize) -> *mut u8 {
        // SAFETY: at least a page is asked for.
        unsafe { alloc_zeroed(layout(bytes)) }
    }

    pub(super) fn free(start: *mut u8, bytes: usize) {
        // SAFETY: what `guarded` gave, given back once.
        unsafe { dealloc(start, layout(bytes)) }
    }
}

impl<T: Plain> Guarded<T> {
    fn filled(len: usize, value: T) -> Self {
        let size = len * size_of::<T>();
        let bytes = size.next_multiple_of(pages::PAGE).max(pages::PAGE);
        let start = pages::guarded(bytes);
        // SAFETY: the values end where the pages end.
        let first = unsafe { start.add(bytes - size) }.cast::<T>();
        let mut guarded = Self { start, bytes, first, len };
        guarded.fill(value);
        guarded
    }
}

impl<T: Plain> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values that were mapped, all zero or written.
        unsafe { std::slice::from_raw_parts(self.first, self.len) }
    }
}

impl<T: Plain> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.len) }
    }
}

impl<T: Plain> Drop for Guarded<T> {
    fn drop(&mut self) {
        pages::free(self.start, self.bytes);
    }
}

/// Bits that are no number as bf16 and none as f32.
const POISON: RegisterTile = RegisterTile([[0x7fc1_7fc1; 16]; 16]);

/// Numbers between -1 and 1 that only look random.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Rows, columns and the length along both.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    rows: usize,
    columns: usize,
    inner: usize,
}

fn sizes() -> Vec<Sizes> {
    let edges = [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96];
    let pick = |seed: u64, i: usize| {
        let draw = noise(seed, i + 1)[i].abs();
        edges[((draw * edges.len() as f32) as usize).min(edges.len() - 1)]
    };
    let count = if cfg!(miri) { 2 } else { 40 };
    let drawn =
        (0..count).map(|i| Sizes { rows: pick(3, i), columns: pick(5, i), inner: pick(7, i) });
    drawn.collect()
}

fn check<F: Format>(isa: Isa, name: &str, most: f64) {
    for (seed, size) in sizes().into_iter().enumerate() {
        let Sizes { rows, columns, inner } = size;
        let (a, b) =
            (noise(seed as u64 + 1, rows * inner), noise(seed as u64 + 99, inner * columns));
        let bias = noise(seed as u64 + 77, columns);
        let weight =
            |i: usize, o: usize| if i < inner && o < columns { b[i * columns + o] } else { 0.0 };
        let padded = |count: usize| count.next_multiple_of(SIDE);
        let linear = Linear::<F>::pack(padded(inner), padded(columns), weight, |output| {
            bias.get(output).copied().unwrap_or(0.0)
        });
        let tokens = Tokens { batch: 1, count: rows };
        let strips = 2 * tokens.groups() * F::TILES;
        let at = format!("{isa} {name} {size:?}");

        let mut left = Guarded::filled(strips * inner.div_ceil(SIDE), POISON);
        rows_to_tiles::<F>(isa, &a, inner, tokens, &mut left);
        let mut out = Guarded::filled(rows * columns, f32::NAN);
        linear.apply(isa, &left, tokens, &WriteTo::new(&mut out, columns, tokens));
        let expected = |row: usize, column: usize| {
            let along =
                (0..inner).map(|i| f64::from(a[row * inner + i]) * f64::from(weight(i, column)));
            along.sum::<f64>() + f64::from(bias[column])
        };
        compare(&out, columns, expected, most, &at);
        linear.apply(isa, &left, tokens, &AddTo::new(&mut out, columns, tokens));
        compare(&out, columns, |row, column| 2.0 * expected(row, column), most, &at);

        let gradient = noise(seed as u64 + 55, rows * columns);
        let mut left = Guarded::filled(strips * columns.div_ceil(SIDE), POISON);
        rows_to_tiles::<F>(isa, &gradient, columns, tokens, &mut left);
        let mut out = Guarded::filled(rows * inner, f32::NAN);
        linear.apply_turned(isa, &left, tokens, &WriteTo::new(&mut out, inner, tokens));
        let expected = |row: usize, input: usize| {
            let of =
                |o: usize| f64::from(gradient[row * columns + o]) * f64::from(weight(input, o));
            (0..columns).map(of).sum::<f64>()
        };
        compare(&out, inner, expected, most, &format!("{at}, turned"));
    }
}

/// Relative L2 distance of all numbers.
fn compare(
    found: &[f32],
    width: usize,
    expected: impl Fn(usize, usize) -> f64,
    most: f64,
    at: &str,
) {
    let (mut apart, mut size) = (0.0, 0.0);
    for (index, &found) in found.iter().enumerate() {
        let expected = expected(index / width, index % width);
        apart += (f64::from(found) - expected).powi(2);
        size += expected.powi(2);
    }
    let error = (apart / size).sqrt();
    assert!(error < most, "{at}: {error:.2e}");
}

#[test]
fn products_equal_naive_ones() {
    for isa in Isa::available() {
        check::<F32>(isa, "f32", 1e-6);
        check::<SplitF32>(isa, "split f32", 1e-6);
        check::<Bf16>(isa, "bf16", 8e-3);
    }
}

#[test]
fn three_parts_of_bf16_are_the_number() {
    let weights = noise(11, 32 * 32);
    let weight = |i: usize, o: usize| weights[i * 32 + o];
    let linear = Linear::<SplitF32>::pack(32, 32, weight, |_| 0.0);
    assert_eq!(linear.dense(32, 32, |i, o| (i, o)).weight, weights);
}
