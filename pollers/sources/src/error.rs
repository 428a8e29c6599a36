//! Why a source cannot be used now. It does not know what is done about it.

/// A source that cannot be used now. The runner tries again, for ever: a cause that only a person can remove is removed
/// without a restart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What kind of trouble it is.
    pub problem: Problem,
    message: String,
}

/// What kind of trouble a source is in (LS 4.1, `StateTransitionReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Problem {
    /// The mapping's configuration cannot be right: no such topic, queue or stream; a server that is too old.
    Configuration,
    /// The credentials are not accepted, or there are none.
    Authentication,
    /// They are accepted, but do not allow this.
    Authorization,
    /// It cannot be reached, or broke off.
    Unreachable,
}

impl SourceError {
    /// With a sentence that says what is wrong, what was expected and what to do.
    pub fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into() }
    }

    /// It cannot be reached, or broke off.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Problem::Unreachable, message)
    }

    /// The mapping's configuration cannot be right.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(Problem::Configuration, message)
    }
}

impl Problem {
    /// The code that people see (LS 4.1).
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Configuration => "ESM_CONFIG_NOT_VALID",
            Self::Authentication => "EVENT_SOURCE_AUTHN_ERROR",
            Self::Authorization => "EVENT_SOURCE_AUTHZ_ERROR",
            Self::Unreachable => "SOURCE_UNREACHABLE",
        }
    }
}
