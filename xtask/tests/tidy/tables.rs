//! What the rules hold the files against: a row for each exception, and for each crate those that it may know.

/// A crate and those of the project's own crates that it may depend on.
pub(crate) struct Arrows {
    pub(crate) from: &'static str,
    pub(crate) to: &'static [&'static str],
}

pub(crate) const ARROWS: &[Arrows] = &[
    Arrows { from: "grid-resample", to: &[] },
    Arrows { from: "conditions", to: &["tile-kernels"] },
    Arrows { from: "anomaly", to: &["conditions", "grid-resample"] },
    Arrows { from: "moe-lora", to: &[] },
    Arrows { from: "moeclip-losses", to: &[] },
    Arrows { from: "whole-file", to: &[] },
    Arrows { from: "svg-charts", to: &[] },
    Arrows { from: "tile-kernels", to: &[] },
    Arrows { from: "clip-vit", to: &["grid-resample", "tile-kernels", "whole-file"] },
    Arrows { from: "paa-adapter", to: &["grid-resample"] },
    Arrows { from: "moeclip-data", to: &["anomaly", "conditions", "grid-resample", "whole-file"] },
    Arrows {
        from: "moeclip",
        to: &[
            "anomaly",
            "clip-vit",
            "conditions",
            "grid-resample",
            "moe-lora",
            "paa-adapter",
            "whole-file",
        ],
    },
    Arrows {
        from: "moeclip-train",
        to: &[
            "clip-vit",
            "conditions",
            "moe-lora",
            "moeclip",
            "moeclip-data",
            "moeclip-losses",
            "svg-charts",
            "whole-file",
        ],
    },
    Arrows { from: "moeclip-goldens", to: &["clip-vit"] },
    Arrows {
        from: "anomaly-methods",
        to: &[
            "anomaly",
            "clip-vit",
            "conditions",
            "grid-resample",
            "moeclip",
            "moeclip-data",
            "moeclip-goldens",
            "moeclip-losses",
            "moeclip-train",
            "paa-adapter",
        ],
    },
    Arrows {
        from: "moeclip-parity",
        to: &[
            "anomaly",
            "anomaly-methods",
            "clip-vit",
            "moe-lora",
            "moeclip",
            "moeclip-data",
            "moeclip-goldens",
            "moeclip-train",
        ],
    },
    Arrows { from: "synthetic-world", to: &["anomaly", "moeclip-data"] },
    Arrows {
        from: "small-clip",
        to: &[
            "clip-vit",
            "conditions",
            "moeclip",
            "moeclip-data",
            "moeclip-train",
            "synthetic-world",
        ],
    },
    Arrows {
        from: "moeclip-eval",
        to: &["anomaly", "conditions", "moeclip-data", "svg-charts", "whole-file"],
    },
    Arrows {
        from: "moeclip-benches",
        to: &["anomaly", "clip-vit", "moeclip", "moeclip-data", "moeclip-eval", "tile-kernels"],
    },
    Arrows { from: "moeclip-fuzz", to: &["clip-vit", "moeclip-data"] },
    Arrows {
        from: "inspect",
        to: &[
            "anomaly",
            "anomaly-methods",
            "clip-vit",
            "conditions",
            "moeclip",
            "moeclip-data",
            "moeclip-eval",
            "moeclip-train",
            "whole-file",
        ],
    },
    Arrows {
        from: "xtask",
        to: &[
            "anomaly",
            "anomaly-methods",
            "clip-vit",
            "conditions",
            "grid-resample",
            "inspect",
            "moe-lora",
            "moeclip",
            "moeclip-data",
            "moeclip-eval",
            "moeclip-goldens",
            "moeclip-losses",
            "moeclip-parity",
            "moeclip-train",
            "paa-adapter",
            "small-clip",
            "synthetic-world",
            "tile-kernels",
            "whole-file",
        ],
    },
];

/// Files that may say `unsafe`.
pub(crate) const UNSAFE: [&str; 15] = [
    "crates/clip-vit/src/weights/bytes.rs",
    "crates/data/src/preprocess/resize/vnni.rs",
    "crates/tile-kernels/src/activation.rs",
    "crates/tile-kernels/src/attention.rs",
    "crates/tile-kernels/src/gradient/attention.rs",
    "crates/tile-kernels/src/heads.rs",
    "crates/tile-kernels/src/isa.rs",
    "crates/tile-kernels/src/kernel.rs",
    "crates/tile-kernels/src/lanes/avx512.rs",
    "crates/tile-kernels/src/lanes/mod.rs",
    "crates/tile-kernels/src/linear.rs",
    "crates/tile-kernels/src/micro/amx.rs",
    "crates/tile-kernels/src/norm.rs",
    "crates/tile-kernels/src/product_tests.rs",
    "crates/tile-kernels/src/tiles.rs",
];

/// Most lines of a source file without its tests.
pub(crate) const LONGEST: usize = 400;

/// How often a name may be given to a type; from the third on a reader asks which one is meant.
pub(crate) const NAMESAKES: usize = 2;

/// Macros that print.
pub(crate) const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Macros that stand for work not done.
pub(crate) const UNDONE: [&str; 2] = ["todo", "unimplemented"];

/// The one file that reaches a tensor by its concrete type, where kernels are faster than operations.
pub(crate) const REACHES_FLEX: &str = "crates/clip-vit/src/fast.rs";

/// The one library file that chooses a backend, from the name of a device.
pub(crate) const CHOOSES: &str = "crates/inspect/src/backends.rs";

/// Backends and their devices. `Autodiff` is none: it wraps any of them.
pub(crate) const BACKENDS: [&str; 8] =
    ["Flex", "FlexDevice", "NdArray", "NdArrayDevice", "Wgpu", "WgpuDevice", "Cuda", "CudaDevice"];

/// How absolute paths of one machine begin; in two halves, for this file is searched too.
pub(crate) const MACHINES: [&str; 5] = [
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "Users/"),
    concat!("C:", "\\Users"),
];
