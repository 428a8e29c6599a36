//! Owns `Failure`: one sentence that tells a contributor what went wrong and what to do.
//! There are no kinds: nothing in these commands decides by the kind of an error.

use std::fmt;

#[derive(Debug)]
pub struct Failure(String);

/// What a development command returns when it can fail.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn new(says: impl Into<String>) -> Self {
        Self(says.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Puts the place in front of an error that only says "no such file".
pub trait During<T> {
    fn during(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}
