//! Lanes in one AVX-512 register; with AMX come instructions that round to bf16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Lanes;

/// AVX-512 F, BW, DQ and VL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512;

/// AVX-512 with BF16, beside AMX's tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amx;

/// One word of bf16 in all orders that rows and pairs need.
#[repr(C, align(64))]
struct Order([u16; 32]);

/// The upper halves of 16 and then of 16 more dwords.
static UPPER_HALVES: Order = {
    let mut order = [0; 32];
    let mut i = 0;
    while i < 32 {
        order[i] = 2 * i as u16 + 1;
        i += 1;
    }
    Order(order)
};

/// Words 0 and 16, 1 and 17, and so on.
static INTERLEAVED: Order = {
    let mut order = [0; 32];
    let mut i = 0;
    while i < 16 {
        order[2 * i] = i as u16;
        order[2 * i + 1] = 16 + i as u16;
        i += 1;
    }
    Order(order)
};

/// What both types share; `row` and `pairs` are given, for there they differ.
macro_rules! lanes_of_512_bits {
    ($type:ty, $row:ident, $pairs:ident) => {
        impl Lanes for $type {
            type V = __m512;

            by_intrinsics! {
                fn splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
                fn load(from: &[f32; 16]) -> __m512 { _mm512_loadu_ps(from.as_ptr()) }
                fn store(x: __m512, to: &mut [f32; 16]) { _mm512_storeu_ps(to.as_mut_ptr(), x) }
                fn load_bits(from: &[u32; 16]) -> __m512 { _mm512_loadu_ps(from.as_ptr().cast()) }
                fn store_bits(x: __m512, to: &mut [u32; 16]) {
                    _mm512_storeu_ps(to.as_mut_ptr().cast(), x)
                }
                fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
                fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
                fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
                fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
                fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
                fn with_sign(a: __m512, b: __m512) -> __m512 {
                    let sign = _mm512_set1_ps(-0.0);
                    _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b))
                }
                fn reciprocal(x: __m512) -> __m512 {
                    // 14 bits, and one step of Newton's method.
                    let guess = _mm512_rcp14_ps(x);
                    let error = _mm512_fnmadd_ps(x, guess, _mm512_set1_ps(1.0));
                    let better = _mm512_fmadd_ps(guess, error, guess);
                    // Where x is infinite the guess, zero, is right and the step is not a number.
                    let infinite = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(x, _mm512_set1_ps(f32::INFINITY));
                    _mm512_mask_mov_ps(better, infinite, guess)
                }
                fn fraction(x: __m512) -> __m512 { _mm512_reduce_ps::<1>(x) }
                fn times_power(a: __m512, x: __m512) -> __m512 { _mm512_scalef_ps(a, x) }
                fn sum(x: __m512) -> f32 { _mm512_reduce_add_ps(x) }
                fn any_greater(a: __m512, b: __m512) -> bool {
                    _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) != 0
                }
                fn of_row(bits: __m512) -> [__m512; 2] {
                    let bits = _mm512_castps_si512(bits);
                    let low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(bits));
                    let high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(bits));
                    let (low, high) = (_mm512_slli_epi32::<16>(low), _mm512_slli_epi32::<16>(high));
                    [_mm512_castsi512_ps(low), _mm512_castsi512_ps(high)]
                }
                fn splat_pair(bits: u32) -> (__m512, __m512) {
                    halves(_mm512_castsi512_ps(_mm512_set1_epi32(bits as i32)))
                }
            }

            #[inline(always)]
            fn round_bf16(x: __m512) -> __m512 {
                round(x)
            }

            #[inline(always)]
            fn row(low: __m512, high: __m512) -> __m512 {
                $row(low, high)
            }

            #[inline(always)]
            fn pairs(first: __m512, second: __m512) -> __m512 {
                $pairs(first, second)
            }

            #[inline(always)]
            fn of_pairs(bits: __m512) -> (__m512, __m512) {
                halves(bits)
            }

            #[inline(always)]
            fn transpose(rows: &mut [__m512; 16]) {
                transpose(rows);
            }
        }
    };
}

lanes_of_512_bits!(Avx512, row_by_shuffling, pairs_by_shuffling);
lanes_of_512_bits!(Amx, row_by_conversion, pairs_by_conversion);

by_intrinsics! {
    fn halves(bits: __m512) -> (__m512, __m512) {
        let bits = _mm512_castps_si512(bits);
        let first = _mm512_slli_epi32::<16>(bits);
        let second = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000_u32 as i32));
        (_mm512_castsi512_ps(first), _mm512_castsi512_ps(second))
    }

    fn round(x: __m512) -> __m512 {
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        let upper = _mm512_and_si512(rounded, _mm512_set1_epi32(0xffff_0000_u32 as i32));
        // Rounding up may turn a "not a number" into an infinity, or into zero.
        let unordered = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        _mm512_mask_mov_ps(_mm512_castsi512_ps(upper), unordered, _mm512_set1_ps(f32::NAN))
    }

    fn row_by_shuffling(low: __m512, high: __m512) -> __m512 {
        let order = _mm512_load_si512((&raw const UPPER_HALVES).cast());
        let (low, high) = (_mm512_castps_si512(round(low)), _mm512_castps_si512(round(high)));
        _mm512_castsi512_ps(_mm512_permutex2var_epi16(low, order, high))
    }

    fn pairs_by_shuffling(first: __m512, second: __m512) -> __m512 {
        let first = _mm512_srli_epi32::<16>(_mm512_castps_si512(round(first)));
        _mm512_castsi512_ps(_mm512_or_si512(first, _mm512_castps_si512(round(second))))
    }

    fn transpose(x: &mut [__m512; 16]) {
        let mut y = *x;
        for i in 0..8 {
            y[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
            y[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
        }
        for i in 0..4 {
            let (a, b) = (_mm512_castps_pd(y[4 * i]), _mm512_castps_pd(y[4 * i + 1]));
            let (c, d) = (_mm512_castps_pd(y[4 * i + 2]), _mm512_castps_pd(y[4 * i + 3]));
            x[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
            x[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
            x[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
            x[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
        }
        for i in 0..2 {
            for j in 0..4 {
                let (a, b) = (x[8 * i + j], x[8 * i + 4 + j]);
                y[8 * i + j] = _mm512_shuffle_f32x4::<0x88>(a, b);
                y[8 * i + 4 + j] = _mm512_shuffle_f32x4::<0xdd>(a, b);
            }
        }
        for j in 0..8 {
            x[j] = _mm512_shuffle_f32x4::<0x88>(y[j], y[8 + j]);
            x[8 + j] = _mm512_shuffle_f32x4::<0xdd>(y[j], y[8 + j]);
        }
    }
}

/// By the instruction, which exists wherever AMX does.
#[inline(always)]
fn row_by_conversion(low: __m512, high: __m512) -> __m512 {
    // SAFETY: `Isa::Amx` is found only with AVX-512 BF16; both types are 64 bytes of any bits.
    unsafe { std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low)) }
}

#[inline(always)]
fn pairs_by_conversion(first: __m512, second: __m512) -> __m512 {
    let row = row_by_conversion(first, second);
    // SAFETY: AVX-512 BW is there with AMX; the order is 64 bytes, aligned to as many.
    unsafe {
        let order = _mm512_load_si512((&raw const INTERLEAVED).cast());
        _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, _mm512_castps_si512(row)))
    }
}
