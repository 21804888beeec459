//! The one memory layout that all kernels share, and the buffers that hold it.
//!
//! A *tile* is 16 rows of 64 bytes. A *strip* is what 16 rows (of a left operand) or 16 columns (of a
//! right one) of a matrix take along the whole inner dimension, tile after tile. A *square* is 32 rows
//! of 32 sums. Sizes that are no multiple of 32 are padded with zeros.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use crate::attention::Softmax;

/// Rows and columns of a [`Square`], and the step to which every size is padded.
pub(crate) const SIDE: usize = 32;

/// Rows of a [`RegisterTile`].
pub(crate) const ROWS: usize = 16;

/// 16 rows of 64 bytes: 32 bf16 or 16 f32 in each.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct RegisterTile(pub(crate) [[u32; 16]; ROWS]);

/// 32 rows of 32 sums, each row in two halves.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Square(pub(crate) [[[f32; 16]; 2]; SIDE]);

impl Square {
    pub(crate) const ZERO: Self = Self([[[0.0; 16]; 2]; SIDE]);

    /// The rows of squares that lie below one another.
    #[inline(always)]
    pub(crate) fn rows(squares: &[Self]) -> &[[[f32; 16]; 2]] {
        // SAFETY: a square is its rows and nothing else, for its size is a multiple of its alignment.
        unsafe { std::slice::from_raw_parts(squares.as_ptr().cast(), squares.len() * SIDE) }
    }
}

impl RegisterTile {
    pub(crate) const ZERO: Self = Self([[0; 16]; ROWS]);
}

/// Numbers of which every pattern of bits is one, so that fresh memory may hold them.
///
/// # Safety
///
/// All-zero bytes are a value of the type, and it has no destructor.
pub(crate) unsafe trait Plain: Copy + Send + Sync {}

// SAFETY: numbers and arrays of numbers, for which all-zero bytes are zeros.
unsafe impl Plain for RegisterTile {}
// SAFETY: as above.
unsafe impl Plain for Square {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for [[f32; 16]; 2] {}
// SAFETY: as above.
unsafe impl Plain for Softmax {}

/// From here on a buffer lies on pages of 2 MiB, if the system has some.
const LARGE: usize = 1 << 20;

/// Aligned memory: to a cache line, or to a large page if it is large.
#[derive(Debug)]
pub(crate) struct Buffer<T: Plain> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the buffer owns its memory alone, and what it holds may be sent and shared.
unsafe impl<T: Plain> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Plain> Sync for Buffer<T> {}

impl<T: Plain> Buffer<T> {
    /// A buffer of zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let layout = Self::layout(len);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start.cast::<T>()) else { handle_alloc_error(layout) };
        advise_large_pages(start.as_ptr().cast(), layout);
        Self { start, len }
    }

    fn layout(len: usize) -> Layout {
        let bytes = (len * size_of::<T>()).max(1);
        let align = if bytes >= LARGE { 2 << 20 } else { 64 };
        Layout::from_size_align(bytes.next_multiple_of(align), align)
            .expect("the size of a matrix fits the address space")
    }
}

impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeros` with the same layout.
        unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.len)) }
    }
}

impl<T: Plain> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values were allocated, and zeros are values.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the buffer is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
fn advise_large_pages(start: *mut u8, layout: Layout) {
    if layout.size() >= LARGE {
        // SAFETY: advice about memory that was just allocated, aligned to its pages. Whether it is
        // followed makes no difference but in time, so the answer is not looked at.
        unsafe { libc::madvise(start.cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise_large_pages(_start: *mut u8, _layout: Layout) {}

/// A slice of which several threads write different parts at the same time.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: threads only get at it through `part`, whose callers keep their parts apart.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// A part of the slice. Panics if it reaches beyond it.
    ///
    /// # Safety
    ///
    /// No other part that overlaps it is in use.
    #[expect(clippy::mut_from_ref, reason = "the parts do not overlap, by the contract")]
    #[inline(always)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: within the slice by the assertion, and nobody else's by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// A left or right operand to read: strips, each of as many blocks.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    tiles: &'a [RegisterTile],
    /// Tiles of a strip.
    strip: usize,
}

impl<'a> Operand<'a> {
    pub(crate) fn new(tiles: &'a [RegisterTile], strip: usize) -> Self {
        Self { tiles, strip }
    }

    /// Strips `2 * pair` and the next.
    #[inline(always)]
    pub(crate) fn pair(&self, pair: usize) -> [&'a [RegisterTile]; 2] {
        let both = &self.tiles[2 * pair * self.strip..][..2 * self.strip];
        let (one, other) = both.split_at(self.strip);
        [one, other]
    }
}

/// An operand that several threads write, different blocks of it.
pub(crate) struct SharedBlocks<'a> {
    tiles: Shared<'a, RegisterTile>,
    /// Tiles of a strip.
    strip: usize,
    /// Tiles of a block.
    block: usize,
}

impl<'a> SharedBlocks<'a> {
    pub(crate) fn new(tiles: &'a mut [RegisterTile], strip: usize, block: usize) -> Self {
        Self { tiles: Shared::new(tiles), strip, block }
    }

    /// The tiles of a block. Panics if there is no such block.
    ///
    /// # Safety
    ///
    /// The block is not in use.
    #[expect(clippy::mut_from_ref, reason = "blocks do not overlap, by the contract")]
    #[inline(always)]
    pub(crate) unsafe fn block(&self, strip: usize, block: usize) -> &mut [RegisterTile] {
        let start = strip * self.strip + block * self.block;
        // SAFETY: different blocks do not overlap, and nobody else has this one.
        unsafe { self.tiles.part(start..start + self.block) }
    }
}
