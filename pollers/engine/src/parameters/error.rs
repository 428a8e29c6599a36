//! Owns what is said of parameters that cannot be used.

use std::fmt;

use super::name::Name;
use crate::{InvalidPattern, SourceKind};

/// Why a mapping cannot have these parameters (LS 4.1, 4.2). Its text is for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterError {
    /// A value outside of its range.
    OutOfRange {
        /// The parameter.
        name: Name,
        /// What was asked for.
        value: i64,
        /// What is possible.
        expected: &'static str,
    },
    /// A parameter that means nothing to this kind of source.
    NotOfKind {
        /// The parameter.
        name: Name,
        /// The source's kind.
        kind: SourceKind,
    },
    /// A value that means nothing to this kind of source.
    ValueNotOfKind {
        /// The value.
        value: &'static str,
        /// The source's kind.
        kind: SourceKind,
        /// Those that know it.
        known_by: &'static [SourceKind],
    },
    /// A parameter that this kind of source needs.
    Missing {
        /// The parameter.
        name: Name,
        /// The source's kind.
        kind: SourceKind,
        /// What is possible.
        expected: &'static str,
    },
    /// A batch of SQS of more than 10 needs a window. The text is Lambda's (LS 4.1).
    WindowNeeded,
    /// Two parameters that cannot both be had.
    Contradiction {
        /// The one, with its value.
        this: &'static str,
        /// The other.
        that: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// A time that has not come.
    InFuture {
        /// The time asked for, in milliseconds since the epoch.
        timestamp_ms: i64,
        /// Now, likewise.
        now_ms: i64,
    },
    /// Filter criteria that cannot be used. The text begins with Lambda's (LS 4.1).
    Filter(InvalidPattern),
    /// What is decided when a mapping is made.
    OnlyAtCreation(Name),
    /// A name in `clear` that no parameter has.
    Unknown(String),
    /// A parameter that is to be set and cleared.
    SetAndCleared(Name),
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { name, value, expected } => {
                write!(f, "{name} is {value}, expected {expected}")
            }
            Self::NotOfKind { name, kind } => {
                let kinds = Kinds(name.kinds());
                write!(f, "{name} does not apply to {kind}; it applies to {kinds}")
            }
            Self::ValueNotOfKind { value, kind, known_by } => {
                write!(f, "{value} is not possible with {kind}, only with {}", Kinds(known_by))
            }
            Self::Missing { name, kind, expected } => {
                write!(f, "{name} is needed with {kind}: {expected}")
            }
            Self::WindowNeeded => f.write_str(
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is \
                 greater than 10",
            ),
            Self::Contradiction { this, that, instead } => {
                write!(f, "{this} cannot be had with {that}; {instead}")
            }
            Self::InFuture { timestamp_ms, now_ms } => write!(
                f,
                "starting_position_timestamp_ms is {timestamp_ms}, which is in the future; expected \
                 at most now, {now_ms}"
            ),
            Self::Filter(invalid) => invalid.fmt(f),
            Self::OnlyAtCreation(name) => write!(
                f,
                "{name} can only be set when the mapping is made; to read on from elsewhere, seek"
            ),
            Self::Unknown(name) => {
                write!(f, "there is no parameter {name:?}; expected one of ")?;
                let names: Vec<_> = Name::ALL.iter().map(|name| name.text()).collect();
                f.write_str(&names.join(", "))
            }
            Self::SetAndCleared(name) => {
                write!(f, "{name} is to be set and cleared; expected one of the two")
            }
        }
    }
}

impl std::error::Error for ParameterError {}

struct Kinds<'a>(&'a [SourceKind]);

impl fmt::Display for Kinds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|kind| kind.name()).collect();
        match names.as_slice() {
            [names @ .., last] if !names.is_empty() => {
                write!(f, "{} and {last}", names.join(", "))
            }
            names => f.write_str(&names.concat()),
        }
    }
}
