//! The measure of the matcher: patterns and events as plain trees, and matching by trying everything. It
//! flattens the event into values with the array elements they stand in, and searches for one value, or
//! absence, for each condition. Slow, and written against the rule instead of the implementation.

/// A JSON value whose keys are all different.
#[derive(Clone, Debug)]
pub(super) enum Json {
    /// As it is written in JSON.
    Scalar(&'static str),
    Array(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Scalar(text) => (*text).to_owned(),
            Self::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(Self::text).collect();
                format!("[{}]", elements.join(","))
            }
            Self::Object(members) => {
                let member = |(key, value): &(&str, Self)| format!("\"{key}\":{}", value.text());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// What is asked of a value.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Exactly(&'static str),
    Prefix(&'static str),
    Suffix(&'static str),
    IgnoreCase(&'static str),
    PrefixIgnoreCase(&'static str),
    SuffixIgnoreCase(&'static str),
    Wildcard(&'static str),
    /// Signs and numbers.
    Numeric(Vec<(&'static str, i32)>),
    Cidr(&'static str),
    ButValues(Vec<&'static str>),
    /// The name of an operator, and texts.
    But(&'static str, Vec<&'static str>),
    Exists(bool),
}

impl Asked {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Exactly(json) => (*json).to_owned(),
            Self::Prefix(text) => format!(r#"{{"prefix":"{text}"}}"#),
            Self::Suffix(text) => format!(r#"{{"suffix":"{text}"}}"#),
            Self::IgnoreCase(text) => format!(r#"{{"equals-ignore-case":"{text}"}}"#),
            Self::PrefixIgnoreCase(text) => {
                format!(r#"{{"prefix":{{"equals-ignore-case":"{text}"}}}}"#)
            }
            Self::SuffixIgnoreCase(text) => {
                format!(r#"{{"suffix":{{"equals-ignore-case":"{text}"}}}}"#)
            }
            Self::Wildcard(text) => format!(r#"{{"wildcard":"{text}"}}"#),
            Self::Numeric(terms) => {
                let term = |(sign, number): &(&str, i32)| format!("\"{sign}\",{number}");
                let terms: Vec<_> = terms.iter().map(term).collect();
                format!(r#"{{"numeric":[{}]}}"#, terms.join(","))
            }
            Self::Cidr(text) => format!(r#"{{"cidr":"{text}"}}"#),
            Self::ButValues(values) => match values.as_slice() {
                [one] => format!(r#"{{"anything-but":{one}}}"#),
                several => format!(r#"{{"anything-but":[{}]}}"#, several.join(",")),
            },
            Self::But(name, texts) => match texts.as_slice() {
                [one] => format!(r#"{{"anything-but":{{"{name}":"{one}"}}}}"#),
                several => {
                    let texts = several.join("\",\"");
                    format!(r#"{{"anything-but":{{"{name}":["{texts}"]}}}}"#)
                }
            },
            Self::Exists(exists) => format!(r#"{{"exists":{exists}}}"#),
        }
    }

    /// Whether it holds for a value that is there, given as JSON without escapes.
    fn holds(&self, json: &str) -> bool {
        let text = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let number: Option<f64> = json.parse().ok();
        match self {
            Self::Exactly(value) => *value == json,
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::IgnoreCase(other) => {
                text.is_some_and(|text| text.to_lowercase() == other.to_lowercase())
            }
            Self::PrefixIgnoreCase(prefix) => {
                text.is_some_and(|text| text.to_lowercase().starts_with(&prefix.to_lowercase()))
            }
            Self::SuffixIgnoreCase(suffix) => {
                text.is_some_and(|text| text.to_lowercase().ends_with(&suffix.to_lowercase()))
            }
            Self::Wildcard(pattern) => text.is_some_and(|text| wildcard(pattern, text)),
            Self::Numeric(terms) => number.is_some_and(|number| {
                terms.iter().all(|(sign, other)| match *sign {
                    "=" => number == f64::from(*other),
                    "<" => number < f64::from(*other),
                    "<=" => number <= f64::from(*other),
                    ">" => number > f64::from(*other),
                    _ => number >= f64::from(*other),
                })
            }),
            Self::Cidr(network) => text.is_some_and(|text| in_network(network, text)),
            Self::ButValues(values) => !values.contains(&json),
            Self::But(name, texts) => !texts.iter().any(|text| {
                match *name {
                    "prefix" => Self::Prefix(text),
                    "suffix" => Self::Suffix(text),
                    "wildcard" => Self::Wildcard(text),
                    _ => Self::IgnoreCase(text),
                }
                .holds(json)
            }),
            Self::Exists(exists) => *exists,
        }
    }
}

/// By trying every length for each asterisk. Knows no escapes.
fn wildcard(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && wildcard(after, &rest[at..]))
        }),
    }
}

/// Bit by bit, over the addresses as text of bits.
fn in_network(network: &str, address: &str) -> bool {
    let bits = |address: &str| -> Option<String> {
        match address.parse().ok()? {
            core::net::IpAddr::V4(v4) => Some(format!("{:032b}", u32::from(v4))),
            core::net::IpAddr::V6(v6) => Some(format!("{:0128b}", u128::from(v6))),
        }
    };
    let (first, length) = network.split_once('/').unwrap();
    let (first, address) = (bits(first).unwrap(), bits(address));
    let length: usize = length.parse().unwrap();
    address.is_some_and(|bits| bits.len() == first.len() && bits[..length] == first[..length])
}

/// A pattern: all members have to hold.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) Vec<(&'static str, Member)>);

#[derive(Clone, Debug)]
pub(super) enum Member {
    Values(Vec<Asked>),
    Object(Pattern),
    /// At the key `$or`.
    Or(Vec<Pattern>),
}

impl Pattern {
    pub(super) fn text(&self) -> String {
        let member = |(key, member): &(&str, Member)| match member {
            Member::Values(values) => {
                let values: Vec<_> = values.iter().map(Asked::text).collect();
                format!("\"{key}\":[{}]", values.join(","))
            }
            Member::Object(pattern) => format!("\"{key}\":{}", pattern.text()),
            Member::Or(branches) => {
                let branches: Vec<_> = branches.iter().map(Self::text).collect();
                format!("\"{key}\":[{}]", branches.join(","))
            }
        };
        format!("{{{}}}", self.0.iter().map(member).collect::<Vec<_>>().join(","))
    }

    pub(super) fn matches(&self, event: &Json) -> bool {
        let mut values = Vec::new();
        flatten(event, &mut Vec::new(), &mut Vec::new(), &mut 0, &mut values);
        self.expand(&[]).iter().any(|conditions| pick(conditions, &values, &mut Vec::new(), &[]))
    }

    fn expand(&self, path: &[&'static str]) -> Vec<Vec<Condition<'_>>> {
        let mut all = vec![vec![]];
        for (key, member) in &self.0 {
            let below = [path, &[*key]].concat();
            let these = match member {
                Member::Values(values) => vec![vec![Condition { path: below, values }]],
                Member::Object(pattern) => pattern.expand(&below),
                Member::Or(branches) => branches.iter().flat_map(|b| b.expand(path)).collect(),
            };
            all = all
                .iter()
                .flat_map(|one| these.iter().map(|this| [one.as_slice(), this].concat()))
                .collect();
        }
        all
    }
}

#[derive(Clone)]
struct Condition<'a> {
    path: Vec<&'static str>,
    values: &'a [Asked],
}

/// A value that holds no others, the keys to it, and on the way the elements of arrays: which array,
/// which element.
struct Value {
    path: Vec<&'static str>,
    elements: Vec<(usize, usize)>,
    json: &'static str,
}

impl Value {
    fn goes_with(&self, other: &Self) -> bool {
        self.elements.iter().all(|(array, element)| {
            other.elements.iter().all(|(array2, element2)| array != array2 || element == element2)
        })
    }
}

fn flatten(
    json: &Json,
    path: &mut Vec<&'static str>,
    elements: &mut Vec<(usize, usize)>,
    arrays: &mut usize,
    values: &mut Vec<Value>,
) {
    match json {
        Json::Scalar(json) => {
            values.push(Value { path: path.clone(), elements: elements.clone(), json });
        }
        Json::Array(list) => {
            *arrays += 1;
            let this = *arrays;
            for (at, element) in list.iter().enumerate() {
                elements.push((this, at));
                flatten(element, path, elements, arrays, values);
                elements.pop();
            }
        }
        Json::Object(members) => {
            for (key, member) in members {
                path.push(key);
                flatten(member, path, elements, arrays, values);
                path.pop();
            }
        }
    }
}

/// Whether a value or absence can be picked for each of the conditions left.
fn pick<'a>(
    left: &[Condition<'_>],
    values: &'a [Value],
    picked: &mut Vec<&'a Value>,
    absent: &[&Condition<'_>],
) -> bool {
    let Some((condition, left)) = left.split_first() else {
        return absent.iter().all(|condition| {
            let there = |value: &&Value| value.path == condition.path;
            let goes = |value: &Value| picked.iter().all(|picked| picked.goes_with(value));
            !values.iter().filter(there).any(goes)
        });
    };
    let present = values.iter().any(|value| {
        let fits = value.path == condition.path
            && condition.values.iter().any(|asked| asked.holds(value.json))
            && picked.iter().all(|picked| picked.goes_with(value));
        if !fits {
            return false;
        }
        picked.push(value);
        let rest = pick(left, values, picked, absent);
        picked.pop();
        rest
    });
    let may_lack = condition.values.iter().any(|asked| matches!(asked, Asked::Exists(false)));
    present || may_lack && pick(left, values, picked, &[absent, &[condition]].concat())
}
