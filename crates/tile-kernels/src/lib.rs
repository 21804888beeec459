//! The blocks of a frozen vision transformer, fast on CPUs.
//!
//! Weights are packed once into the order in which the processor multiplies them ([`PackedBlock`]); a
//! block is then one operation whose intermediate results stay in the caches. One binary holds kernels
//! for AMX, AVX-512, AVX2 and plain Rust; [`Isa::chosen`] says which a process uses. Results do not
//! depend on the number of threads; they do depend, in the last digits, on the kernels.

// Loops count, and no closures are handed to arrays' or iterators' methods in kernels: a closure is a
// function of its own, which the compiler does not always inline, and then it lacks the kernel's
// instructions.
#![allow(clippy::needless_range_loop)]

mod activation;
mod attention;
mod block;
mod format;
mod gradient;
mod heads;
mod isa;
mod kernel;
mod lanes;
mod linear;
mod micro;
mod norm;
mod peak;
mod pool;
mod rows;
mod tiles;

#[cfg(test)]
mod product_tests;

pub use activation::Activation;
pub use attention::Visibility;
pub use block::{
    BlockWeights, DenseLayer, DenseLayers, LinearWeights, NormWeights, PackedBlock, Precision,
};
pub use isa::{Isa, IsaError, KERNEL_VARIABLE};
pub use peak::peak;
pub use rows::Tokens;
