//! Lanes in plain Rust: the safe fallback that every other kind is tested beside.

use half::bf16;

use super::Lanes;

/// No instruction set in particular.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; 16] {
    std::array::from_fn(f)
}

#[inline(always)]
fn low(bits: u32) -> f32 {
    f32::from_bits(bits << 16)
}

#[inline(always)]
fn high(bits: u32) -> f32 {
    f32::from_bits(bits & 0xffff_0000)
}

#[inline(always)]
fn packed(first: f32, second: f32) -> f32 {
    let bits = |x| u32::from(bf16::from_f32(x).to_bits());
    f32::from_bits(bits(first) | bits(second) << 16)
}

impl Lanes for Portable {
    type V = [f32; 16];

    #[inline(always)]
    fn splat(x: f32) -> Self::V {
        [x; 16]
    }

    #[inline(always)]
    fn load(from: &[f32; 16]) -> Self::V {
        *from
    }

    #[inline(always)]
    fn store(x: Self::V, to: &mut [f32; 16]) {
        *to = x;
    }

    #[inline(always)]
    fn load_bits(from: &[u32; 16]) -> Self::V {
        from.map(f32::from_bits)
    }

    #[inline(always)]
    fn store_bits(x: Self::V, to: &mut [u32; 16]) {
        *to = x.map(f32::to_bits);
    }

    #[inline(always)]
    fn add(a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        each(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn max(a: Self::V, b: Self::V) -> Self::V {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn with_sign(a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i].copysign(b[i]))
    }

    #[inline(always)]
    fn reciprocal(x: Self::V) -> Self::V {
        x.map(f32::recip)
    }

    #[inline(always)]
    fn fraction(x: Self::V) -> Self::V {
        x.map(|x| x - x.floor())
    }

    #[inline(always)]
    fn times_power(a: Self::V, x: Self::V) -> Self::V {
        // Two factors, for one that holds 2^128 or 2^-140 does not exist.
        each(|i| {
            let exponent = x[i].floor().clamp(-252.0, 254.0) as i32;
            let power = |exponent: i32| f32::from_bits(((exponent + 127) as u32) << 23);
            a[i] * power(exponent / 2) * power(exponent - exponent / 2)
        })
    }

    #[inline(always)]
    fn sum(x: Self::V) -> f32 {
        x.iter().sum()
    }

    #[inline(always)]
    fn any_greater(a: Self::V, b: Self::V) -> bool {
        a.iter().zip(b).any(|(&a, b)| a > b)
    }

    #[inline(always)]
    fn round_bf16(x: Self::V) -> Self::V {
        x.map(|x| bf16::from_f32(x).to_f32())
    }

    #[inline(always)]
    fn row(low: Self::V, high: Self::V) -> Self::V {
        let value = |i: usize| if i < 16 { low[i] } else { high[i - 16] };
        each(|i| packed(value(2 * i), value(2 * i + 1)))
    }

    #[inline(always)]
    fn pairs(first: Self::V, second: Self::V) -> Self::V {
        each(|i| packed(first[i], second[i]))
    }

    #[inline(always)]
    fn of_row(bits: Self::V) -> [Self::V; 2] {
        let value = |i: usize| {
            let pair = bits[i / 2].to_bits();
            if i.is_multiple_of(2) { low(pair) } else { high(pair) }
        };
        [each(value), each(|i| value(16 + i))]
    }

    #[inline(always)]
    fn of_pairs(bits: Self::V) -> (Self::V, Self::V) {
        (each(|i| low(bits[i].to_bits())), each(|i| high(bits[i].to_bits())))
    }

    #[inline(always)]
    fn splat_pair(bits: u32) -> (Self::V, Self::V) {
        ([low(bits); 16], [high(bits); 16])
    }

    #[inline(always)]
    fn transpose(rows: &mut [Self::V; 16]) {
        let before = *rows;
        *rows = std::array::from_fn(|column| each(|row| before[row][column]));
    }
}
