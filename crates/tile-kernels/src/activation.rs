//! The feed-forward's activation, on its way into tiles.
#![allow(unsafe_code)]

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};
use std::marker::PhantomData;

use crate::format::Format;
use crate::kernel::Kernel;
use crate::linear::Epilogue;
use crate::tiles::{ROWS, RegisterTile, SharedBlocks, Square};

/// What bends the hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, OpenAI's.
    QuickGelu,
    /// `x` times the normal distribution's share below it, LAION's.
    Gelu,
}

/// Writes an activated product as a left operand.
pub(crate) struct Activated<'a, F> {
    to: SharedBlocks<'a>,
    activation: Activation,
    format: PhantomData<F>,
}

impl<'a, F: Format> Activated<'a, F> {
    /// `panels` of 32 columns.
    pub(crate) fn new(to: &'a mut [RegisterTile], panels: usize, activation: Activation) -> Self {
        let to = SharedBlocks::new(to, panels * F::TILES, F::TILES);
        Self { to, activation, format: PhantomData }
    }
}

impl<F: Format> Epilogue for Activated<'_, F> {
    #[inline(always)]
    fn apply<K: Kernel>(&self, group: usize, panel: usize, bias: [K::V; 2], square: &Square) {
        match self.activation {
            Activation::QuickGelu => self.store::<K, QuickGelu>(group, panel, bias, square),
            Activation::Gelu => self.store::<K, Gelu>(group, panel, bias, square),
        }
    }
}

impl<F: Format> Activated<'_, F> {
    #[inline(always)]
    fn store<K: Kernel, A: Activate>(
        &self,
        group: usize,
        panel: usize,
        bias: [K::V; 2],
        square: &Square,
    ) {
        for half in 0..2 {
            // SAFETY: each square of the product is one piece's, and so are its blocks.
            let tiles = unsafe { self.to.block(2 * group + half, panel) };
            for row in 0..ROWS {
                let [low, high] = &square.0[half * ROWS + row];
                let low = A::activate::<K, F>(K::add(K::load(low), bias[0]));
                let high = A::activate::<K, F>(K::add(K::load(high), bias[1]));
                F::store_row::<K>(tiles, row, low, high);
            }
        }
    }
}

/// An activation by itself.
pub(crate) trait Activate {
    fn activate<K: Kernel, F: Format>(x: K::V) -> K::V;

    /// Its derivative.
    fn slope<K: Kernel, F: Format>(x: K::V) -> K::V;
}

pub(crate) struct QuickGelu;

/// `1 / (1 + exp(-1.702 x))`.
#[inline(always)]
fn gate<K: Kernel, F: Format>(x: K::V) -> K::V {
    let power = F::exp2::<K>(K::mul(x, K::splat(-1.702 * LOG2_E)));
    K::reciprocal(K::add(power, K::splat(1.0)))
}

impl Activate for QuickGelu {
    #[inline(always)]
    fn activate<K: Kernel, F: Format>(x: K::V) -> K::V {
        K::mul(x, gate::<K, F>(x))
    }

    /// `gate + 1.702 x gate (1 - gate)`.
    #[inline(always)]
    fn slope<K: Kernel, F: Format>(x: K::V) -> K::V {
        let gate = gate::<K, F>(x);
        let bend = K::mul(gate, K::sub(K::splat(1.0), gate));
        K::mul_add(K::mul(x, K::splat(1.702)), bend, gate)
    }
}

pub(crate) struct Gelu;

impl Activate for Gelu {
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    #[inline(always)]
    fn activate<K: Kernel, F: Format>(x: K::V) -> K::V {
        let half = K::mul(x, K::splat(0.5));
        K::mul_add(half, erf::<K, F>(K::mul(x, K::splat(FRAC_1_SQRT_2))), half)
    }

    /// The normal distribution's share below x, and x times its density.
    #[inline(always)]
    fn slope<K: Kernel, F: Format>(x: K::V) -> K::V {
        const PEAK: f32 = 0.398_942_3;
        let half = K::splat(0.5);
        let share = K::mul_add(half, erf::<K, F>(K::mul(x, K::splat(FRAC_1_SQRT_2))), half);
        let exponent = K::mul(K::mul(x, x), K::splat(-0.5 * LOG2_E));
        let density = K::mul(F::exp2::<K>(exponent), K::splat(PEAK));
        K::mul_add(x, density, share)
    }
}

/// The error function within 1.5e-7, by formula 7.1.26 of Abramowitz and Stegun.
#[inline(always)]
fn erf<K: Kernel, F: Format>(x: K::V) -> K::V {
    const TERMS: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    let negative = K::sub(K::splat(0.0), x);
    let size = K::max(x, negative);
    let t = K::reciprocal(K::mul_add(size, K::splat(0.327_591_1), K::splat(1.0)));
    let mut sum = K::splat(TERMS[4]);
    for power in (0..TERMS.len() - 1).rev() {
        sum = K::mul_add(sum, t, K::splat(TERMS[power]));
    }
    let bell = F::exp2::<K>(K::mul(K::mul(x, negative), K::splat(LOG2_E)));
    let value = K::sub(K::splat(1.0), K::mul(K::mul(sum, t), bell));
    K::with_sign(value, x)
}
