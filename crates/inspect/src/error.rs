//! What can go wrong, in one line each, and the two words by which the rest of the crate says it.

use std::error::Error;

use thiserror::Error as ThisError;

/// Work that was not done.
#[derive(Debug, ThisError)]
pub enum InspectError {
    /// What was asked for cannot be; the message says why, and what to do.
    #[error("{message}")]
    Refused {
        /// One line.
        message: String,
    },
    /// Its [`Cancellation`](crate::Cancellation) was asked; the message says what is left of the work.
    #[error("{message}")]
    Cancelled {
        /// One line.
        message: String,
    },
    /// Where something went wrong.
    #[error("{message}")]
    At {
        /// A file, an option or a part of the work.
        message: String,
        /// What it was.
        source: Box<InspectError>,
    },
    /// An error of a crate below, which can be downcast to its own type.
    #[error(transparent)]
    Below(Box<dyn Error + Send + Sync>),
}

impl InspectError {
    /// A refusal.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into() }
    }

    /// An end before the end.
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::Cancelled { message: message.into() }
    }

    /// The error and its causes on one line.
    pub fn one_line(&self) -> String {
        one_line(self)
    }
}

/// An error and its causes on one line; what a message says already is not said again.
pub fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !line.contains(&said) {
            line = format!("{line}: {said}");
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

/// Says where an error came up.
pub(crate) trait Context<T> {
    /// The value, or the error behind `message`.
    fn context(self, message: impl Into<String>) -> Result<T, InspectError>;

    /// The same with a message that is made only when it is needed.
    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T, InspectError>;
}

impl<T, E: Into<InspectError>> Context<T> for Result<T, E> {
    fn context(self, message: impl Into<String>) -> Result<T, InspectError> {
        self.with_context(|| message)
    }

    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T, InspectError> {
        self.map_err(|error| {
            let source = Box::new(error.into());
            InspectError::At { message: message().into(), source }
        })
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, message: impl Into<String>) -> Result<T, InspectError> {
        self.with_context(|| message)
    }

    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T, InspectError> {
        self.ok_or_else(|| InspectError::refused(message()))
    }
}

/// Returns a refusal that says this.
macro_rules! refuse {
    ($($said:tt)+) => { return Err($crate::InspectError::refused(format!($($said)+))) };
}
pub(crate) use refuse;

macro_rules! below {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for InspectError {
            fn from(error: $error) -> Self {
                Self::Below(Box::new(error))
            }
        })+
    };
}

below!(
    anomaly::CalibrationError,
    anomaly::DetectError,
    anomaly::TileError,
    anomaly_methods::DescriptionError,
    anomaly_methods::MethodError,
    anomaly_methods::MethodFileError,
    anomaly_methods::training::MethodTrainError,
    clip_vit::SpecError,
    clip_vit::weights::WeightError,
    moeclip::AdapterError,
    moeclip::AdapterFileError,
    moeclip::ConfigError,
    moeclip::ExplainError,
    moeclip::FrozenClipError,
    moeclip::PromptCacheError,
    moeclip_data::DataError,
    moeclip_eval::EvalError,
    moeclip_train::AblationError,
    moeclip_train::CheckpointError,
    moeclip_train::ExperimentError,
    moeclip_train::FitError,
    moeclip_train::LogError,
    serde_json::Error,
    std::io::Error,
);
