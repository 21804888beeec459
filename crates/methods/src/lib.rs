//! The methods that MoECLIP is compared with: each a folder of its own with its settings, its model, its
//! detector and its place beside the goldens of its reference.
//!
//! What several of them share stands once: [`learned`] for layers that keep a checkpoint's names and layouts,
//! [`states`] for sentences and their directions, [`state_maps`] for maps of both states, [`memory`] for what
//! normal references looked like, [`half`] for prompts that enter a tower in f16, [`sentences`] for sentences that
//! something learned meets.

/// The one list of methods: hands it to a macro, behind what else is given to that.
#[macro_export]
macro_rules! methods {
    ($callback:ident $($before:tt)*) => {
        $callback! {
            $($before)*
            AaClip: $crate::aa_clip::AaClip,
            AdaClip: $crate::adaclip::AdaClip,
            AnomalyClip: $crate::anomalyclip::AnomalyClip,
            AprilGan: $crate::april_gan::AprilGan,
            BayesPfl: $crate::bayes_pfl::BayesPfl,
            WinClip: $crate::winclip::WinClip,
        }
    };
}

pub mod aa_clip;
pub mod adaclip;
pub mod anomalyclip;
mod answers;
pub mod april_gan;
pub mod bayes_pfl;
mod description;
#[cfg(test)]
mod example_tests;
mod file;
pub mod half;
pub mod learned;
pub mod memory;
mod method;
mod prepared;
mod reference;
pub mod sentences;
mod settings;
pub mod state_maps;
pub mod states;
mod steps;
pub mod training;
pub mod winclip;

pub use description::{DescriptionError, MethodDescription};
pub use file::{AuthorsTensor, MethodFile, MethodFileError, method_of_file, write_method};
pub use method::{ClipMethod, DetectorParts, MethodError};
pub use reference::{ComparedMethod, Reference, ReferenceRun, UnknownMethod, compare};
