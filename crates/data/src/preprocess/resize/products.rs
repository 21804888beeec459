//! Sums of products of pairs of 16-bit numbers, by the widest vectors that the processor at hand has.
//!
//! `pulp` finds out which there are and offers their instructions without unsafe code. The compiler
//! does not find the pair products by itself: from plain loops it makes 32-bit products, with which
//! both passes took two and a half times as long.

use pulp::{Arch, Scalar};

use crate::preprocess::window::{FRACTION_BITS, HIGH_SHIFT, PairWeights, TwoWeights};

/// Sums that are taken side by side.
pub(super) const LANES: usize = 16;

/// Two bytes for each lane.
pub(super) type Pairs = [u8; 2 * LANES];

/// Half of the last place, so that the shift rounds.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// Work that is compiled for each kind of vectors.
pub(super) trait PairWork {
    type Output;

    /// To be marked `inline(always)`: only what is inlined is compiled for the vectors.
    fn run<P: PairProducts>(self, products: P) -> Self::Output;
}

/// How a processor multiplies pairs and adds.
pub(super) trait PairProducts: Copy {
    /// Two 16-bit values for each lane, in registers.
    type Values: Copy;
    /// A sum for each lane, in registers.
    type Lanes: Copy;

    /// Bytes as 16-bit values.
    fn values(self, pairs: &Pairs) -> Self::Values;

    /// The same number in each lane.
    fn splat(self, number: i32) -> Self::Lanes;

    /// Adds for each lane the first value by the first weight and the second by the second.
    fn add(self, sums: Self::Lanes, values: Self::Values, weights: TwoWeights) -> Self::Lanes;

    /// `high * 2^HIGH_SHIFT + low` without its fraction, clipped to bytes.
    fn bytes(self, sums: Sums<Self::Lanes>) -> [u8; LANES];
}

/// Weighted sums of lanes, by the low and by the high parts of the weights.
#[derive(Clone, Copy)]
pub(super) struct Sums<L> {
    low: L,
    high: L,
}

impl<L: Copy> Sums<L> {
    #[inline(always)]
    pub(super) fn start<P: PairProducts<Lanes = L>>(products: P) -> Self {
        Self { low: products.splat(HALF), high: products.splat(0) }
    }

    #[inline(always)]
    pub(super) fn add<P: PairProducts<Lanes = L>>(
        &mut self,
        values: P::Values,
        weights: &PairWeights,
        products: P,
    ) {
        self.low = products.add(self.low, values, weights.low);
        self.high = products.add(self.high, values, weights.high);
    }
}

/// Runs work with the widest vectors there are.
pub(super) fn with_widest<W: PairWork>(work: W) -> W::Output {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    match Arch::new() {
        Arch::V4(vectors) => {
            return vectors.vectorize(
                #[inline(always)]
                || work.run(vectors),
            );
        }
        Arch::V3(vectors) => {
            return vectors.vectorize(
                #[inline(always)]
                || work.run(vectors),
            );
        }
        _ => (),
    }
    Arch::new().dispatch(
        #[inline(always)]
        || work.run(Scalar),
    )
}

impl PairProducts for Scalar {
    type Values = [i16; 2 * LANES];
    type Lanes = [i32; LANES];

    #[inline(always)]
    fn splat(self, number: i32) -> Self::Lanes {
        [number; LANES]
    }

    #[inline(always)]
    fn values(self, pairs: &Pairs) -> Self::Values {
        pairs.map(i16::from)
    }

    #[inline(always)]
    fn add(self, mut sums: Self::Lanes, values: Self::Values, weights: TwoWeights) -> Self::Lanes {
        let weights = weights.parts();
        for (sum, pair) in sums.iter_mut().zip(values.as_chunks::<2>().0) {
            let [first, second] = pair.map(i32::from);
            *sum = sum.wrapping_add(first * weights[0] + second * weights[1]);
        }
        sums
    }

    #[inline(always)]
    fn bytes(self, sums: Sums<Self::Lanes>) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        for ((byte, low), high) in bytes.iter_mut().zip(sums.low).zip(sums.high) {
            let sum = low.wrapping_add(high << HIGH_SHIFT);
            *byte = (sum >> FRACTION_BITS).clamp(0, 255) as u8;
        }
        bytes
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86 {
    //! The instructions of AVX2 (`V3`) and AVX-512 (`V4`).

    #[cfg(target_arch = "x86")]
    use std::arch::x86::{__m128i, __m256i, __m512i};
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64::{__m128i, __m256i, __m512i};

    use pulp::bytemuck::cast;
    use pulp::x86::{V3, V4};

    use super::*;

    const LEFT: i32 = HIGH_SHIFT as i32;
    const RIGHT: i32 = FRACTION_BITS as i32;

    impl PairProducts for V3 {
        type Values = [__m256i; 2];
        type Lanes = [__m256i; 2];

        #[inline(always)]
        fn values(self, pairs: &Pairs) -> Self::Values {
            let halves: [__m128i; 2] = cast(*pairs);
            halves.map(
                #[inline(always)]
                |half| self.avx2._mm256_cvtepu8_epi16(half),
            )
        }

        #[inline(always)]
        fn splat(self, number: i32) -> Self::Lanes {
            [self.avx._mm256_set1_epi32(number); 2]
        }

        #[inline(always)]
        fn add(self, sums: Self::Lanes, values: Self::Values, weights: TwoWeights) -> Self::Lanes {
            let weights = self.avx._mm256_set1_epi32(weights.packed());
            let first = self.avx2._mm256_madd_epi16(values[0], weights);
            let second = self.avx2._mm256_madd_epi16(values[1], weights);
            [
                self.avx2._mm256_add_epi32(sums[0], first),
                self.avx2._mm256_add_epi32(sums[1], second),
            ]
        }

        #[inline(always)]
        fn bytes(self, sums: Sums<Self::Lanes>) -> [u8; LANES] {
            let whole = |low, high| {
                let high = self.avx2._mm256_slli_epi32::<LEFT>(high);
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

    impl PairProducts for V4 {
        type Values = __m512i;
        type Lanes = __m512i;

        #[inline(always)]
        fn values(self, pairs: &Pairs) -> Self::Values {
            self.avx512bw._mm512_cvtepu8_epi16(cast(*pairs))
        }

        #[inline(always)]
        fn splat(self, number: i32) -> Self::Lanes {
            self.avx512f._mm512_set1_epi32(number)
        }

        #[inline(always)]
        fn add(self, sums: Self::Lanes, values: Self::Values, weights: TwoWeights) -> Self::Lanes {
            let weights = self.avx512f._mm512_set1_epi32(weights.packed());
            let products = self.avx512bw._mm512_madd_epi16(values, weights);
            self.avx512f._mm512_add_epi32(sums, products)
        }

        #[inline(always)]
        fn bytes(self, sums: Sums<Self::Lanes>) -> [u8; LANES] {
            let high = self.avx512f._mm512_slli_epi32::<{ HIGH_SHIFT }>(sums.high);
            let sum = self.avx512f._mm512_add_epi32(sums.low, high);
            let whole = self.avx512f._mm512_srai_epi32::<{ FRACTION_BITS }>(sum);
            let positive = self.avx512f._mm512_max_epi32(whole, self.splat(0));
            cast(self.avx512f._mm512_cvtusepi32_epi8(positive))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values and weights from one end to the other, sums below 0 and above 255 among them.
    struct Extremes;

    impl PairWork for Extremes {
        type Output = Vec<[u8; LANES]>;

        #[inline(always)]
        fn run<P: PairProducts>(self, products: P) -> Self::Output {
            let pairs = std::array::from_fn(|at| (at * 255 / (2 * LANES - 1)) as u8);
            let values = products.values(&pairs);
            let highs = [[2048, 0], [1024, 1024], [-300, 2250], [2250, 2250], [-2000, -9]];
            let lows = [[0, 2047], [1, 2], [2047, 2047], [0, 0], [1000, 1]];
            let sums = highs.into_iter().zip(lows).map(|(high, low)| {
                let mut sums = Sums::start(products);
                let weights =
                    PairWeights { low: TwoWeights::new(low), high: TwoWeights::new(high) };
                sums.add(values, &weights, products);
                products.bytes(sums)
            });
            sums.collect()
        }
    }

    #[test]
    fn every_width_of_vectors_gives_what_plain_arithmetic_gives() {
        let plain = Extremes.run(Scalar);
        assert!(plain.as_flattened().contains(&0) && plain.as_flattened().contains(&255));
        assert_eq!(with_widest(Extremes), plain);
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(vectors) = pulp::x86::V3::try_new() {
            assert_eq!(
                vectors.vectorize(
                    #[inline(always)]
                    || Extremes.run(vectors)
                ),
                plain
            );
        }
    }
}
