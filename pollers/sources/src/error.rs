//! Why a poller does not start, and what became of it when it was told to stop.

use std::fmt;

use trine_poll_engine::OutOfRange;

/// Why a poller was not started. Nothing was read or written.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// Options that cannot be used, all of them at once.
    #[error("{}", sentences(.0))]
    InvalidOptions(Vec<InvalidOption>),
    /// The checkpoint cannot be used.
    #[cfg(feature = "file")]
    #[error(transparent)]
    Checkpoint(#[from] crate::CheckpointError),
    /// There is no tokio runtime to run on.
    #[error("a poller runs on a tokio runtime: start it from within one")]
    NoRuntime,
}

/// An option outside of what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOption {
    /// Its name.
    pub option: &'static str,
    /// What was given.
    pub found: String,
    /// What is allowed.
    pub expected: String,
}

impl InvalidOption {
    pub(crate) fn new(option: &'static str, found: &str, expected: impl Into<String>) -> Self {
        Self { option, found: format!("\"{found}\""), expected: expected.into() }
    }

    /// The engine's complaint about a number, under the option's own name.
    pub(crate) fn out_of_range(wrong: &OutOfRange, option: &'static str) -> Self {
        let OutOfRange { value, min, max, .. } = wrong;
        Self { option, found: value.to_string(), expected: format!("{min}..={max}") }
    }
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, found, expected } = self;
        write!(f, "{option} is {found}, expected {expected}")
    }
}

fn sentences(wrong: &[InvalidOption]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A poller that did not stop as it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownError {
    /// The deadline passed with something in flight, which was dropped. Its records are not settled and
    /// come again after the next start.
    #[error(
        "the poller was still {state} when its deadline passed; what it had not settled comes again"
    )]
    DeadlinePassed {
        /// What it was doing.
        state: crate::PollerState,
    },
    /// The poller had ended by a defect of its own before.
    #[error("the poller had ended by a defect of its own; what it had not settled comes again")]
    Broken,
}
