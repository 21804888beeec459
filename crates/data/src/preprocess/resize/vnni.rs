//! Four bytes by four 8-bit weights in one instruction: AVX-512 VNNI, in server processors since 2019.
//!
//! A weight of 22 bits is three such numbers, so four positions take three instructions where AVX2
//! takes eight. `pulp` finds out whether a processor has them but does not offer this one, so it is
//! called here.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::{__m512i, _mm512_dpbusd_epi32};

use pulp::bytemuck::cast;

use super::products::{HALF, LANES, QuadProducts, QuadVector};
use crate::preprocess::window::{FRACTION_BITS, QuadWeights};

pulp::simd_type! {
    /// A processor with these instructions: there is no other way to one of it than by asking.
    pub(super) struct Vnni {
        pub(super) avx512f: "avx512f",
        pub(super) avx512bw: "avx512bw",
        pub(super) avx512vl: "avx512vl",
        pub(super) avx512vnni: "avx512vnni",
    }
}

/// Bits of a digit; the digits of a weight run from -128 to 127.
const DIGIT: u32 = 8;

/// One of each digit of a weight, the highest first.
type Digits<T> = [T; 3];

impl QuadProducts for Vnni {
    type Values = __m512i;
    type Weights = Digits<i32>;
    type Sums = Digits<__m512i>;

    #[inline(always)]
    fn values(self, quads: &QuadVector) -> Self::Values {
        cast(quads.0)
    }

    #[inline(always)]
    fn weights(self, weights: QuadWeights) -> Self::Weights {
        let digits = weights.map(digits);
        std::array::from_fn(|place| {
            i32::from_le_bytes(digits.map(|digits| digits[place].cast_unsigned()))
        })
    }

    #[inline(always)]
    fn start(self) -> Self::Sums {
        [0, 0, HALF].map(
            #[inline(always)]
            |number| self.avx512f._mm512_set1_epi32(number),
        )
    }

    #[inline(always)]
    fn add(
        self,
        [a, b, c]: Self::Sums,
        values: Self::Values,
        weights: Self::Weights,
    ) -> Self::Sums {
        [
            self.add_products(a, values, weights[0]),
            self.add_products(b, values, weights[1]),
            self.add_products(c, values, weights[2]),
        ]
    }

    #[inline(always)]
    fn bytes(self, [a, b, c]: Self::Sums) -> [u8; LANES] {
        let up = |higher, lower| {
            let higher = self.avx512f._mm512_slli_epi32::<DIGIT>(higher);
            self.avx512f._mm512_add_epi32(higher, lower)
        };
        let whole = self.avx512f._mm512_srai_epi32::<FRACTION_BITS>(up(up(a, b), c));
        let positive = self.avx512f._mm512_max_epi32(whole, self.avx512f._mm512_set1_epi32(0));
        cast(self.avx512f._mm512_cvtusepi32_epi8(positive))
    }
}

impl Vnni {
    /// Adds for each lane four bytes by four digits.
    #[inline(always)]
    #[allow(unsafe_code)]
    fn add_products(self, sums: __m512i, bytes: __m512i, digits: i32) -> __m512i {
        let digits = self.avx512f._mm512_set1_epi32(digits);
        // SAFETY: needs a processor with avx512vnni, which a `Vnni` is made on alone.
        unsafe { _mm512_dpbusd_epi32(sums, bytes, digits) }
    }
}

/// `digits[0] * 2^16 + digits[1] * 2^8 + digits[2]`, for a weight of a magnitude up to 127 in each of them.
#[inline(always)]
fn digits(weight: i32) -> Digits<i8> {
    let last = weight as i8;
    let rest = (weight - i32::from(last)) >> DIGIT;
    let middle = rest as i8;
    [((rest - i32::from(middle)) >> DIGIT) as i8, middle, last]
}
