//! Filter criteria against LS 4.4, row by row. That the matcher answers right on whatever is made up is in
//! `properties`, its measure in `naive`.

use super::*;

mod naive;
mod properties;

fn filters(kind: SourceKind, pattern: &str) -> Filters {
    Filters::parse(kind, &[pattern]).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

/// Whether `pattern` takes a record of SQS whose body has `value` at the key k.
fn takes(pattern: &str, value: &str) -> bool {
    let filters = filters(SourceKind::Sqs, &format!("{{\"body\":{{\"k\":{pattern}}}}}"));
    let data = format!("{{\"other\":[{{}}],\"k\":{value}}}");
    filters.passes(&Filterable { element: b"{}", data: Some(data.as_bytes()), key: None })
}

/// Pattern, values that match, values that do not.
const OPERATORS: [(&str, &[&str], &[&str]); 35] = [
    ("[null]", &["null"], &["\"null\"", "\"\"", "0", "{}"]),
    ("[\"\"]", &["\"\""], &["null", "\" \""]),
    ("[\"a\"]", &["\"a\"", "\"\\u0061\"", "[\"b\",\"a\"]"], &["\"A\"", "\"ab\"", "[]"]),
    ("[\"a\",\"b\"]", &["\"a\"", "\"b\""], &["\"c\""]),
    ("[true]", &["true"], &["false", "\"true\""]),
    ("[300]", &["300", "[1,[300]]"], &["300.0", "3.0e2", "\"300\""]),
    ("[3.0e2]", &["3.0e2"], &["300", "3.0E2"]),
    ("[{\"prefix\":\"a\"}]", &["\"a\"", "\"ab\""], &["\"ba\"", "1"]),
    ("[{\"suffix\":\".png\"}]", &["\"x.png\""], &["\"x.PNG\""]),
    ("[{\"prefix\":{\"equals-ignore-case\":\"Ab\"}}]", &["\"aBc\""], &["\"bab\""]),
    ("[{\"suffix\":{\"equals-ignore-case\":\"Ä\"}}]", &["\"xä\""], &["\"äx\""]),
    ("[{\"equals-ignore-case\":\"aLiCe\"}]", &["\"ALICE\""], &["\"ALICE \""]),
    ("[{\"anything-but\":\"a\"}]", &["\"b\"", "1", "null", "[\"a\",\"b\"]"], &["\"a\"", "[\"a\"]"]),
    ("[{\"anything-but\":[\"a\",\"b\"]}]", &["\"c\""], &["\"a\"", "\"b\""]),
    ("[{\"anything-but\":1}]", &["2", "1.0", "\"1\""], &["1"]),
    ("[{\"anything-but\":[1,2]}]", &["3"], &["1", "2"]),
    ("[{\"anything-but\":{\"prefix\":\"a\"}}]", &["\"b\"", "1"], &["\"ab\""]),
    ("[{\"anything-but\":{\"prefix\":[\"a\",\"b\"]}}]", &["\"c\""], &["\"ax\"", "\"bx\""]),
    ("[{\"anything-but\":{\"suffix\":\"z\"}}]", &["\"b\""], &["\"z\""]),
    ("[{\"anything-but\":{\"suffix\":[\"y\",\"z\"]}}]", &["\"b\""], &["\"z\"", "\"y\""]),
    ("[{\"anything-but\":{\"equals-ignore-case\":\"a\"}}]", &["\"b\""], &["\"A\""]),
    ("[{\"anything-but\":{\"equals-ignore-case\":[\"a\",\"b\"]}}]", &["\"c\""], &["\"B\""]),
    ("[{\"anything-but\":{\"wildcard\":\"*/lib/*\"}}]", &["\"/usr\""], &["\"/lib/a\""]),
    ("[{\"anything-but\":{\"wildcard\":[\"a*\",\"*z\"]}}]", &["\"b\""], &["\"a\"", "\"bz\""]),
    ("[{\"numeric\":[\"=\",100]}]", &["100", "100.0", "1e2"], &["101", "\"100\""]),
    ("[{\"numeric\":[\"<\",10]}]", &["-1e9", "9.99"], &["10", "null"]),
    ("[{\"numeric\":[\"<=\",10]}]", &["10"], &["10.01"]),
    ("[{\"numeric\":[\">\",10,\"<=\",20]}]", &["10.5", "20"], &["10", "20.5"]),
    ("[{\"numeric\":[\">=\",0]}]", &["0", "-0"], &["-0.1"]),
    ("[{\"exists\":true}]", &["null", "0", "\"\"", "[0]"], &["{}", "{\"x\":1}", "[]", "[{}]"]),
    ("[{\"exists\":false}]", &["{\"x\":1}", "[]", "{}"], &["null", "0", "[0]"]),
    ("[{\"wildcard\":\"a*c\\\\*\"}]", &["\"abc*\"", "\"ac*\""], &["\"abc\"", "\"ac*d\""]),
    ("[{\"cidr\":\"10.0.0.0/24\"}]", &["\"10.0.0.255\""], &["\"10.0.1.0\"", "\"::ffff:10.0.0.1\""]),
    (
        "[{\"cidr\":\"2001:db8::/32\"}]",
        &["\"2001:db8:1::\""],
        &["\"2001:db9::\"", "\"32.1.13.184\""],
    ),
    ("[{\"exists\":false},\"a\"]", &["\"a\"", "{}"], &["\"b\""]),
];

#[test]
fn operators_hold_for_what_ls_4_4_says() {
    for (pattern, matching, others) in OPERATORS {
        for value in matching {
            assert!(takes(pattern, value), "{pattern} takes {value}");
        }
        for value in others {
            assert!(!takes(pattern, value), "{pattern} does not take {value}");
        }
    }
}

/// Pattern, body, whether it passes.
const SHAPES: [(&str, &str, bool); 16] = [
    // Keys of one pattern AND.
    (r#"{"a":["x"],"b":["y"]}"#, r#"{"a":"x","b":"y"}"#, true),
    (r#"{"a":["x"],"b":["y"]}"#, r#"{"a":"x"}"#, false),
    (r#"{"a":{"b":[{"exists":false}]}}"#, r#"{"a":1}"#, true),
    (r#"{"a":{"b":[{"exists":false}]}}"#, r#"{}"#, true),
    // A key that is there twice: the last.
    (r#"{"a":["x"]}"#, r#"{"a":"x","a":"y"}"#, false),
    (r#"{"a":["x"]}"#, r#"{"\u0061":"x"}"#, true),
    // `$or`, alone, beside keys, nested.
    (r#"{"$or":[{"a":["x"]},{"b":["y"]}]}"#, r#"{"b":"y"}"#, true),
    (r#"{"c":["z"],"$or":[{"a":["x"]},{"b":["y"]}]}"#, r#"{"b":"y"}"#, false),
    (r#"{"c":["z"],"$or":[{"a":["x"]},{"b":["y"]}]}"#, r#"{"b":"y","c":"z"}"#, true),
    (r#"{"$or":[{"a":["x"],"$or":[{"b":[1]},{"c":[1]}]},{"d":[1]}]}"#, r#"{"a":"x","c":1}"#, true),
    (r#"{"a":{"$or":[{"b":[1]},{"c":[1]}]}}"#, r#"{"a":{"c":1}}"#, true),
    // Objects in arrays: all within one element, whichever way it is written.
    (
        r#"{"e":{"n":["Anna"],"m":["S"]}}"#,
        r#"{"e":[{"n":"Jo","m":"S"},{"n":"Anna","m":"J"}]}"#,
        false,
    ),
    (r#"{"e":{"n":["Anna"],"m":["J"]}}"#, r#"{"e":[[{"n":"Jo"}],[{"n":"Anna","m":"J"}]]}"#, true),
    (
        r#"{"e":{"n":["Anna"]},"$or":[{"e":{"m":["S"]}},{"x":[1]}]}"#,
        r#"{"e":[{"m":"S"},{"n":"Anna"}]}"#,
        false,
    ),
    (r#"{"e":{"n":["Anna"],"m":[{"exists":false}]}}"#, r#"{"e":[{"m":"S"},{"n":"Anna"}]}"#, true),
    (r#"{"e":{"m":[{"exists":false}]}}"#, r#"{"e":[{"m":"S"},{"n":"Anna"}]}"#, false),
];

#[test]
fn keys_or_and_arrays_combine_as_in_eventbridge() {
    for (pattern, body, expected) in SHAPES {
        let filters = filters(SourceKind::Sqs, &format!("{{\"body\":{pattern}}}"));
        let record = Filterable { element: b"{}", data: Some(body.as_bytes()), key: None };
        assert_eq!(filters.passes(&record), expected, "{pattern} on {body}");
    }
}

/// LS 4.4, table: source, pattern, data, whether it passes. The metadata of each is `{"m":1}`.
#[test]
fn data_of_another_form_meets_the_table_of_its_source() {
    use SourceKind::{ActiveMq, Custom, File, Kafka, Kinesis, Nats, RabbitMq, Redis, Sqs, SqsFifo};
    const JSON: Option<&[u8]> = Some(b" {\"k\":\"v\"}");
    const OTHER: Option<&[u8]> = Some(b"{\"k\":\"w\"}");
    const PLAIN: Option<&[u8]> = Some(b"v");
    const BROKEN: Option<&[u8]> = Some(b"{\"k\":\"v\"");
    const BINARY: Option<&[u8]> = Some(b"\xff{}");
    for kind in [Sqs, SqsFifo, Kinesis, Kafka, RabbitMq, ActiveMq, Nats, Redis, File, Custom] {
        let ignores = matches!(kind, Kafka | RabbitMq | ActiveMq);
        let refuses = kind == Kinesis;
        let key = data_keys(kind)[0].0;
        let check = |pattern: &str, data, expected| {
            let record = Filterable { element: b"{\"m\":1}", data, key: None };
            let pattern = pattern.replace("DATA", key);
            let passes = filters(kind, &pattern).passes(&record);
            assert_eq!(passes, expected, "{kind}: {pattern} on {data:?}");
        };
        for data in [JSON, PLAIN, BROKEN, BINARY, None] {
            check(r#"{"m":[1]}"#, data, true);
            check(r#"{"m":[2]}"#, data, false);
        }
        for data in [PLAIN, BROKEN, BINARY, None] {
            check(r#"{"DATA":{"k":["v"]}}"#, data, ignores);
            check(r#"{"DATA":{"z":[{"exists":false}]}}"#, data, ignores);
            check(r#"{"m":[2],"DATA":{"k":["v"]}}"#, data, false);
            check(r#"{"m":[1],"DATA":{"k":["v"]}}"#, data, ignores);
        }
        check(r#"{"DATA":{"k":["v"]}}"#, JSON, true);
        check(r#"{"DATA":{"k":["v"]}}"#, OTHER, false);
        if refuses {
            continue;
        }
        check(r#"{"DATA":["v"]}"#, PLAIN, true);
        check(r#"{"DATA":[{"prefix":"w"}]}"#, PLAIN, false);
        check(r#"{"DATA":["{\"k\":\"v\""]}"#, BROKEN, true);
        check(r#"{"DATA":[{"exists":true}]}"#, JSON, ignores);
        check(r#"{"DATA":[{"exists":true}]}"#, BINARY, ignores);
        check(r#"{"DATA":["12"]}"#, Some(b"12"), true);
        check(r#"{"DATA":[null]}"#, None, true);
        check(r#"{"$or":[{"DATA":["v"]},{"DATA":{"k":["v"]}}]}"#, JSON, true);
        check(r#"{"$or":[{"DATA":["v"]},{"DATA":{"k":["v"]}}]}"#, PLAIN, true);
    }
}

#[test]
fn keys_of_the_event_are_where_the_guide_has_them() {
    let kinesis =
        br#"{"kinesis":{"partitionKey":"1","data":"e30="},"eventName":"aws:kinesis:record"}"#;
    let dynamodb = br#"{"eventName":"INSERT","dynamodb":{"Keys":{"Id":{"N":"101"}}}}"#;
    let kafka = br#"{"topic":"t","value":"e30=","key":"ew=="}"#;
    let check = |kind, element: &[u8], pattern: &str, expected| {
        let record = Filterable { element, data: Some(b"{\"City\":\"LA\"}"), key: Some(b"left") };
        assert_eq!(filters(kind, pattern).passes(&record), expected, "{kind}: {pattern}");
    };
    use SourceKind::{DynamoDbStreams, Kafka, Kinesis};
    check(Kinesis, kinesis, r#"{"partitionKey":["1"],"data":{"City":["LA"]}}"#, true);
    check(Kinesis, kinesis, r#"{"partitionKey":["2"],"data":{"City":["LA"]}}"#, false);
    check(Kinesis, kinesis, r#"{"kinesis":{"partitionKey":["1"]}}"#, true);
    check(Kinesis, kinesis, r#"{"$or":[{"partitionKey":["1"]},{"data":{"x":[1]}}]}"#, true);
    check(Kinesis, kinesis, r#"{"eventName":[{"prefix":"aws:"}]}"#, true);
    check(DynamoDbStreams, dynamodb, r#"{"dynamodb":{"Keys":{"Id":{"N":["101"]}}}}"#, true);
    check(DynamoDbStreams, dynamodb, r#"{"dynamodb":{"Keys":{"Id":{"N":[101]}}}}"#, false);
    check(DynamoDbStreams, dynamodb, r#"{"eventName":["INSERT"]}"#, true);
    check(Kafka, kafka, r#"{"key":["left"],"value":{"City":["LA"]}}"#, true);
    check(Kafka, kafka, r#"{"key":["right"],"value":{"City":["LA"]}}"#, false);
    check(Kafka, kafka, r#"{"key":["right"],"topic":["t"]}"#, false);
}

#[test]
fn any_filter_lets_a_record_pass_and_none_all() {
    let record = Filterable { element: b"{\"m\":1}", data: Some(b"v"), key: None };
    assert!(Filters::parse(SourceKind::Sqs, &[]).unwrap().passes(&record));
    let any = Filters::parse(SourceKind::Sqs, &[r#"{"m":[2]}"#, r#"{"body":["v"]}"#]).unwrap();
    assert!(any.passes(&record));
    assert!(!any.passes(&Filterable { data: Some(b"w"), ..record }));
}

#[test]
fn combinations_beyond_one_tree_are_asked_too() {
    // Three of ten: 1000 combinations in 16 trees.
    let or = |key: &str| {
        let branches: Vec<_> = (0..10).map(|n| format!("{{\"{key}\":[{n}]}}")).collect();
        format!("\"$or\":[{}]", branches.join(","))
    };
    let pattern = format!("{{\"a\":{{{}}},\"b\":{{{}}},\"c\":{{{}}}}}", or("x"), or("x"), or("x"));
    let filters = filters(SourceKind::Nats, &pattern);
    for (values, expected) in [([0, 0, 0], true), ([9, 9, 9], true), ([3, 5, 10], false)] {
        let [a, b, c] = values;
        let element = format!(r#"{{"a":{{"x":{a}}},"b":{{"x":{b}}},"c":{{"x":{c}}}}}"#);
        let record = Filterable { element: element.as_bytes(), data: None, key: None };
        assert_eq!(filters.passes(&record), expected, "{values:?}");
    }
    let error = Filters::parse(SourceKind::Nats, &[&pattern, "{\"a\":[1]}"]).unwrap_err();
    assert!(error.to_string().contains("more than 1000 combinations"), "{error}");
}

/// Pattern, what is said after Lambda's text.
const REFUSED: [(&str, &str); 34] = [
    ("", "Filter 1: no valid JSON: expected a value at byte 0"),
    ("[]", "Filter 1: expected a JSON object"),
    ("{}", "Filter 1: an empty object asks for nothing; expected keys"),
    (r#"{"a":[1]} x"#, "Filter 1: no valid JSON: expected the end at byte 10"),
    (r#"{"a":{}}"#, "Filter 1 at a: an empty object asks for nothing; expected keys"),
    (r#"{"a":{"b":"x"}}"#, "Filter 1 at a.b: expected an array of values, or an object"),
    (r#"{"a":[1],"a":[2]}"#, "Filter 1 at a: the key is there twice"),
    (r#"{"a":[]}"#, "Filter 1 at a: an empty array matches nothing; expected values"),
    (r#"{"a":[[1]]}"#, "Filter 1 at a: an array in an array; expected values or {\"operator\": …}"),
    (r#"{"a":[{}]}"#, "Filter 1 at a: an operator is an object with one key, this one has 0"),
    (
        r#"{"a":[{"prefix":"a","suffix":"b"}]}"#,
        "Filter 1 at a: an operator is an object with one key, this one has 2",
    ),
    (
        r#"{"a":[{"regex":"a"}]}"#,
        "Filter 1 at a: unknown operator \"regex\"; expected prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists or cidr",
    ),
    (r#"{"a":[{"prefix":1}]}"#, "Filter 1 at a: expected a string for prefix"),
    (
        r#"{"a":[{"prefix":{"wildcard":"a"}}]}"#,
        "Filter 1 at a: expected a string, or {\"equals-ignore-case\": \"text\"}",
    ),
    (
        r#"{"a":[{"equals-ignore-case":["a"]}]}"#,
        "Filter 1 at a: expected a string for equals-ignore-case",
    ),
    (
        r#"{"a":[{"wildcard":"a**"}]}"#,
        "Filter 1 at a: \"a**\" is no wildcard; expected no two asterisks in a row",
    ),
    (r#"{"a":[{"exists":"true"}]}"#, "Filter 1 at a: expected true or false for exists"),
    (
        r#"{"a":[{"cidr":"10.0.0.0"}]}"#,
        "Filter 1 at a: \"10.0.0.0\" is no network; expected one as 10.0.0.0/24",
    ),
    (
        r#"{"a":[{"cidr":"10.0.0.0/33"}]}"#,
        "Filter 1 at a: \"10.0.0.0/33\" is no network; expected one as 10.0.0.0/24",
    ),
    (
        r#"{"a":[{"cidr":"::/+1"}]}"#,
        "Filter 1 at a: \"::/+1\" is no network; expected one as 10.0.0.0/24",
    ),
    (
        r#"{"a":[{"anything-but":[]}]}"#,
        "Filter 1 at a: an empty array in anything-but excludes nothing; expected values",
    ),
    (
        r#"{"a":[{"anything-but":[1,"a"]}]}"#,
        "Filter 1 at a: expected strings only or numbers only for anything-but",
    ),
    (
        r#"{"a":[{"anything-but":null}]}"#,
        "Filter 1 at a: expected strings only or numbers only for anything-but",
    ),
    (
        r#"{"a":[{"anything-but":{"prefix":""}}]}"#,
        "Filter 1 at a: an empty prefix in anything-but excludes all; expected text",
    ),
    (
        r#"{"a":[{"anything-but":{"suffix":[1]}}]}"#,
        "Filter 1 at a: expected a string or several for suffix in anything-but",
    ),
    (
        r#"{"a":[{"anything-but":{"numeric":["<",1]}}]}"#,
        "Filter 1 at a: anything-but cannot hold \"numeric\"; expected prefix, suffix, equals-ignore-case or wildcard",
    ),
    (
        r#"{"a":[{"numeric":5}]}"#,
        "Filter 1 at a: expected an array for numeric, as [\">\", 0, \"<=\", 5]",
    ),
    (r#"{"$or":[{"a":[1]}]}"#, "Filter 1 at $or: expected an array of two objects or more"),
    (r#"{"x":{"$or":{"a":[1]}}}"#, "Filter 1 at x.$or: expected an array of two objects or more"),
    (r#"{"$or":[{"a":[1]},1]}"#, "Filter 1 at $or: expected objects only"),
    (
        r#"{"$or":[{"a":[1]},{"prefix":["a"]}]}"#,
        "Filter 1 at prefix: an operator cannot stand for a key in $or; write {\"key\": [{\"operator\": …}]}",
    ),
    (
        r#"{"data":["v"]}"#,
        "Filter 1 at data: the data of this source has to be JSON; expected an object of its keys",
    ),
    (
        r#"{"$or":[{"data":["v"]},{"a":[1]}]}"#,
        "Filter 1 at data: the data of this source has to be JSON; expected an object of its keys",
    ),
    (
        r#"{"kinesis":{"data":{"a":[1]}}}"#,
        "Filter 1 at kinesis.data.a: the data of a record is at the key data, not in kinesis",
    ),
];

#[test]
fn what_cannot_be_used_is_refused_with_lambdas_text_and_the_place() {
    for (pattern, says) in REFUSED {
        let error = Filters::parse(SourceKind::Kinesis, &[pattern]).unwrap_err().to_string();
        assert_eq!(error, format!("Invalid filter pattern definition. {says}"), "{pattern}");
    }
    for terms in [
        "[]",
        "[\"=\"]",
        "[\"<\",\"1\"]",
        "[\"!\",1]",
        "[\"<\",1,\">\",0]",
        "[\">\",5,\"<\",5]",
        "[\"=\",1,\"<\",5]",
    ] {
        let pattern = format!("{{\"a\":[{{\"numeric\":{terms}}}]}}");
        let error = Filters::parse(SourceKind::Sqs, &[&pattern]).unwrap_err().to_string();
        assert!(error.contains("Filter 1 at a: expected numeric as"), "{pattern}: {error}");
    }
    let dynamodb = Filters::parse(SourceKind::DynamoDbStreams, &["{\"dynamodb\":[\"v\"]}"]);
    assert!(dynamodb.is_err());
}

#[test]
fn number_and_size_of_filters_are_bounded() {
    let eleven = ["{\"a\":[1]}"; 11];
    let says =
        |patterns: &[&str]| Filters::parse(SourceKind::Sqs, patterns).unwrap_err().to_string();
    assert!(Filters::parse(SourceKind::Sqs, &eleven[..10]).is_ok());
    assert_eq!(says(&eleven), "Invalid filter pattern definition. 11 filters, expected at most 10");
    let long = |chars: usize| format!("{{\"a\":[\"{}\"]}}", "ä".repeat(chars - 10));
    assert!(Filters::parse(SourceKind::Sqs, &[&long(4096)]).is_ok());
    let error =
        "Invalid filter pattern definition. Filter 2: 4097 characters, expected at most 4096";
    assert_eq!(says(&["{\"a\":[1]}", &long(4097)]), error);
    let deep = format!("{}[1]{}", "{\"a\":".repeat(200), "}".repeat(200));
    assert!(says(&[&deep]).contains("at most 128 objects and arrays in each other"));
}
