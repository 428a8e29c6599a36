//! Answers of functions, row by row.

use super::BatchAnswer::{Failed, Partial, Succeeded};
use super::*;

const TEXT: [ItemId<'_>; 4] =
    [ItemId::Text("a"), ItemId::Text("b"), ItemId::Text("c\n"), ItemId::Text("b")];
const KAFKA: [ItemId<'_>; 3] = [
    ItemId::Offset { partition: "topic-0", offset: 100 },
    ItemId::Offset { partition: "topic-0", offset: 101 },
    ItemId::Offset { partition: "topic-1", offset: 100 },
];

enum Expected {
    Success,
    Items(&'static [usize]),
    /// With this in the sentence.
    Failure(&'static str),
}
use Expected::{Failure, Items, Success};

/// The rule, the answer of a function with ReportBatchItemFailures to the batch, what it means.
const ROWS: &[(&str, &[ItemId<'_>], &str, Expected)] = &[
    ("LS 4.5 empty list", &TEXT, r#"{"batchItemFailures":[]}"#, Success),
    ("LS 4.5 null list", &TEXT, r#"{"batchItemFailures":null}"#, Success),
    ("LS 4.5 {}", &TEXT, "{}", Success),
    ("LS 4.5 null", &TEXT, "null", Success),
    ("LS 4.6 empty list returned", &TEXT, "[ ]", Success),
    ("LS 4.6 empty string returned", &TEXT, "\"\"", Success),
    ("LS 4.6 nothing returned", &TEXT, "", Success),
    ("LS 4.5 {}, with other keys", &TEXT, r#"{"statusCode":200}"#, Success),
    (
        "LS 4.5 listed ones reappear",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":"a"}]}"#,
        Items(&[0]),
    ),
    (
        "LS 4.5 in the batch's order",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":"c\n"},{"x":1,"itemIdentifier":"\u0061"}],"x":[{}]}"#,
        Items(&[0, 2]),
    ),
    (
        "LS 4.5 said twice, once failed",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"a"}]}"#,
        Items(&[0]),
    ),
    (
        "LS 4.5 delivered twice, both failed",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#,
        Items(&[1, 3]),
    ),
    (
        "LS 4.5 FIFO: the function's duty",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"c\n"}]}"#,
        Items(&[1, 2, 3]),
    ),
    (
        "LS 4.5 invalid JSON",
        &TEXT,
        "{",
        Failure("no valid JSON: expected a key in quotes at byte 1"),
    ),
    ("LS 4.5 invalid JSON", &TEXT, "ok", Failure("no valid JSON")),
    (
        "LS 4.5 invalid JSON",
        &TEXT,
        r#"{"batchItemFailures":[]} x"#,
        Failure("expected the end at byte 25"),
    ),
    ("LS 4.5 invalid JSON", &TEXT, " ", Failure("no valid JSON")),
    (
        "LS 4.5 empty identifier",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
        Failure("itemIdentifier \"\" is unknown"),
    ),
    (
        "LS 4.5 null identifier",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
        Failure("has no itemIdentifier"),
    ),
    (
        "LS 4.5 misnamed key",
        &TEXT,
        r#"{"batchItemFailures":[{"id":"a"}]}"#,
        Failure("has no itemIdentifier"),
    ),
    (
        "LS 4.5 misnamed key, null",
        &TEXT,
        r#"{"batchItemFailures":[{"id":null}]}"#,
        Failure("has no itemIdentifier"),
    ),
    (
        "LS 4.5 id not in the batch",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":"d"}]}"#,
        Failure("itemIdentifier \"d\" is unknown"),
    ),
    (
        "LS 4.5 one of two unknown",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"d"}]}"#,
        Failure("\"d\" is unknown"),
    ),
    (
        "LS 4.5 identifier of another type",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":5}]}"#,
        Failure("has no itemIdentifier"),
    ),
    (
        "LS 4.5 identifier of another type",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":["a"]}]}"#,
        Failure("has no itemIdentifier"),
    ),
    (
        "LS 4.5 items of another type",
        &TEXT,
        r#"{"batchItemFailures":["a"]}"#,
        Failure("an item of batchItemFailures is no object"),
    ),
    (
        "LS 4.5 list of another type",
        &TEXT,
        r#"{"batchItemFailures":"a"}"#,
        Failure("batchItemFailures is no array"),
    ),
    (
        "LS 4.5 list of another type",
        &TEXT,
        r#"{"batchItemFailures":{}}"#,
        Failure("batchItemFailures is no array"),
    ),
    ("LS 4.5 answer of another type", &TEXT, "\"ok\"", Failure("the answer is no object")),
    ("LS 4.5 answer of another type", &TEXT, "true", Failure("the answer is no object")),
    (
        "LS 4.5 answer of another type",
        &TEXT,
        r#"[{"itemIdentifier":"a"}]"#,
        Failure("the answer is an array"),
    ),
    ("LS 4.8 empty", &KAFKA, r#"{"batchItemFailures":[]}"#, Success),
    ("LS 4.8 null", &KAFKA, "null", Success),
    (
        "LS 4.8 an object",
        &KAFKA,
        r#"{"batchItemFailures":[{"itemIdentifier":{"offset":100,"partition":"topic-1"}},{"itemIdentifier":{"partition":"topic-0","offset":101}}]}"#,
        Items(&[1, 2]),
    ),
    (
        "LS 4.8 unknown partition",
        &KAFKA,
        r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"topic-2","offset":100}}]}"#,
        Failure("{\"partition\":\"topic-2\",\"offset\":100} is unknown"),
    ),
    (
        "LS 4.8 unknown offset",
        &KAFKA,
        r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"topic-0","offset":99}}]}"#,
        Failure("is unknown"),
    ),
    (
        "LS 4.8 no offset",
        &KAFKA,
        r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"topic-0"}}]}"#,
        Failure("has no itemIdentifier"),
    ),
    (
        "LS 4.8 offset of another type",
        &KAFKA,
        r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"topic-0","offset":"100"}}]}"#,
        Failure("has no itemIdentifier"),
    ),
    (
        "LS 4.8 text",
        &KAFKA,
        r#"{"batchItemFailures":[{"itemIdentifier":"topic-0"}]}"#,
        Failure("is unknown"),
    ),
    (
        "LS 4.5 an object on SQS",
        &TEXT,
        r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"a","offset":1}}]}"#,
        Failure("is unknown"),
    ),
];

#[test]
fn answers_mean_what_the_tables_say() {
    for (rule, batch, payload, expected) in ROWS {
        let answer = BatchAnswer::read(payload.as_bytes(), true, batch);
        match (expected, &answer) {
            (Success, Succeeded) => {}
            (Items(places), Partial(failed)) => assert_eq!(failed, places, "{rule}: {payload}"),
            (Failure(says), Failed(why)) => assert!(why.contains(says), "{rule}: {payload}: {why}"),
            _ => panic!("{rule}: {payload}: {answer:?}"),
        }
        let off = BatchAnswer::read(payload.as_bytes(), false, batch);
        assert_eq!(off, Succeeded, "LS 4.5: nobody asked, {payload}");
    }
    let binary = BatchAnswer::read(b"\"\xff\"", true, &TEXT);
    assert!(matches!(&binary, Failed(why) if why.contains("not UTF-8")), "{binary:?}");
}

/// The rule, the answer to the batch, ReportBatchItemFailures, the state, what of the batch failed or that
/// all did.
type Window = (&'static str, &'static str, bool, Option<&'static str>, Option<&'static [usize]>);

const WINDOWS: &[Window] = &[
    ("LS 4.6 state", r#"{"state": {"a": [1]} }"#, false, Some(r#"{"a": [1]}"#), Some(&[])),
    (
        "LS 4.6 state, failures not asked for",
        r#"{"state":{},"batchItemFailures":5}"#,
        false,
        Some("{}"),
        Some(&[]),
    ),
    (
        "LS 4.6 state and failures",
        r#"{"batchItemFailures":[{"itemIdentifier":"a"}],"state":{}}"#,
        true,
        Some("{}"),
        Some(&[0]),
    ),
    ("LS 4.6 state, none failed", r#"{"state":{}}"#, true, Some("{}"), Some(&[])),
    (
        "LS 4.6 state and unknown failures",
        r#"{"batchItemFailures":[{"itemIdentifier":"d"}],"state":{}}"#,
        true,
        None,
        None,
    ),
    ("LS 4.6 no state", "{}", false, None, None),
    ("LS 4.6 no state", "null", true, None, None),
    ("LS 4.6 no state", "", false, None, None),
    ("LS 4.6 no state", r#"{"batchItemFailures":[]}"#, true, None, None),
    ("LS 4.6 state of another type", r#"{"state":null}"#, false, None, None),
    ("LS 4.6 invalid JSON", r#"{"state":{}"#, false, None, None),
];

#[test]
fn a_window_wants_its_state() {
    for (rule, payload, report, state, failed) in WINDOWS {
        let answer = WindowAnswer::read(payload.as_bytes(), *report, &TEXT);
        assert_eq!(answer.state.map(|state| state.json), *state, "{rule}: {payload}");
        match (&answer.batch, failed) {
            (Succeeded, Some([])) | (Failed(_), None) => {}
            (Partial(places), Some(failed)) => assert_eq!(places, failed, "{rule}: {payload}"),
            _ => panic!("{rule}: {payload}: {answer:?}"),
        }
    }
}

#[test]
fn a_state_over_one_megabyte_is_told() {
    let answer = |bytes: usize| format!("{{\"state\":{{\"a\":\"{}\"}}}}", "x".repeat(bytes - 8));
    let most = usize::try_from(WINDOW_STATE_BYTES_MAX).unwrap();
    for (bytes, oversized) in [(most, false), (most + 1, true)] {
        let payload = answer(bytes);
        let state = WindowAnswer::read(payload.as_bytes(), false, &[]).state.unwrap();
        assert_eq!((state.json.len(), state.is_oversized()), (bytes, oversized));
    }
}

#[test]
fn the_largest_batch_can_fail_wholly() {
    let ids: Vec<String> =
        (0..10_000).map(|n| format!("49590338271490256608559692538{n}")).collect();
    let batch: Vec<_> = ids.iter().map(|id| ItemId::Text(id)).collect();
    let items: Vec<_> =
        ids.iter().rev().map(|id| format!(r#"{{"itemIdentifier":"{id}"}}"#)).collect();
    let payload = format!(r#"{{"batchItemFailures":[{}]}}"#, items.join(","));
    let answer = BatchAnswer::read(payload.as_bytes(), true, &batch);
    assert_eq!(answer, Partial((0..10_000).collect()));
}

#[test]
fn long_identifiers_are_not_repeated_in_full() {
    let payload =
        format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}}]}}"#, "ä".repeat(10_000));
    let answer = BatchAnswer::read(payload.as_bytes(), true, &TEXT);
    assert!(matches!(&answer, Failed(why) if why.chars().count() < 200), "{answer:?}");
}
