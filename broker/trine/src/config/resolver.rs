//! Resolves keys to values: asks the layers, checks the text, remembers value and origin, and
//! collects what is wrong instead of stopping at it.
//!
//! After a fault the default stands in, so that the check goes on; [`Resolver::finish`] sees to it
//! that nobody uses such a configuration.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use crate::config::fault::{Fault, Faults};
use crate::config::layers::{Entry, Layers, Origin};
use crate::config::value::Value;

/// Stands for a secret that is set.
const HIDDEN: &str = "(set, not shown)";

/// Edits between an unknown key and one that is suggested instead, at most.
const SUGGESTION_EDITS_MAX: usize = 4;

/// A value in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    #[serde(serialize_with = "origin_name")]
    pub(crate) origin: Origin,
    /// For example `trine.toml:4`; empty for a default.
    pub(crate) place: String,
}

#[derive(Debug)]
pub(crate) struct Resolver {
    layers: Layers,
    known: BTreeSet<String>,
    settings: Vec<Setting>,
    faults: Vec<Fault>,
}

impl Resolver {
    /// `faults` are those of the layers' form.
    pub(crate) fn new(layers: Layers, faults: Vec<Fault>) -> Self {
        Self { layers, known: BTreeSet::new(), settings: Vec::new(), faults }
    }

    /// The value of a key that may be left out.
    pub(crate) fn value<T: Value>(&mut self, key: &str, default: T) -> T {
        self.checked(key, default, |_| Ok(()))
    }

    /// The same with bounds.
    pub(crate) fn within<T: Value + PartialOrd>(
        &mut self,
        key: &str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let check = |value: &T| {
            if range.contains(value) {
                return Ok(());
            }
            let (from, to) = (range.start().show(), range.end().show());
            Err(format!("expected {} from {from} to {to}", T::expected()))
        };
        self.checked(key, default, check)
    }

    /// The same with a check of its own, which says what is wrong in a sentence.
    pub(crate) fn checked<T: Value>(
        &mut self,
        key: &str,
        default: T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        match self.optional(key, check) {
            Some(value) => value,
            None => {
                if self.layers.get(key).is_none() {
                    self.remember(key, default.show(), Origin::Default, String::new());
                }
                default
            }
        }
    }

    /// The value of a key without a default; a missing one is a fault at `place`.
    pub(crate) fn required<T: Value>(
        &mut self,
        key: &str,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Option<T> {
        let value = self.optional(key, check);
        if value.is_none() && self.layers.get(key).is_none() {
            let problem = format!("missing: expected {}", T::expected());
            self.fault(key, None, "not set", problem);
        }
        value
    }

    /// The value of a key that means something by being absent. `None` after a fault, too.
    pub(crate) fn optional<T: Value>(
        &mut self,
        key: &str,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Option<T> {
        self.known.insert(key.to_owned());
        let (origin, entry) = self.layers.get(key)?;
        let Some(value) = T::read(&entry.text) else {
            let problem = format!("expected {}", T::expected());
            self.fault(key, Some(entry.text), &entry.place, problem);
            return None;
        };
        if let Err(problem) = check(&value) {
            self.fault(key, Some(entry.text), &entry.place, problem);
            return None;
        }
        self.remember(key, value.show(), origin, entry.place);
        Some(value)
    }

    /// A secret: never shown, and refused on the command line, where everybody on the machine can
    /// read it.
    pub(crate) fn secret(&mut self, key: &str) -> Option<String> {
        self.known.insert(key.to_owned());
        let (origin, Entry { text, place }) = self.layers.get(key)?;
        if origin == Origin::Flag {
            let problem = "a secret does not belong on the command line: set it in the \
                           environment or in the file";
            self.fault(key, None, &place, problem.to_owned());
            return None;
        }
        if text.is_empty() {
            self.fault(key, None, &place, "expected a text that is not empty".to_owned());
            return None;
        }
        self.remember(key, HIDDEN.to_owned(), origin, place);
        Some(text)
    }

    /// The entries of a list in the file, as prefixes of their keys.
    pub(crate) fn list(&mut self, key: &str) -> Vec<String> {
        self.layers.list(key)
    }

    /// A fault that only shows when values are seen together.
    pub(crate) fn contradiction(&mut self, key: &str, problem: String) {
        let (value, place) = match self.layers.get(key) {
            Some((_, entry)) => (Some(entry.text), entry.place),
            None => (None, "default".to_owned()),
        };
        self.fault(key, value, &place, problem);
    }

    /// The values in force, or everything that is wrong.
    pub(crate) fn finish(mut self) -> Result<Vec<Setting>, Faults> {
        for (key, place) in self.layers.unknown(|key| self.known.contains(key)) {
            let problem = match self.nearest(&key) {
                Some(known) => format!("unknown key; did you mean {known}?"),
                None => {
                    "unknown key; `trine serve --print-config` shows those that exist".to_owned()
                }
            };
            self.fault(&key, None, &place, problem);
        }
        if self.faults.is_empty() { Ok(self.settings) } else { Err(Faults(self.faults)) }
    }

    fn nearest(&self, key: &str) -> Option<&String> {
        let near = self.known.iter().map(|known| (edits(key, known), known));
        near.min().filter(|(edits, _)| *edits <= SUGGESTION_EDITS_MAX).map(|(_, known)| known)
    }

    fn remember(&mut self, key: &str, value: String, origin: Origin, place: String) {
        self.settings.push(Setting { name: key.to_owned(), value, origin, place });
    }

    fn fault(&mut self, key: &str, value: Option<String>, place: &str, problem: String) {
        let (key, place) = (key.to_owned(), place.to_owned());
        self.faults.push(Fault { key, value, place, problem });
    }
}

fn origin_name<S: Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    origin.name().serialize(serializer)
}

/// Insertions, removals and replacements that turn one text into the other.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (left, right, count) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("abc", "ac", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!(edits(left, right), count, "{left} {right}");
            assert_eq!(edits(right, left), count, "{right} {left}");
        }
    }
}
