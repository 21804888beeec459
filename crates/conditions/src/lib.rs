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

mod table;
mod value;

use tile_kernels::Isa;

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

/// The kernels that compute for a device, as in `flex, avx512f, blocks by amx`: two kinds of CPU round sums
/// in other orders, so a number depends on them in its last digits. A device is named as on the command
/// line, and its number does not count.
///
/// On a CPU these are Burn's, whose matrix products and elementwise operations are compiled for several
/// kinds of CPU, of which they take the best that the machine has; and on flex those of
/// [`tile_kernels`], by which the blocks of a frozen CLIP compute. A GPU's are known by its backend
/// alone.
pub fn kernels(device: &str) -> String {
    let backend = device.split(':').next().unwrap_or_default();
    match backend {
        // Where none can be used, no block can either, and the error is told there.
        "flex" => {
            let blocks = Isa::chosen().map_or("none", Isa::name);
            format!("{backend}, {}, blocks by {blocks}", cpu(&CPU_FEATURES))
        }
        // `matrixmultiply` has none for AVX-512.
        "ndarray" => format!("{backend}, {}", cpu(&CPU_FEATURES[1..])),
        _ => backend.to_owned(),
    }
}

/// A feature for which there are kernels, and whether this CPU has it.
struct CpuFeature {
    name: &'static str,
    is_there: fn() -> bool,
}

/// The best first.
#[cfg(target_arch = "x86_64")]
const CPU_FEATURES: [CpuFeature; 2] = [
    CpuFeature { name: "avx512f", is_there: || std::is_x86_feature_detected!("avx512f") },
    CpuFeature { name: "fma", is_there: || std::is_x86_feature_detected!("fma") },
];

#[cfg(not(target_arch = "x86_64"))]
const CPU_FEATURES: [CpuFeature; 1] =
    [CpuFeature { name: std::env::consts::ARCH, is_there: || true }];

fn cpu(features: &[CpuFeature]) -> &'static str {
    let best = features.iter().find(|feature| (feature.is_there)());
    best.map_or(std::env::consts::ARCH, |feature| feature.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_named_by_backend_and_cpu_and_not_by_number() {
        assert_eq!(kernels("cuda:1"), "cuda");
        assert!(kernels("flex").starts_with("flex, ") && kernels("flex").contains(", blocks by "));
        assert_eq!(kernels("flex"), kernels("flex"));
        assert_ne!(kernels("flex"), kernels("ndarray"));
    }
}
