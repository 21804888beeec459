//! Which source positions make one output of Pillow's bicubic resizing, and with which weights, in
//! Pillow's fixed point.
//!
//! Windows are kept once made: the pictures of a dataset have few sizes, and the matrix that the
//! windows are cut from takes as long to fill as a picture takes to resize.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use grid_resample::AxisMatrix;

/// Bits behind the point of a weight: as many as leave room for the sum of a window of bytes.
pub(super) const FRACTION_BITS: u32 = 22;

/// Axes whose windows are kept.
const KEPT: usize = 16;

/// Where a weight is split in two, so that each part fits 16 bits.
pub(super) const HIGH_SHIFT: u32 = 11;

/// The source positions that make one output, two by two.
pub(super) struct Window {
    /// The first pair; pair `p` holds the positions `2 p` and `2 p + 1`.
    pub(super) first: usize,
    /// Weights of that pair and those behind it.
    pub(super) weights: Vec<PairWeights>,
}

/// The weights of two positions in fixed point: `high * 2^HIGH_SHIFT + low`.
pub(super) struct PairWeights {
    pub(super) low: TwoWeights,
    pub(super) high: TwoWeights,
}

/// Two 16-bit weights in the number that holds the first in its lower half.
#[derive(Clone, Copy)]
pub(super) struct TwoWeights(i32);

/// An axis that is resized, and one window for each of its outputs.
struct Axis {
    inputs: usize,
    outputs: usize,
    windows: Arc<[Window]>,
}

static LATEST: Mutex<VecDeque<Axis>> = Mutex::new(VecDeque::new());

/// One window for each output of an axis.
pub(super) fn windows(inputs: usize, outputs: usize) -> Arc<[Window]> {
    let latest = || LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |axis: &&Axis| axis.inputs == inputs && axis.outputs == outputs;
    if let Some(axis) = latest().iter().find(same) {
        return Arc::clone(&axis.windows);
    }
    let matrix = AxisMatrix::bicubic_antialias(inputs, outputs);
    let windows: Arc<[Window]> =
        (0..outputs).map(|output| Window::of(matrix.row(output))).collect();
    let mut latest = latest();
    latest.truncate(KEPT - 1);
    latest.push_front(Axis { inputs, outputs, windows: Arc::clone(&windows) });
    windows
}

impl Window {
    /// The part of a row of weights that is not zero, begun and ended at whole pairs.
    fn of(row: &[f64]) -> Self {
        let first = row.iter().position(|weight| *weight != 0.0).unwrap_or(0) / 2;
        let end = row.iter().rposition(|weight| *weight != 0.0).map_or(0, |last| last + 1);
        let weights = row.get(2 * first..end).unwrap_or_default().chunks(2);
        Self { first, weights: weights.map(PairWeights::of).collect() }
    }
}

impl PairWeights {
    /// Of one or two weights.
    fn of(weights: &[f64]) -> Self {
        let pair = std::array::from_fn(|at| weights.get(at).map_or(0, |weight| fixed(*weight)));
        Self {
            low: TwoWeights::new(pair.map(|weight| (weight & ((1 << HIGH_SHIFT) - 1)) as i16)),
            high: TwoWeights::new(pair.map(|weight| (weight >> HIGH_SHIFT) as i16)),
        }
    }
}

impl TwoWeights {
    pub(super) fn new([first, second]: [i16; 2]) -> Self {
        Self(i32::from(second) << 16 | i32::from(first as u16))
    }

    #[inline(always)]
    pub(super) fn packed(self) -> i32 {
        self.0
    }

    #[inline(always)]
    pub(super) fn parts(self) -> [i32; 2] {
        [i32::from(self.0 as i16), self.0 >> 16]
    }
}

/// A weight, of a magnitude below two, in fixed point.
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1u32 << FRACTION_BITS)).round() as i32
}
