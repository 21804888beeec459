//! Sums of products of four bytes and four weights, by the widest vectors that the processor at hand
//! has.
//!
//! `pulp` finds out which there are and offers their instructions. The compiler does not find them by
//! itself: from plain loops it makes 32-bit products, with which both passes took two and a half
//! times as long as with AVX2's pairs of 16 bits.

use pulp::Scalar;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use pulp::x86::V3;

use super::vnni;
use crate::preprocess::window::{FRACTION_BITS, QUAD, QuadWeights};

/// Sums that are taken side by side.
pub(super) const LANES: usize = 16;

/// Four bytes for each lane, where loading them takes one line of the cache and not two.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct QuadVector(pub(super) [u8; QUAD * LANES]);

/// Half of the last place, so that the shift rounds.
pub(super) const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Work that is compiled for each kind of vectors.
pub(super) trait QuadWork {
    type Output;

    /// To be marked `inline(always)`: only what is inlined is compiled for the vectors.
    fn run<P: QuadProducts>(self, products: P) -> Self::Output;
}

/// How a processor multiplies four bytes by four weights and adds.
pub(super) trait QuadProducts: Copy {
    /// Four values for each lane, in registers.
    type Values: Copy;
    /// Four weights, in the parts that it multiplies by.
    type Weights: Copy;
    /// A sum for each lane and part of the weights, in registers.
    type Sums: Copy;

    /// Bytes in registers.
    fn values(self, quads: &QuadVector) -> Self::Values;

    /// Weights in parts.
    fn weights(self, weights: QuadWeights) -> Self::Weights;

    /// Sums of nothing yet.
    fn start(self) -> Self::Sums;

    /// Adds for each lane the four values by the four weights.
    fn add(self, sums: Self::Sums, values: Self::Values, weights: Self::Weights) -> Self::Sums;

    /// The sums without their fraction, rounded, clipped to bytes.
    fn bytes(self, sums: Self::Sums) -> [u8; LANES];
}

/// Runs work with the widest vectors there are.
pub(super) fn with_widest<W: QuadWork>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(vectors) = vnni::Vnni::try_new() {
        return vectors.vectorize(
            #[inline(always)]
            || work.run(vectors),
        );
    }
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(vectors) = V3::try_new() {
        return vectors.vectorize(
            #[inline(always)]
            || work.run(vectors),
        );
    }
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || work.run(Scalar),
    )
}

/// Plain numbers, whole weights.
impl QuadProducts for Scalar {
    type Values = [u8; QUAD * LANES];
    type Weights = QuadWeights;
    type Sums = [i32; LANES];

    #[inline(always)]
    fn values(self, quads: &QuadVector) -> Self::Values {
        quads.0
    }

    #[inline(always)]
    fn weights(self, weights: QuadWeights) -> Self::Weights {
        weights
    }

    #[inline(always)]
    fn start(self) -> Self::Sums {
        [HALF; LANES]
    }

    #[inline(always)]
    fn add(self, mut sums: Self::Sums, values: Self::Values, weights: Self::Weights) -> Self::Sums {
        for (sum, quad) in sums.iter_mut().zip(values.as_chunks::<QUAD>().0) {
            for (value, weight) in quad.iter().zip(weights) {
                *sum = sum.wrapping_add(i32::from(*value) * weight);
            }
        }
        sums
    }

    #[inline(always)]
    fn bytes(self, sums: Self::Sums) -> [u8; LANES] {
        sums.map(|sum| (sum >> FRACTION_BITS).clamp(0, 255) as u8)
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod avx2 {
    //! Pairs of 16-bit numbers: weights are split in two parts that fit, quads into the first and
    //! third, the second and fourth byte.

    #[cfg(target_arch = "x86")]
    use std::arch::x86::__m256i;
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::__m256i;

    use pulp::bytemuck::cast;

    use super::*;

    /// Where a weight is split.
    const HIGH: i32 = 11;
    const RIGHT: i32 = FRACTION_BITS as i32;

    /// Of the first and third weight, of the second and fourth.
    type Pairs = [i32; 2];

    /// `high * 2^HIGH + low`.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Split<T> {
        low: T,
        high: T,
    }

    impl QuadProducts for V3 {
        /// Half of the lanes, then of their bytes.
        type Values = [[__m256i; 2]; 2];
        type Weights = Split<Pairs>;
        type Sums = Split<[__m256i; 2]>;

        #[inline(always)]
        fn values(self, quads: &QuadVector) -> Self::Values {
            let halves: [__m256i; 2] = cast(quads.0);
            let lower = self.avx._mm256_set1_epi16(0xFF);
            halves.map(
                #[inline(always)]
                |half| {
                    let even = self.avx2._mm256_and_si256(half, lower);
                    [even, self.avx2._mm256_srli_epi16::<8>(half)]
                },
            )
        }

        #[inline(always)]
        fn weights(self, [a, b, c, d]: QuadWeights) -> Self::Weights {
            let pair = |first: i32, second: i32| (second << 16) | (first & 0xFFFF);
            let low = |weight: i32| weight & ((1 << HIGH) - 1);
            let high = |weight: i32| weight >> HIGH;
            Split {
                low: [pair(low(a), low(c)), pair(low(b), low(d))],
                high: [pair(high(a), high(c)), pair(high(b), high(d))],
            }
        }

        #[inline(always)]
        fn start(self) -> Self::Sums {
            let splat = |number| [self.avx._mm256_set1_epi32(number); 2];
            Split { low: splat(HALF), high: splat(0) }
        }

        #[inline(always)]
        fn add(
            self,
            mut sums: Self::Sums,
            values: Self::Values,
            weights: Self::Weights,
        ) -> Self::Sums {
            for (part, pairs) in [(&mut sums.low, weights.low), (&mut sums.high, weights.high)] {
                for (sum, values) in part.iter_mut().zip(values) {
                    for (values, pair) in values.into_iter().zip(pairs) {
                        let weights = self.avx._mm256_set1_epi32(pair);
                        let products = self.avx2._mm256_madd_epi16(values, weights);
                        *sum = self.avx2._mm256_add_epi32(*sum, products);
                    }
                }
            }
            sums
        }

        #[inline(always)]
        fn bytes(self, sums: Self::Sums) -> [u8; LANES] {
            let whole = |low, high| {
                let high = self.avx2._mm256_slli_epi32::<HIGH>(high);
                self.avx2._mm256_srai_epi32::<RIGHT>(self.avx2._mm256_add_epi32(low, high))
            };
            let first = whole(sums.low[0], sums.high[0]);
            let second = whole(sums.low[1], sums.high[1]);
            // Packing goes by halves of a register, so quarters are put in order after it.
            let words = self.avx2._mm256_packs_epi32(first, second);
            let words = self.avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = self.avx2._mm256_packus_epi16(words, words);
            let [bytes, _]: [[u8; LANES]; 2] =
                cast(self.avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(bytes));
            bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values and weights from one end to the other, sums below 0 and above 255 among them.
    struct Extremes;

    const ONE: i32 = 1 << FRACTION_BITS;
    const MOST: i32 = 0x7F_7F7F;
    const WEIGHTS: [QuadWeights; 6] = [
        [ONE, 0, 0, 0],
        [ONE / 4; 4],
        [-ONE / 7, ONE + 1, ONE / 7, 0],
        [MOST, -MOST, 1, -1],
        [0, 0, 0, MOST],
        [-128, 127, 32_767, -32_768],
    ];

    impl QuadWork for Extremes {
        type Output = Vec<[u8; LANES]>;

        #[inline(always)]
        fn run<P: QuadProducts>(self, products: P) -> Self::Output {
            let bytes = std::array::from_fn(|at| (at * 255 / (QUAD * LANES - 1)) as u8);
            let values = products.values(&QuadVector(bytes));
            let add = |sums, quad| products.add(sums, values, products.weights(quad));
            let one = WEIGHTS.map(|quad| products.bytes(add(products.start(), quad)));
            let two = [[ONE, -ONE, 0, 0], [-ONE, ONE, 0, 9]];
            let both = two.into_iter().fold(products.start(), add);
            one.into_iter().chain([products.bytes(both)]).collect()
        }
    }

    #[test]
    fn every_width_of_vectors_gives_what_plain_arithmetic_gives() {
        let plain = Extremes.run(Scalar);
        assert!(plain.as_flattened().contains(&0) && plain.as_flattened().contains(&255));
        assert_eq!(with_widest(Extremes), plain);
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(vectors) = V3::try_new() {
            let avx2 = vectors.vectorize(
                #[inline(always)]
                || Extremes.run(vectors),
            );
            assert_eq!(avx2, plain);
        }
    }
}
