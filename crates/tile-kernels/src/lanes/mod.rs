//! Sixteen numbers at a time: what a kernel asks of a CPU beyond products of tiles.
//!
//! Everything above this module is written once, for a type that implements [`Lanes`], and compiled
//! for each instruction set.
#![allow(unsafe_code)]

/// Defines functions whose bodies are intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! by_intrinsics {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $returns:ty)? $body:block)*) => {$(
        #[inline(always)]
        fn $name($($argument: $type),*) $(-> $returns)? {
            // SAFETY: code of these types runs only where `Isa` found their instructions, and every
            // pointer comes from a reference to as many bytes as are read or written.
            unsafe { $body }
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod portable;

/// Sixteen f32 in registers, and what can be done with them.
pub(crate) trait Lanes: Copy + Send + Sync + 'static {
    /// Sixteen f32, or the bits of 32 bf16.
    type V: Copy;

    fn splat(x: f32) -> Self::V;
    fn load(from: &[f32; 16]) -> Self::V;
    fn store(x: Self::V, to: &mut [f32; 16]);
    fn load_bits(from: &[u32; 16]) -> Self::V;
    fn store_bits(x: Self::V, to: &mut [u32; 16]);

    fn add(a: Self::V, b: Self::V) -> Self::V;
    fn sub(a: Self::V, b: Self::V) -> Self::V;
    fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the CPU can.
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The size of `a` with the sign of `b`.
    fn with_sign(a: Self::V, b: Self::V) -> Self::V;
    /// `1 / x` for x from 1 on, to about f32's precision.
    fn reciprocal(x: Self::V) -> Self::V;
    /// `x - floor(x)`.
    fn fraction(x: Self::V) -> Self::V;
    /// `a * 2^floor(x)`, with zero or infinity where that leaves f32.
    fn times_power(a: Self::V, x: Self::V) -> Self::V;
    fn sum(x: Self::V) -> f32;
    /// Is some lane of `a` greater than `b`'s?
    fn any_greater(a: Self::V, b: Self::V) -> bool;

    /// Each lane rounded to the nearest bf16, ties to even, as an f32.
    fn round_bf16(x: Self::V) -> Self::V;
    /// A row of 32 bf16: first those of `low`, then those of `high`.
    fn row(low: Self::V, high: Self::V) -> Self::V;
    /// 16 pairs of bf16, each lane of `first` followed by that of `second`.
    fn pairs(first: Self::V, second: Self::V) -> Self::V;
    /// What [`Lanes::row`] holds.
    fn of_row(bits: Self::V) -> [Self::V; 2];
    /// What [`Lanes::pairs`] holds.
    fn of_pairs(bits: Self::V) -> (Self::V, Self::V);
    /// The same pair of bf16 in all lanes.
    fn splat_pair(bits: u32) -> (Self::V, Self::V);
    /// Rows to columns.
    fn transpose(rows: &mut [Self::V; 16]);
}
