//! Which kernels compute: two kinds of CPU round sums in other orders, so a number depends on them in its
//! last digits.

use tile_kernels::Isa;

/// The kernels that compute for a device, as in `flex, avx512f, blocks by amx`; a device is named as on
/// the command line, and its number does not count.
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
