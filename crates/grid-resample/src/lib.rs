//! Resampling of square patch grids as small matrices on rows and columns.
//!
//! Everything that resamples a patch grid is linear and separable: `R m R'` with one matrix `R` for
//! both axes. Position resize, box mean, blur and bilinear upsampling are all one such matrix, so
//! they run on every backend, carry gradients, and multiply into one another.
//!
//! [`AxisMatrix`] builds the matrix on the host in f64 ([`AxisWindow`] one row of a long one);
//! [`GridResampler`] applies it to tensors, [`HostResampler`] to a grid in memory.

mod axis;
mod resampler;

pub use axis::{AxisMatrix, AxisWindow, Border, ShapeMismatch};
pub use resampler::{GridResampler, HostResampler};
