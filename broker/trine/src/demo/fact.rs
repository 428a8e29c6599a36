//! Facts: what was promised, what was seen, and whether that is the same.

use std::fmt::Display;

use serde::Serialize;

/// One promise and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fact {
    pub(crate) what: String,
    pub(crate) promised: String,
    pub(crate) seen: String,
    pub(crate) kept: bool,
}

impl Fact {
    /// Kept if both read the same.
    pub(crate) fn equal(what: &str, promised: impl Display, seen: impl Display) -> Self {
        let (promised, seen) = (promised.to_string(), seen.to_string());
        Self { what: what.to_owned(), kept: promised == seen, promised, seen }
    }

    /// Kept if `seen` is at most `promised`.
    pub(crate) fn at_most(what: &str, promised: u64, seen: u64) -> Self {
        let kept = seen <= promised;
        let promised = format!("at most {promised}");
        Self { what: what.to_owned(), promised, seen: seen.to_string(), kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_or_not() {
        assert!(Fact::equal("attempts", 3, 3_u64).kept);
        assert!(!Fact::equal("attempts", 3, 2).kept);
        assert!(Fact::at_most("batch", 50, 50).kept);
        assert!(!Fact::at_most("batch", 50, 51).kept);
    }
}
