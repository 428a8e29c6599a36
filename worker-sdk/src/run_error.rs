//! Why a worker ended otherwise than asked.
//!
//! It does not know the errors of handlers; those are answers, see `error.rs`.

use std::fmt;
use std::io;

use trine_proto::{WORKER_PROTOCOL_VERSION, reason, v1::Reason};

/// Why [`Worker::run`](crate::Worker::run) returned an error. A broker that cannot be reached is
/// none: the worker tries for ever.
///
/// Its `Debug` is its `Display`, so that `fn main() -> Result<(), RunError>` prints a sentence.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The worker was set up in a way that cannot work; nothing was connected.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The broker refused this worker and would refuse it again.
    #[error("the broker refused this worker: {reason}: {message}; {}", advice(.reason))]
    #[non_exhaustive]
    Refused {
        /// Name of the reason code, for example `UNSUPPORTED_PROTOCOL`.
        reason: &'static str,
        /// What the broker says about it.
        message: String,
    },
    /// The grace of the shutdown was over before every handler had finished.
    #[error(
        "shut down with {attempts} attempts cut off: the grace was over or the session lost before \
         they had finished; Worker::grace gives them longer, a shorter function timeout less"
    )]
    #[non_exhaustive]
    CutOff {
        /// Attempts that were stopped while they ran.
        attempts: usize,
    },
    /// The process's signals cannot be listened to.
    #[error("cannot listen to SIGTERM and SIGINT: {0}; use Worker::run_until")]
    Signals(#[source] io::Error),
}

impl RunError {
    pub(crate) fn refused(reason: Reason, message: String) -> Self {
        Self::Refused { reason: reason::name(reason), message }
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn advice(reason: &str) -> String {
    if reason == reason::name(Reason::UnsupportedProtocol) {
        format!("this SDK speaks worker protocol {WORKER_PROTOCOL_VERSION}: upgrade the older side")
    } else {
        "correct the worker's name, functions or slots".to_owned()
    }
}

/// Everything that is wrong with a worker's setup, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupError {
    problems: Vec<String>,
}

impl SetupError {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    /// One sentence a problem: what was wrong, what was expected.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl std::error::Error for SetupError {}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the worker cannot run: {}", self.problems.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let error = RunError::refused(Reason::UnsupportedProtocol, "I speak 2".to_owned());
        assert_eq!(
            format!("{error:?}"),
            "the broker refused this worker: UNSUPPORTED_PROTOCOL: I speak 2; \
             this SDK speaks worker protocol 1: upgrade the older side"
        );
    }
}
