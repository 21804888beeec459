//! What this machine does in a twentieth of a second, for whoever asks why it is slow.

use std::time::{Duration, Instant};

use crate::block::Precision;
use crate::format::{Bf16, F32, Format, SplitF32};
use crate::isa::Isa;
use crate::linear::{Linear, WriteTo};
use crate::norm::rows_to_tiles;
use crate::rows::Tokens;
use crate::tiles::{Buffer, SIDE};

/// How long products are made.
const LONG: Duration = Duration::from_millis(50);

/// Rows, and width of both operands.
const ROWS: usize = 512;
const WIDTH: usize = 1024;

/// Floating-point operations a second in products of matrices, on the threads of the current pool.
pub fn peak(isa: Isa, precision: Precision) -> f64 {
    match (precision, isa) {
        (Precision::Bf16, _) => peak_of::<Bf16>(isa),
        (Precision::F32, Isa::Amx) => peak_of::<SplitF32>(isa),
        (Precision::F32, _) => peak_of::<F32>(isa),
    }
}

fn peak_of<F: Format>(isa: Isa) -> f64 {
    let small = |i: usize| (i % 13) as f32 - 6.0;
    let linear = Linear::<F>::pack(WIDTH, WIDTH, |i, o| small(i + 5 * o), |_| 0.0);
    let tokens = Tokens { batch: 1, count: ROWS };
    let rows: Vec<f32> = (0..ROWS * WIDTH).map(small).collect();
    let mut tiles = Buffer::zeros(2 * tokens.groups() * WIDTH / SIDE * F::TILES);
    rows_to_tiles::<F>(isa, &rows, WIDTH, tokens, &mut tiles);
    let mut out = vec![0.0; ROWS * WIDTH];
    let mut multiply = || {
        linear.apply(isa, &tiles, tokens, &WriteTo::new(&mut out, WIDTH, tokens));
    };
    multiply();
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < LONG {
        multiply();
        count += 1;
    }
    f64::from(count) * (2 * ROWS * WIDTH * WIDTH) as f64 / start.elapsed().as_secs_f64()
}
