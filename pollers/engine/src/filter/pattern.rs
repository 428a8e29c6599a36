//! Owns the shape of a pattern: which conditions stand at which keys, and which of them have to hold
//! together. It does not know the operators, nor how a record is matched.

use super::error::InvalidPattern;
use super::operator::Operator;
use super::source::{Mismatch, data_keys, lifted_from, mismatch};
use super::written::{Written, read_operators};
use crate::SourceKind;

/// Combinations that all `$or` of the filter criteria may come to. EventBridge has this bound for a rule.
pub const FILTER_COMBINATIONS_MAX: usize = 1000;

/// Keys that a pattern cannot ask for inside of `$or`: there they are operators that stand in the wrong
/// place.
const OPERATORS: [&str; 8] = [
    "prefix",
    "suffix",
    "equals-ignore-case",
    "anything-but",
    "numeric",
    "exists",
    "wildcard",
    "cidr",
];

/// Operators at a key. One of them has to hold.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) path: Vec<String>,
    pub(super) operators: Vec<Operator>,
}

/// Conditions that have to hold together: the places in [`Criteria::conditions`].
pub(super) type Combination = Vec<usize>;

/// All patterns. A record passes that fulfils one combination.
///
/// `$or` is resolved here, so that `{"a": {"x": …}, "$or": [{"a": {"y": …}}, …]}` asks for x and y in the
/// same element of an array `a`, as `{"a": {"x": …, "y": …}}` does.
#[derive(Debug, Default)]
pub(super) struct Criteria {
    pub(super) conditions: Vec<Condition>,
    pub(super) combinations: Vec<Combination>,
}

impl Criteria {
    /// Adds the pattern `text`, the `filter`th.
    pub(super) fn add(
        &mut self,
        kind: SourceKind,
        filter: usize,
        text: &str,
    ) -> Result<(), InvalidPattern> {
        let wrong = |says: String| InvalidPattern { filter: Some(filter), keys: Vec::new(), says };
        let pattern = Written::read(text).map_err(wrong)?;
        let Written::Object(members) = &pattern else {
            return Err(wrong("expected a JSON object".to_owned()));
        };
        let room = FILTER_COMBINATIONS_MAX - self.combinations.len();
        let mut parser =
            Parser { kind, filter, room, conditions: &mut self.conditions, keys: Vec::new() };
        let combinations = parser.object(members, false)?;
        self.combinations.extend(combinations);
        Ok(())
    }
}

struct Parser<'a> {
    kind: SourceKind,
    filter: usize,
    /// Combinations that may still come.
    room: usize,
    conditions: &'a mut Vec<Condition>,
    /// Where it is.
    keys: Vec<String>,
}

impl Parser<'_> {
    fn object(
        &mut self,
        members: &[(String, Written)],
        in_or: bool,
    ) -> Result<Vec<Combination>, InvalidPattern> {
        if members.is_empty() {
            return Err(self.wrong("an empty object asks for nothing; expected keys"));
        }
        let mut combinations = vec![Vec::new()];
        for (at, (key, value)) in members.iter().enumerate() {
            let twice = members[..at].iter().any(|(earlier, _)| earlier == key);
            self.keys.push(key.clone());
            if twice {
                return Err(self.wrong("the key is there twice"));
            }
            let of_key = if key == "$or" {
                self.or(value)?
            } else if in_or && OPERATORS.contains(&key.as_str()) {
                let says = "an operator cannot stand for a key in $or; write {\"key\": [{\"operator\": …}]}";
                return Err(self.wrong(says));
            } else {
                self.member(value, in_or)?
            };
            self.keys.pop();
            if combinations.len() * of_key.len() > self.room {
                return Err(self.too_many());
            }
            combinations = product(&combinations, &of_key);
        }
        Ok(combinations)
    }

    fn or(&mut self, value: &Written) -> Result<Vec<Combination>, InvalidPattern> {
        let branches = match value {
            Written::Array(branches) if branches.len() >= 2 => branches,
            _ => return Err(self.wrong("expected an array of two objects or more")),
        };
        let or = self.keys.pop();
        let mut combinations = Vec::new();
        for branch in branches {
            let Written::Object(members) = branch else {
                self.keys.extend(or);
                return Err(self.wrong("expected objects only"));
            };
            combinations.extend(self.object(members, true)?);
            if combinations.len() > self.room {
                return Err(self.too_many());
            }
        }
        self.keys.extend(or);
        Ok(combinations)
    }

    fn member(&mut self, value: &Written, in_or: bool) -> Result<Vec<Combination>, InvalidPattern> {
        match value {
            Written::Object(members) => self.object(members, in_or),
            Written::Array(elements) => self.condition(elements),
            _ => Err(self.wrong("expected an array of values, or an object")),
        }
    }

    fn condition(&mut self, elements: &[Written]) -> Result<Vec<Combination>, InvalidPattern> {
        self.check_place()?;
        let operators = read_operators(elements).map_err(|says| self.wrong(says))?;
        let lifted = self.keys.first().and_then(|key| lifted_from(self.kind, key));
        let path = lifted.map(str::to_owned).into_iter().chain(self.keys.iter().cloned()).collect();
        self.conditions.push(Condition { path, operators });
        Ok(vec![vec![self.conditions.len() - 1]])
    }

    /// Some conditions can never hold. Lambda refuses the first of these; the others would drop every
    /// record without a word.
    fn check_place(&self) -> Result<(), InvalidPattern> {
        let refuses = mismatch(self.kind) == Mismatch::DropsAndRefuses;
        let keys: Vec<_> = self.keys.iter().map(String::as_str).collect();
        match keys.as_slice() {
            [key] if refuses && data_keys(self.kind).iter().any(|(data, _)| data == key) => {
                Err(self.wrong(
                    "the data of this source has to be JSON; expected an object of its keys",
                ))
            }
            ["kinesis", "data", ..] if self.kind == SourceKind::Kinesis => {
                Err(self.wrong("the data of a record is at the key data, not in kinesis"))
            }
            ["dynamodb"] if self.kind == SourceKind::DynamoDbStreams => {
                Err(self.wrong("expected an object of its keys"))
            }
            _ => Ok(()),
        }
    }

    fn too_many(&self) -> InvalidPattern {
        self.wrong(format!(
            "all $or together come to more than {FILTER_COMBINATIONS_MAX} combinations; use fewer"
        ))
    }

    fn wrong(&self, says: impl Into<String>) -> InvalidPattern {
        InvalidPattern { filter: Some(self.filter), keys: self.keys.clone(), says: says.into() }
    }
}

fn product(left: &[Combination], right: &[Combination]) -> Vec<Combination> {
    let with = |left: &Combination| {
        right.iter().map(|right| [left.as_slice(), right].concat()).collect::<Vec<_>>()
    };
    left.iter().flat_map(with).collect()
}
