//! Lanes in two AVX2 registers.

use std::arch::x86_64::*;

use super::Lanes;

/// AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2;

type Two = [__m256; 2];

impl Lanes for Avx2 {
    type V = Two;

    by_intrinsics! {
        fn splat(x: f32) -> Two { [_mm256_set1_ps(x); 2] }
        fn load(from: &[f32; 16]) -> Two {
            [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))]
        }
        fn store(x: Two, to: &mut [f32; 16]) {
            _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
        }
        fn load_bits(from: &[u32; 16]) -> Two {
            let from = from.as_ptr().cast::<f32>();
            [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))]
        }
        fn store_bits(x: Two, to: &mut [u32; 16]) {
            let to = to.as_mut_ptr().cast::<f32>();
            _mm256_storeu_ps(to, x[0]);
            _mm256_storeu_ps(to.add(8), x[1]);
        }
        fn add(a: Two, b: Two) -> Two { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        fn sub(a: Two, b: Two) -> Two { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
        fn mul(a: Two, b: Two) -> Two { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        fn mul_add(a: Two, b: Two, c: Two) -> Two {
            [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])]
        }
        fn max(a: Two, b: Two) -> Two { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
        fn with_sign(a: Two, b: Two) -> Two {
            let sign = _mm256_set1_ps(-0.0);
            [
                _mm256_or_ps(_mm256_andnot_ps(sign, a[0]), _mm256_and_ps(sign, b[0])),
                _mm256_or_ps(_mm256_andnot_ps(sign, a[1]), _mm256_and_ps(sign, b[1])),
            ]
        }
        fn reciprocal(x: Two) -> Two {
            let one = _mm256_set1_ps(1.0);
            [_mm256_div_ps(one, x[0]), _mm256_div_ps(one, x[1])]
        }
        fn fraction(x: Two) -> Two {
            [
                _mm256_sub_ps(x[0], _mm256_floor_ps(x[0])),
                _mm256_sub_ps(x[1], _mm256_floor_ps(x[1])),
            ]
        }
        fn sum(x: Two) -> f32 {
            let eight = _mm256_add_ps(x[0], x[1]);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
        fn any_greater(a: Two, b: Two) -> bool {
            let one = _mm256_cmp_ps::<_CMP_GT_OQ>(a[0], b[0]);
            let other = _mm256_cmp_ps::<_CMP_GT_OQ>(a[1], b[1]);
            _mm256_movemask_ps(_mm256_or_ps(one, other)) != 0
        }
        fn splat_pair(bits: u32) -> (Two, Two) {
            let bits = _mm256_castsi256_ps(_mm256_set1_epi32(bits as i32));
            ([first_half(bits); 2], [second_half(bits); 2])
        }
    }

    #[inline(always)]
    fn times_power(a: Two, x: Two) -> Two {
        [times_power(a[0], x[0]), times_power(a[1], x[1])]
    }

    #[inline(always)]
    fn round_bf16(x: Two) -> Two {
        [round(x[0]), round(x[1])]
    }

    #[inline(always)]
    fn row(low: Two, high: Two) -> Two {
        [narrow(low), narrow(high)]
    }

    #[inline(always)]
    fn pairs(first: Two, second: Two) -> Two {
        [pairs_of_eight(first[0], second[0]), pairs_of_eight(first[1], second[1])]
    }

    #[inline(always)]
    fn of_row(bits: Two) -> [Two; 2] {
        [widen(bits[0]), widen(bits[1])]
    }

    #[inline(always)]
    fn of_pairs(bits: Two) -> (Two, Two) {
        ([first_half(bits[0]), first_half(bits[1])], [second_half(bits[0]), second_half(bits[1])])
    }

    #[inline(always)]
    fn transpose(rows: &mut [Two; 16]) {
        // Four blocks of 8 x 8, of which two change places.
        let (a, b) = (turned_block(rows, 0, 0), turned_block(rows, 0, 1));
        let (c, d) = (turned_block(rows, 1, 0), turned_block(rows, 1, 1));
        for i in 0..8 {
            rows[i] = [a[i], c[i]];
            rows[8 + i] = [b[i], d[i]];
        }
    }
}

by_intrinsics! {
    fn times_power(a: __m256, x: __m256) -> __m256 {
        // Two factors, for one that holds 2^128 or 2^-140 does not exist.
        let limited = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-252.0)), _mm256_set1_ps(254.0));
        let exponent = _mm256_cvtps_epi32(_mm256_floor_ps(limited));
        let half = _mm256_srai_epi32::<1>(exponent);
        let bias = _mm256_set1_epi32(127);
        let one = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
        let rest = _mm256_sub_epi32(exponent, half);
        let other = _mm256_slli_epi32::<23>(_mm256_add_epi32(rest, bias));
        _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(one)), _mm256_castsi256_ps(other))
    }

    fn first_half(bits: __m256) -> __m256 {
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(bits)))
    }

    fn second_half(bits: __m256) -> __m256 {
        _mm256_and_ps(bits, _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32 as i32)))
    }

    fn round(x: __m256) -> __m256 {
        let bits = _mm256_castps_si256(x);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        let upper = second_half(_mm256_castsi256_ps(rounded));
        // Rounding up may turn a "not a number" into an infinity, or into zero.
        let unordered = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
        _mm256_blendv_ps(upper, _mm256_set1_ps(f32::NAN), unordered)
    }

    fn narrow(x: Two) -> __m256 {
        let low = _mm256_srli_epi32::<16>(_mm256_castps_si256(round(x[0])));
        let high = _mm256_srli_epi32::<16>(_mm256_castps_si256(round(x[1])));
        let packed = _mm256_packus_epi32(low, high);
        _mm256_castsi256_ps(_mm256_permute4x64_epi64::<0b11_01_10_00>(packed))
    }

    fn widen(bits: __m256) -> Two {
        let bits = _mm256_castps_si256(bits);
        let low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(bits));
        let high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256::<1>(bits));
        let (low, high) = (_mm256_slli_epi32::<16>(low), _mm256_slli_epi32::<16>(high));
        [_mm256_castsi256_ps(low), _mm256_castsi256_ps(high)]
    }

    fn pairs_of_eight(first: __m256, second: __m256) -> __m256 {
        let first = _mm256_srli_epi32::<16>(_mm256_castps_si256(round(first)));
        _mm256_castsi256_ps(_mm256_or_si256(first, _mm256_castps_si256(round(second))))
    }

    fn turned_block(rows: &[Two; 16], down: usize, across: usize) -> [__m256; 8] {
        let mut block = [_mm256_setzero_ps(); 8];
        for i in 0..8 {
            block[i] = rows[8 * down + i][across];
        }
        transpose_eight(&mut block);
        block
    }

    fn transpose_eight(x: &mut [__m256; 8]) {
        let mut y = *x;
        for i in 0..4 {
            y[2 * i] = _mm256_unpacklo_ps(x[2 * i], x[2 * i + 1]);
            y[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i], x[2 * i + 1]);
        }
        for i in 0..2 {
            let (a, b) = (_mm256_castps_pd(y[4 * i]), _mm256_castps_pd(y[4 * i + 1]));
            let (c, d) = (_mm256_castps_pd(y[4 * i + 2]), _mm256_castps_pd(y[4 * i + 3]));
            x[4 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
            x[4 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
            x[4 * i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
            x[4 * i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
        }
        for i in 0..4 {
            y[i] = _mm256_permute2f128_ps::<0x20>(x[i], x[4 + i]);
            y[4 + i] = _mm256_permute2f128_ps::<0x31>(x[i], x[4 + i]);
        }
        *x = y;
    }
}
