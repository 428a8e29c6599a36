//! The matcher answers as the naive one does, on patterns and events that are made up.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::naive::{Asked, Json, Member, Pattern};
use crate::{Filterable, Filters, SourceKind};

const KEYS: [&str; 3] = ["a", "b", "c"];
const TEXTS: [&str; 8] = ["a", "ab", "aB", "ÄB", "b", "bab", "10.1.2.3", "fe80::1"];
const SCALARS: [&str; 17] = [
    "null",
    "true",
    "1",
    "1.0",
    "10",
    "1e1",
    "-3",
    "\"\"",
    "\"1\"",
    "\"a\"",
    "\"ab\"",
    "\"aB\"",
    "\"äb\"",
    "\"bab\"",
    "\"10.1.2.3\"",
    "\"fe80::1\"",
    "\"fe80::8000:1\"",
];

fn event() -> impl Strategy<Value = Json> {
    let value =
        select(SCALARS.as_slice()).prop_map(Json::Scalar).prop_recursive(4, 24, 3, |value| {
            prop_oneof![vec(value.clone(), 0..4).prop_map(Json::Array), object(value)]
        });
    object(value)
}

fn object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    (subsequence(KEYS.as_slice(), 0..=3), vec(value, 3))
        .prop_map(|(keys, values)| Json::Object(keys.into_iter().zip(values).collect()))
}

/// What `anything-but` can hold.
const EXCLUDING: [&str; 4] = ["prefix", "suffix", "equals-ignore-case", "wildcard"];

fn asked() -> impl Strategy<Value = Asked> {
    let text = || select(TEXTS.as_slice());
    let number = || -3..11;
    prop_oneof![
        4 => select(SCALARS.as_slice()).prop_map(Asked::Exactly),
        1 => text().prop_map(Asked::Prefix),
        1 => text().prop_map(Asked::Suffix),
        1 => text().prop_map(Asked::IgnoreCase),
        1 => text().prop_map(Asked::PrefixIgnoreCase),
        1 => text().prop_map(Asked::SuffixIgnoreCase),
        1 => select(["*", "a*", "*b", "*a*", "a*b", "b*b", "*:*:*", "ab"].as_slice()).prop_map(Asked::Wildcard),
        1 => (select(["=", "<", "<=", ">", ">="].as_slice()), number()).prop_map(|term| Asked::Numeric(vec![term])),
        1 => (number(), 1..9, any::<(bool, bool)>()).prop_map(|(low, width, (from, to))| {
            Asked::Numeric(vec![(if from { ">" } else { ">=" }, low), (if to { "<" } else { "<=" }, low + width)])
        }),
        1 => select(["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "fe80::/112", "::/0"].as_slice()).prop_map(Asked::Cidr),
        1 => subsequence(&SCALARS[2..7], 1..3).prop_map(Asked::ButValues),
        1 => subsequence(&SCALARS[7..14], 1..3).prop_map(Asked::ButValues),
        1 => (select(EXCLUDING.as_slice()), subsequence(TEXTS.as_slice(), 1..3)).prop_map(|(name, texts)| Asked::But(name, texts)),
        4 => any::<bool>().prop_map(Asked::Exists),
    ]
}

fn pattern() -> BoxedStrategy<Pattern> {
    let values = vec(asked(), 1..3).prop_map(Member::Values).boxed();
    let flat = members(values.clone());
    let pattern = flat.prop_recursive(3, 16, 3, move |pattern| {
        let deep = pattern.clone().prop_map(Member::Object);
        let plain = members(prop_oneof![values.clone(), deep].boxed());
        let or = (plain.clone(), vec(pattern, 2..4)).prop_map(|(mut plain, branches)| {
            plain.0.push(("$or", Member::Or(branches)));
            plain
        });
        prop_oneof![3 => plain, 1 => or]
    });
    pattern.boxed()
}

fn members(member: BoxedStrategy<Member>) -> BoxedStrategy<Pattern> {
    (subsequence(KEYS.as_slice(), 1..=3), vec(member, 3))
        .prop_map(|(keys, members)| Pattern(keys.into_iter().zip(members).collect()))
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Both as metadata and as data, whose top may be an array, and split among both.
    #[test]
    fn answers_are_those_of_the_naive_matcher(
        patterns in vec(pattern(), 1..4), events in vec(event(), 1..4)
    ) {
        let texts: Vec<String> = patterns.iter().map(Pattern::text).collect();
        let of_metadata: Vec<&str> = texts.iter().map(String::as_str).collect();
        let of_metadata = Filters::parse(SourceKind::Nats, &of_metadata).unwrap();
        let within: Vec<String> = texts.iter().map(|text| format!("{{\"data\":{text}}}")).collect();
        let of_data: Vec<&str> = within.iter().map(String::as_str).collect();
        let of_data = Filters::parse(SourceKind::Nats, &of_data).unwrap();

        let expected = patterns.iter().any(|pattern| pattern.matches(&events[0]));
        let element = events[0].text();
        let record = Filterable { element: element.as_bytes(), data: Some(b"plain"), key: None };
        prop_assert_eq!(of_metadata.passes(&record), expected, "{:?} on {}", texts, element);

        let several = Json::Array(events);
        let expected = patterns.iter().any(|pattern| pattern.matches(&several));
        let data = several.text();
        let record = Filterable { element: b"{}", data: Some(data.as_bytes()), key: None };
        prop_assert_eq!(of_data.passes(&record), expected, "{:?} on {}", texts, data);
    }

    /// The same for one operator and one value, which the above meets too rarely.
    #[test]
    fn operators_hold_when_the_naive_ones_do(asked in vec(asked(), 8), value in select(SCALARS.as_slice())) {
        let event = Json::Object(vec![("a", Json::Scalar(value))]);
        let text = event.text();
        let record = Filterable { element: text.as_bytes(), data: None, key: None };
        for asked in asked {
            let pattern = Pattern(vec![("a", Member::Values(vec![asked]))]);
            let filters = Filters::parse(SourceKind::File, &[&pattern.text()]).unwrap();
            prop_assert_eq!(filters.passes(&record), pattern.matches(&event), "{} on {}", pattern.text(), text);
        }
    }

    /// Nothing that could be a pattern makes the parser fall over, and what it takes it can match.
    #[test]
    fn nothing_falls_over(
        pattern in r#"\{"(a|\$or|data)":[\[{]{1,2}("(prefix|anything-but|numeric|exists|\$or)":)?[\[{]?("x"|1|true|">",1)?[\]}]{0,4}"#
    ) {
        if let Ok(filters) = Filters::parse(SourceKind::Kinesis, &[&pattern]) {
            let _ = filters.passes(&Filterable { element: b"{\"a\":1}", data: Some(b"{\"x\":1}"), key: None });
        }
    }
}
