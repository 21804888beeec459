//! Which source positions make one output of Pillow's resizing, and with which weights, in Pillow's
//! fixed point.
//!
//! Windows are kept once made: the pictures of a dataset have few sizes.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use grid_resample::AxisWindow;

/// Bits behind the point of a weight: as many as leave room for the sum of a window of bytes.
pub(super) const FRACTION_BITS: u32 = 22;

/// Positions that are taken at once.
pub(super) const QUAD: usize = 4;

/// Axes whose windows are kept.
const KEPT: usize = 16;

/// Pillow's names of how neighbours are weighed; each widens when a picture shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Cubic, with a = -0.5: pictures.
    Bicubic,
    /// Linear: masks, where a method asks for it.
    Bilinear,
}

impl Filter {
    fn window(self, inputs: usize, outputs: usize, output: usize) -> AxisWindow {
        match self {
            Self::Bicubic => AxisWindow::bicubic_antialias(inputs, outputs, output),
            Self::Bilinear => AxisWindow::bilinear_antialias(inputs, outputs, output),
        }
    }
}

/// The weights of four positions in fixed point, each of a magnitude below two.
pub(super) type QuadWeights = [i32; QUAD];

/// One window for each output of an axis: quads of source positions, as many in each window.
pub(super) struct Windows {
    /// The first quad of each window; quad `q` holds the positions from `4 q` on.
    pub(super) firsts: Vec<usize>,
    /// Quads of a window: one to three, or a multiple of four.
    pub(super) quads: usize,
    /// `[outputs, quads]`; zero for what does not count and for what lies behind the last position.
    pub(super) weights: Vec<QuadWeights>,
}

/// An axis that is resized.
struct Axis {
    inputs: usize,
    outputs: usize,
    filter: Filter,
    windows: Arc<Windows>,
}

static LATEST: Mutex<VecDeque<Axis>> = Mutex::new(VecDeque::new());

/// The windows of an axis, made or kept.
pub(super) fn windows(inputs: usize, outputs: usize, filter: Filter) -> Arc<Windows> {
    let latest = || LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = (inputs, outputs, filter);
    let same = |axis: &&Axis| (axis.inputs, axis.outputs, axis.filter) == wanted;
    if let Some(axis) = latest().iter().find(same) {
        return Arc::clone(&axis.windows);
    }
    let windows = Arc::new(Windows::new(inputs, outputs, filter));
    let mut latest = latest();
    latest.truncate(KEPT - 1);
    latest.push_front(Axis { inputs, outputs, filter, windows: Arc::clone(&windows) });
    windows
}

impl Windows {
    /// All windows as long as the longest: a loop whose length never changes is foreseen by the
    /// processor.
    fn new(inputs: usize, outputs: usize, filter: Filter) -> Self {
        let rows = (0..outputs).map(|output| filter.window(inputs, outputs, output));
        let rows = rows.collect::<Vec<_>>();
        let spans = rows.iter().map(span).collect::<Vec<_>>();
        let quads = match spans.iter().map(Range::len).max() {
            Some(few @ 1..4) => few,
            longest => longest.unwrap_or(0).next_multiple_of(4),
        };
        let firsts = spans.into_iter().map(|span| span.start).collect::<Vec<_>>();
        let window = |(row, first): (&AxisWindow, &usize)| {
            (*first..first + quads).map(|quad| quad_weights(row, QUAD * quad)).collect::<Vec<_>>()
        };
        let weights = rows.iter().zip(&firsts).flat_map(window).collect();
        Self { firsts, quads, weights }
    }
}

/// The quads that hold all weights that are not zero.
fn span(row: &AxisWindow) -> Range<usize> {
    let weighs = |weight: &f64| *weight != 0.0;
    let first = row.weights.iter().position(weighs).map_or(0, |first| row.first + first);
    let last = row.weights.iter().rposition(weighs).map_or(first, |last| row.first + last + 1);
    first / QUAD..last.div_ceil(QUAD)
}

fn quad_weights(row: &AxisWindow, from: usize) -> QuadWeights {
    std::array::from_fn(|at| {
        let within = (from + at).checked_sub(row.first);
        within.and_then(|at| row.weights.get(at)).map_or(0, |weight| fixed(*weight))
    })
}

/// A weight, of a magnitude below two, in fixed point.
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1u32 << FRACTION_BITS)).round() as i32
}
