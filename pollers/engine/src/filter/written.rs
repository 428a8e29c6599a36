//! Owns how a pattern is written: its JSON, and what each operator looks like in it (LS 4.4). It does not
//! know at which keys they stand.

use super::operator::{Bound, Network, Operator, Range};
use super::wildcard::Wildcard;
use crate::json::{Kind, Malformed, Reader, Scalar};

/// A pattern as JSON. Numbers are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Written>),
    Object(Vec<(String, Written)>),
}

impl Written {
    /// Says what is wrong with `text` if it is no JSON.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader::new(text);
        let read = Self::next(&mut reader).and_then(|value| reader.end().map(|()| value));
        read.map_err(|malformed| malformed.to_string())
    }

    fn next(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.kind()? {
            Kind::Object => {
                let mut members = Vec::new();
                reader.object(|reader, key| {
                    members.push((key.into_owned(), Self::next(reader)?));
                    Ok::<_, Malformed>(())
                })?;
                Ok(Self::Object(members))
            }
            Kind::Array => {
                let mut elements = Vec::new();
                reader.array(|reader| {
                    elements.push(Self::next(reader)?);
                    Ok::<_, Malformed>(())
                })?;
                Ok(Self::Array(elements))
            }
            Kind::Scalar => Ok(match reader.scalar()? {
                Scalar::Null => Self::Null,
                Scalar::Bool(value) => Self::Bool(value),
                Scalar::Number(text) => Self::Number(text.to_owned()),
                Scalar::Text(text) => Self::Text(text.into_owned()),
            }),
        }
    }
}

type Read<T> = Result<T, String>;

/// The array of values at a key.
pub(super) fn read_operators(elements: &[Written]) -> Read<Vec<Operator>> {
    if elements.is_empty() {
        return Err("an empty array matches nothing; expected values".to_owned());
    }
    elements.iter().map(read_operator).collect()
}

fn read_operator(element: &Written) -> Read<Operator> {
    match element {
        Written::Null => Ok(Operator::Null),
        Written::Bool(value) => Ok(Operator::Bool(*value)),
        Written::Number(text) => Ok(Operator::Number(text.clone())),
        Written::Text(text) => Ok(Operator::Text(text.clone())),
        Written::Array(_) => {
            Err("an array in an array; expected values or {\"operator\": …}".to_owned())
        }
        Written::Object(members) => {
            let (name, argument) = only_member(members)?;
            read_named(name, argument)
        }
    }
}

fn read_named(name: &str, argument: &Written) -> Read<Operator> {
    match (name, argument) {
        ("prefix", Written::Object(inner)) => Ok(Operator::PrefixIgnoreCase(ignore_case(inner)?)),
        ("suffix", Written::Object(inner)) => Ok(Operator::SuffixIgnoreCase(ignore_case(inner)?)),
        ("prefix" | "suffix" | "equals-ignore-case" | "wildcard", Written::Text(text)) => {
            read_textual(name, text)
        }
        ("prefix" | "suffix" | "equals-ignore-case" | "wildcard", _) => {
            Err(format!("expected a string for {name}"))
        }
        ("anything-but", _) => Ok(Operator::AnythingBut(read_excluded(argument)?)),
        ("numeric", Written::Array(terms)) => Ok(Operator::Numeric(read_range(terms)?)),
        ("numeric", _) => Err("expected an array for numeric, as [\">\", 0, \"<=\", 5]".to_owned()),
        ("exists", Written::Bool(true)) => Ok(Operator::Exists),
        ("exists", Written::Bool(false)) => Ok(Operator::Absent),
        ("exists", _) => Err("expected true or false for exists".to_owned()),
        ("cidr", Written::Text(text)) => Network::parse(text)
            .map(Operator::Cidr)
            .ok_or_else(|| format!("{text:?} is no network; expected one as 10.0.0.0/24")),
        ("cidr", _) => Err("expected a string for cidr, as \"10.0.0.0/24\"".to_owned()),
        _ => Err(format!(
            "unknown operator {name:?}; expected prefix, suffix, equals-ignore-case, wildcard, \
             anything-but, numeric, exists or cidr"
        )),
    }
}

/// Operators that are one string.
fn read_textual(name: &str, text: &str) -> Read<Operator> {
    let owned = text.to_owned();
    match name {
        "prefix" => Ok(Operator::Prefix(owned)),
        "suffix" => Ok(Operator::Suffix(owned)),
        "equals-ignore-case" => Ok(Operator::EqualsIgnoreCase(owned)),
        _ => Wildcard::parse(text)
            .map(Operator::Wildcard)
            .map_err(|expected| format!("{text:?} is no wildcard; expected {expected}")),
    }
}

/// `{"equals-ignore-case": "text"}` in prefix and suffix.
fn ignore_case(members: &[(String, Written)]) -> Read<String> {
    match only_member(members)? {
        ("equals-ignore-case", Written::Text(text)) => Ok(text.clone()),
        _ => Err("expected a string, or {\"equals-ignore-case\": \"text\"}".to_owned()),
    }
}

/// What `anything-but` is about: a value, several of one type, or another operator with one text or several.
fn read_excluded(argument: &Written) -> Read<Vec<Operator>> {
    match argument {
        Written::Object(members) => {
            let (name, inner) = only_member(members)?;
            if !matches!(name, "prefix" | "suffix" | "equals-ignore-case" | "wildcard") {
                return Err(format!(
                    "anything-but cannot hold {name:?}; expected prefix, suffix, \
                     equals-ignore-case or wildcard"
                ));
            }
            let read = |text: &Written| match text {
                // Nothing could be anything but what begins with nothing.
                Written::Text(text) if text.is_empty() && matches!(name, "prefix" | "suffix") => {
                    Err(format!("an empty {name} in anything-but excludes all; expected text"))
                }
                Written::Text(text) => read_textual(name, text),
                _ => Err(format!("expected a string or several for {name} in anything-but")),
            };
            one_or_several(inner).iter().map(read).collect::<Read<Vec<_>>>().and_then(not_empty)
        }
        _ => {
            let values = one_or_several(argument);
            let of_one_type = values.iter().all(|value| matches!(value, Written::Text(_)))
                || values.iter().all(|value| matches!(value, Written::Number(_)));
            if !of_one_type {
                let says = "expected strings only or numbers only for anything-but";
                return Err(says.to_owned());
            }
            values.iter().map(read_operator).collect::<Read<Vec<_>>>().and_then(not_empty)
        }
    }
}

fn one_or_several(value: &Written) -> &[Written] {
    match value {
        Written::Array(values) => values,
        one => std::slice::from_ref(one),
    }
}

fn not_empty(operators: Vec<Operator>) -> Read<Vec<Operator>> {
    if operators.is_empty() {
        return Err("an empty array in anything-but excludes nothing; expected values".to_owned());
    }
    Ok(operators)
}

fn read_range(terms: &[Written]) -> Read<Range> {
    let term = |at: usize| match (terms.get(at), terms.get(at + 1)) {
        (Some(Written::Text(sign)), Some(Written::Number(number))) => {
            number.parse::<f64>().ok().map(|number| (sign.as_str(), number))
        }
        _ => None,
    };
    let bound = |at: f64, sign: &str| Some(Bound { at, included: sign.ends_with('=') });
    let range = match (terms.len(), term(0), term(2)) {
        (2, Some((sign @ "=", at)), _) => Range { low: bound(at, sign), high: bound(at, sign) },
        (2, Some((sign @ (">" | ">="), at)), _) => Range { low: bound(at, sign), high: None },
        (2, Some((sign @ ("<" | "<="), at)), _) => Range { low: None, high: bound(at, sign) },
        (4, Some((low @ (">" | ">="), from)), Some((high @ ("<" | "<="), to))) if from < to => {
            Range { low: bound(from, low), high: bound(to, high) }
        }
        _ => {
            let says = "expected numeric as [\"=\", n], [\"<\", n], [\"<=\", n], [\">\", n], \
                        [\">=\", n], or the lower bound and then a larger upper one";
            return Err(says.to_owned());
        }
    };
    Ok(range)
}

fn only_member(members: &[(String, Written)]) -> Read<(&str, &Written)> {
    match members {
        [(name, argument)] => Ok((name, argument)),
        _ => Err(format!("an operator is an object with one key, this one has {}", members.len())),
    }
}
