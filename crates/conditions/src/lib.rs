//! What a stored number follows from. A checkpoint, a calibration, a result of a benchmark, a run of an
//! ablation, a demo, a cached prompt and a decoded picture are taken up again only under the
//! conditions that they were made under; here is the one list of those, and the one line that names a
//! difference.
//!
//! [`Condition`] is a table: each row says what a condition is called, in which words a person reads of
//! it, and for which [`Purpose`]s it counts. [`Conditions`] are values of some of them. What a purpose
//! keeps is a projection of these by [`Conditions::of`]. The rows that build and machine decide (JPEG
//! decoder, kernels, numbers version) come from [`Conditions::here`], so that a new one stands in every
//! file as soon as it is a line of the table.
//!
//! ```
//! use conditions::{Condition, Conditions, Purpose};
//!
//! let made = Conditions::here("flex").with(Condition::Precision, &"F32");
//! let given = Conditions::here("flex").with(Condition::Precision, &"BF16");
//! let (made, given) = (made.of(Purpose::Calibration), given.of(Purpose::Calibration));
//! let difference = made.first_difference(&given).unwrap();
//! assert_eq!(
//!     difference.to_string(),
//!     r#"precision was "F32" and is "BF16" now; give the old value"#
//! );
//! ```
//!
//! Files of older programs do not say everything. Which decoder and which numbers version theirs were
//! is known: the default decoder and version 1. Their kernels are not, so any are taken for theirs.

mod kernels;
mod table;
mod value;

pub use kernels::kernels;
pub use table::{Condition, Purpose};
pub use value::{Conditions, Difference};

/// The numbers version: raised by whoever changes what this project's code makes of the same input under
/// the same settings, be it in the last digit. What was stored under another one is not mixed with new
/// results. `tests/goldens.rs` fails when a golden changes and this does not.
pub const NUMBERS: u32 = 1;

/// The library that decodes JPEGs where no feature says otherwise.
const DEFAULT_JPEG_DECODER: &str = "zune-jpeg";

/// The library that decodes JPEGs in this build: pixels differ by a few grey levels in places.
pub const JPEG_DECODER: &str =
    if cfg!(feature = "libjpeg-turbo") { "libjpeg-turbo" } else { DEFAULT_JPEG_DECODER };
