//! Owns what is said of filter criteria that cannot be used.

use std::fmt;

/// Filter criteria that cannot be used. Its text begins with Lambda's (LS 4.1) and goes on with what is
/// wrong and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPattern {
    /// Counted from 1; nothing if it is about all of them.
    pub(super) filter: Option<usize>,
    /// Keys from the top down to where it is.
    pub(super) keys: Vec<String>,
    pub(super) says: String,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid filter pattern definition. ")?;
        match (self.filter, self.keys.as_slice()) {
            (None, _) => {}
            (Some(filter), []) => write!(f, "Filter {filter}: ")?,
            (Some(filter), keys) => write!(f, "Filter {filter} at {}: ", keys.join("."))?,
        }
        f.write_str(&self.says)
    }
}

impl std::error::Error for InvalidPattern {}
