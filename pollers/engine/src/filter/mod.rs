//! Owns filter criteria: which records of a source reach the function (LS 4.4). It does not know what
//! becomes of those that do not: that differs from source to source.
//!
//! [`Filters::parse`] resolves `$or` (`pattern`), reads the operators (`written`, `operator`) and puts all
//! patterns into trees of keys (`tree`), which [`Filters::passes`] reads a record against: its metadata
//! first, its data once and only if a pattern that is still possible looks at it.
//!
//! Why our own and not a crate: docs/adr/0004-filters.md.

mod error;
mod operator;
mod pattern;
mod source;
mod tree;
mod wildcard;
mod written;

use std::borrow::Cow;

pub use self::error::InvalidPattern;
pub use self::pattern::FILTER_COMBINATIONS_MAX;
use self::pattern::{Combination, Criteria};
use self::source::{Field, Mismatch, data_keys, mismatch};
use self::tree::{COMBINATIONS_MAX, Mask, Node};
use crate::SourceKind;
use crate::json::{Malformed, Reader, Scalar};

/// Most patterns of a mapping (LS 4.2, with the raised quota).
pub const FILTERS_MAX: usize = 10;

/// Most characters of a pattern (LS 4.2).
pub const FILTER_CHARS_MAX: usize = 4096;

/// What of a record patterns can be asked about.
#[derive(Clone, Copy, Debug)]
pub struct Filterable<'a> {
    /// The record's element of the event, as JSON. Its data may be missing there; if it is there, encoded
    /// or not, it is not looked at.
    pub element: &'a [u8],
    /// Its data as the source has it, before any encoding. None is null, as in a record of Kafka
    /// without value.
    pub data: Option<&'a [u8]>,
    /// Its key, likewise; Kafka only.
    pub key: Option<&'a [u8]>,
}

/// The filter criteria of a mapping, ready to be asked.
#[derive(Debug)]
pub struct Filters {
    mismatch: Mismatch,
    groups: Vec<Group>,
}

impl Filters {
    /// Reads `patterns` for a source of this kind: at most [`FILTERS_MAX`] of at most
    /// [`FILTER_CHARS_MAX`] characters. None lets every record pass.
    ///
    /// # Errors
    /// The first pattern that cannot be used, with what is wrong and where.
    pub fn parse(kind: SourceKind, patterns: &[&str]) -> Result<Self, InvalidPattern> {
        let wrong = |filter, says| InvalidPattern { filter, keys: Vec::new(), says };
        if patterns.len() > FILTERS_MAX {
            let says = format!("{} filters, expected at most {FILTERS_MAX}", patterns.len());
            return Err(wrong(None, says));
        }
        let mut criteria = Criteria::default();
        for (at, pattern) in patterns.iter().enumerate() {
            let chars = pattern.chars().count();
            if chars > FILTER_CHARS_MAX {
                let says = format!("{chars} characters, expected at most {FILTER_CHARS_MAX}");
                return Err(wrong(Some(at + 1), says));
            }
            criteria.add(kind, at + 1, pattern)?;
        }
        let groups = criteria.combinations.chunks(COMBINATIONS_MAX);
        let groups = groups.map(|group| Group::of(kind, &criteria, group)).collect();
        Ok(Self { mismatch: mismatch(kind), groups })
    }

    /// Whether the record is one for the function.
    #[must_use]
    pub fn passes(&self, record: &Filterable<'_>) -> bool {
        self.groups.is_empty()
            || self.groups.iter().any(|group| group.passes(record, self.mismatch))
    }
}

/// Combinations that are asked together.
#[derive(Debug)]
struct Group {
    all: Mask,
    metadata: Node,
    data: Vec<(Field, Node)>,
    /// Those that look at data.
    of_data: Mask,
}

impl Group {
    fn of(kind: SourceKind, criteria: &Criteria, combinations: &[Combination]) -> Self {
        let mut masks = vec![0; criteria.conditions.len()];
        for (bit, combination) in combinations.iter().enumerate() {
            for condition in combination {
                masks[*condition] |= 1 << bit;
            }
        }
        let all = Mask::MAX >> (COMBINATIONS_MAX - combinations.len());
        let mut metadata = Node::default();
        let mut data: Vec<_> =
            data_keys(kind).iter().map(|(key, field)| (*key, *field, Node::default())).collect();
        for (condition, mask) in criteria.conditions.iter().zip(masks) {
            let path = condition.path.as_slice();
            let of_data =
                data.iter_mut().find(|(key, _, _)| path.first().is_some_and(|p| p == key));
            match of_data {
                _ if mask == 0 => {}
                Some((_, _, node)) => node.add(&path[1..], &condition.operators, mask),
                None => metadata.add(path, &condition.operators, mask),
            }
        }
        let data: Vec<_> = data.into_iter().map(|(_, field, node)| (field, node)).collect();
        let of_data = data.iter().fold(0, |mask, (_, node)| mask | node.involved());
        Self { all, metadata, data, of_data }
    }

    fn passes(&self, record: &Filterable<'_>, mismatch: Mismatch) -> bool {
        let mut left = self.all;
        if self.metadata.involved() != 0 {
            left &= !self.metadata.involved() | metadata_fulfils(&self.metadata, record.element);
        }
        for (field, node) in &self.data {
            if left & !self.of_data != 0 {
                return true;
            }
            if left & node.involved() != 0 {
                let bytes = match field {
                    Field::Data => record.data,
                    Field::Key => record.key,
                };
                left &= !node.involved() | data_fulfils(node, bytes, mismatch);
            }
        }
        left != 0
    }
}

/// An element that is no JSON has no metadata; the shell that wrote it would be at fault.
fn metadata_fulfils(node: &Node, element: &[u8]) -> Mask {
    let outcome = std::str::from_utf8(element).ok().and_then(|text| read_whole(node, text).ok());
    outcome.unwrap_or_else(|| node.missing().fulfilled())
}

/// The table of LS 4.4. JSON is what is an object or an array: text as `12` or `"a"` is plain, because a
/// pattern for it is written as one for plain text is.
fn data_fulfils(node: &Node, data: Option<&[u8]>, mismatch: Mismatch) -> Mask {
    let (asked, fulfilled) = match data.map(std::str::from_utf8) {
        Some(Err(_)) => (0, 0),
        Some(Ok(text)) => match looks_like_json(text).then(|| read_whole(node, text)) {
            Some(Ok(fulfilled)) => (node.only_keys(), fulfilled),
            _ => (node.only_plain(), plain(node, &Scalar::Text(Cow::Borrowed(text)))),
        },
        None => (node.only_plain(), plain(node, &Scalar::Null)),
    };
    let ignored = match mismatch {
        Mismatch::IgnoresData => node.involved() & !asked,
        Mismatch::Drops | Mismatch::DropsAndRefuses => 0,
    };
    asked & fulfilled | ignored
}

fn plain(node: &Node, value: &Scalar<'_>) -> Mask {
    node.scalar(value).fulfilled()
}

fn looks_like_json(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(['{', '['])
}

fn read_whole(node: &Node, text: &str) -> Result<Mask, Malformed> {
    let mut reader = Reader::new(text);
    let outcome = node.read(&mut reader)?;
    reader.end().map(|()| outcome.fulfilled())
}

#[cfg(test)]
mod tests;
