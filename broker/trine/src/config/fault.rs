//! What is wrong with a configuration.

use std::fmt;

use serde::Serialize;

/// One fault: which key, what it was set to and where, what was expected instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// For example `limits.account_concurrency`; `config` for the file as a whole.
    pub(crate) key: String,
    /// As it was written. Unset where there is none, and for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// For example `trine.toml:4`, `TRINE_LISTEN` or `--listen`.
    pub(crate) place: String,
    /// What was expected, or what to do.
    pub(crate) problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        write!(f, " ({})\n      {}", self.place, self.problem)
    }
}

/// All faults of a configuration; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a fault; nothing was started")?,
            count => write!(f, "the configuration has {count} faults; nothing was started")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n\n  {fault}"))
    }
}

impl std::error::Error for Faults {}
