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

/// The source positions that make one output.
pub(super) struct Window {
    /// The first position.
    pub(super) start: usize,
    /// Weights of it and those behind it, in fixed point.
    pub(super) weights: Vec<i32>,
}

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
    /// The part of a row of weights that is not zero, in fixed point.
    fn of(row: &[f64]) -> Self {
        let start = row.iter().position(|weight| *weight != 0.0).unwrap_or(0);
        let end = row.iter().rposition(|weight| *weight != 0.0).map_or(0, |last| last + 1);
        let fixed = |weight: &f64| (weight * f64::from(1u32 << FRACTION_BITS)).round() as i32;
        Self { start, weights: row.get(start..end).unwrap_or_default().iter().map(fixed).collect() }
    }
}
