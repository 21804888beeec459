//! Every stage of a method beside the goldens of its reference, and how a golden's method is told.

use std::str::FromStr;
use std::time::Instant;

use burn::tensor::backend::Backend;
use clip_vit::{ClipCheckpoint, Precision, WeightSource};
use moeclip_goldens::{Comparison, Golden, GoldenError, ParityReport};
use thiserror::Error;

/// A method that is held beside its reference.
pub trait Reference {
    /// As it is typed.
    const WORD: &'static str;
    /// A setting that its goldens have and those of no other method: by it a golden's method is told.
    const TELLING_SETTING: &'static str;

    /// Computes every stage that the golden holds, and compares it.
    ///
    /// # Errors
    ///
    /// [`GoldenError`] when the golden cannot be run at all.
    fn compare<B: Backend>(
        run: &ReferenceRun<'_, B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError>;
}

/// A golden that is run on a device.
pub struct ReferenceRun<'a, B: Backend> {
    /// Its settings, inputs and trained weights.
    pub golden: &'a Golden,
    /// The weights of its CLIP.
    pub clip: &'a dyn WeightSource,
    /// That of the frozen part.
    pub precision: Precision,
    /// Where it is computed.
    pub device: &'a B::Device,
}

/// No method is called so.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("no method is called {word:?}; there are {known}")]
pub struct UnknownMethod {
    word: String,
    known: String,
}

/// Makes the type that is any of the methods.
macro_rules! compared_methods {
    ($($variant:ident: $method:ty),+ $(,)?) => {
        /// A method by its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ComparedMethod {
            $(#[doc = concat!("[`", stringify!($method), "`]'s.")] $variant,)+
        }

        impl ComparedMethod {
            /// All of them.
            pub const ALL: &'static [ComparedMethod] = &[$(ComparedMethod::$variant),+];

            /// As it is typed.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => <$method>::WORD,)+ }
            }

            fn telling_setting(self) -> &'static str {
                match self { $(Self::$variant => <$method>::TELLING_SETTING,)+ }
            }

            fn compare<B: Backend>(
                self,
                run: &ReferenceRun<'_, B>,
                comparison: &mut Comparison<'_>,
            ) -> Result<(), GoldenError> {
                match self { $(Self::$variant => <$method>::compare(run, comparison),)+ }
            }
        }
    };
}

crate::methods!(compared_methods);

impl ComparedMethod {
    /// The method of a golden, by a setting that only goldens of that method have; `None` for MoECLIP's.
    pub fn of(golden: &Golden) -> Option<Self> {
        let told = |method: &&Self| golden.has_setting(method.telling_setting());
        Self::ALL.iter().find(told).copied()
    }
}

impl FromStr for ComparedMethod {
    type Err = UnknownMethod;

    fn from_str(word: &str) -> Result<Self, UnknownMethod> {
        let found = Self::ALL.iter().find(|method| method.word() == word).copied();
        let known = || Self::ALL.iter().map(|method| method.word()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| UnknownMethod { word: word.to_owned(), known: known() })
    }
}

/// Runs a golden of a method on a device. `clip` is needed where the golden brings none along; `precision` is
/// that of the frozen part.
///
/// # Errors
///
/// [`GoldenError`] when the golden cannot be run at all.
pub fn compare<B: Backend>(
    method: ComparedMethod,
    golden: &Golden,
    clip: Option<&ClipCheckpoint>,
    precision: Precision,
    device: &B::Device,
) -> Result<ParityReport, GoldenError> {
    let start = Instant::now();
    let clip = golden.clip_weights(clip)?;
    let run = ReferenceRun::<B> { golden, clip: &*clip, precision, device };
    let mut comparison = Comparison::new(golden);
    let load = start.elapsed();
    method.compare(&run, &mut comparison)?;
    comparison.into_report(load)
}
