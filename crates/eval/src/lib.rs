//! What a detector is worth, and what it saw: exact metrics, named protocols, reports, and pictures
//! for a person to look at.
//!
//! - [`metrics`]: AUROC, AP, F1-max, IoU and AUPRO from scores and labels, exact on ties and in bounded
//!   memory; the calibration error and bootstrap intervals of image scores.
//! - [`Calibrator`]: from normal images to the ranges and thresholds that a detector is used with.
//! - [`report`]: takes a dataset's maps and image scores class by class, measures them under every
//!   [`report::Protocol`], prints the table, saves the maps.
//! - [`pictures`]: 16-bit maps, overlays with a legend, contact sheets of datasets, `.npy` files, each
//!   written whole or not at all.
//!
//! What is undefined (one class only, no masks) is `None`, `null` or `n/a`: never 0, and never part
//! of a mean.

mod calibrator;
mod error;
mod map;
pub mod metrics;
pub mod pictures;
pub mod report;
mod store;

pub use calibrator::{CalibrationTargets, Calibrator};
pub use error::{EvalError, FalsePositives};
pub use map::{MapRange, MapView, Peak};
pub use store::{ResultFolder, StoredResult};
