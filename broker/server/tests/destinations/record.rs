//! The record's JSON, to the byte (LS 3.3).

use trine_broker::destinations::DestinationRecord;
use trine_engine::{Death, End, EventRecord};

use crate::event;

fn json(event: &EventRecord, request: &str, response: Option<&str>) -> String {
    let record = DestinationRecord::new(event, request.as_bytes(), response.map(str::as_bytes));
    String::from_utf8(record.json.to_vec()).unwrap()
}

fn dead(death: Death, attempts: u32) -> EventRecord {
    EventRecord { attempts, failed: attempts > 0, ..event(End::Dead(death)) }
}

#[test]
fn a_success_has_no_function_error() {
    let event = EventRecord { attempts: 1, ..event(End::Succeeded) };
    assert_eq!(
        json(&event, r#"{"size":2}"#, Some(r#"{"ok":true}"#)),
        concat!(
            r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":"#,
            r#"{"requestId":"0199f2a4-b1c2-7def-8123-456789abcdef","#,
            r#""functionArn":"trine:function:resize:$LATEST","condition":"Success","#,
            r#""approximateInvokeCount":1},"requestPayload":{"size":2},"#,
            r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"#,
            r#""responsePayload":{"ok":true}}"#
        )
    );
}

#[test]
fn a_failure_tells_of_its_last_attempt() {
    let error = r#"{"errorType":"E","errorMessage":"no"}"#;
    assert_eq!(
        json(&dead(Death::RetriesExhausted, 3), "[]", Some(error)),
        concat!(
            r#"{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":"#,
            r#"{"requestId":"0199f2a4-b1c2-7def-8123-456789abcdef","#,
            r#""functionArn":"trine:function:resize:$LATEST","condition":"RetriesExhausted","#,
            r#""approximateInvokeCount":3},"requestPayload":[],"#,
            r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST","#,
            r#""functionError":"Unhandled"},"#,
            r#""responsePayload":{"errorType":"E","errorMessage":"no"}}"#
        )
    );
    let json = json(&dead(Death::EventAgeExceeded, 2), "[]", Some(error));
    assert!(
        json.contains(r#""condition":"EventAgeExceeded","approximateInvokeCount":2"#),
        "{json}"
    );
    assert!(json.ends_with(
        r#""functionError":"Unhandled"},"responsePayload":{"errorType":"E","errorMessage":"no"}}"#
    ));
}

#[test]
fn what_was_never_attempted_has_no_response() {
    for (death, condition) in [
        (Death::ZeroReservedConcurrency, "ZeroReservedConcurrency"),
        (Death::EventAgeExceeded, "EventAgeExceeded"),
        (Death::RecursiveInvocation, "RecursiveInvocation"),
    ] {
        for response in [None, Some("{}")] {
            let json = json(&dead(death, 0), "1", response);
            let end = format!(
                r#""condition":"{condition}","approximateInvokeCount":0}},"requestPayload":1}}"#
            );
            assert!(json.ends_with(&end), "{json}");
        }
    }
    // It was switched off after a failed attempt: still none (LS 3.3).
    let json = json(&dead(Death::ZeroReservedConcurrency, 1), "1", Some("{}"));
    assert!(!json.contains("response"), "{json}");
}

#[test]
fn payloads_keep_their_text() {
    let odd = r#"{"b":1.0,"a":1E+2,"a":12345678901234567890123,"s":"é\u0041\/","n": null }"#;
    let json = json(&event(End::Succeeded), &format!(" {odd}\n"), Some(odd));
    assert!(json.contains(&format!(r#""requestPayload":{odd},"#)), "{json}");
    assert!(json.ends_with(&format!(r#""responsePayload":{odd}}}"#)), "{json}");
}

#[test]
fn depth_is_no_matter() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(json(&event(End::Succeeded), &deep, Some(&deep)).contains(&deep));
}

#[test]
fn a_record_is_json_whatever_is_in_it() {
    let record = |request: &[u8], response: &[u8]| {
        let record = DestinationRecord::new(&event(End::Succeeded), request, Some(response));
        serde_json::from_slice::<serde_json::Value>(&record.json).unwrap()
    };
    for (bytes, request, response) in [
        (&b""[..], serde_json::json!({}), serde_json::json!(null)),
        (b"not JSON", "not JSON".into(), "not JSON".into()),
        (b"{} {}", "{} {}".into(), "{} {}".into()),
        (b"\"", "\"".into(), "\"".into()),
        (b"\"line\nbreak\"", "\"line\nbreak\"".into(), "\"line\nbreak\"".into()),
        (b"\xff\xfe", "\u{fffd}\u{fffd}".into(), "\u{fffd}\u{fffd}".into()),
        (b"\"\xff\"", "\"\u{fffd}\"".into(), "\"\u{fffd}\"".into()),
    ] {
        let json = record(bytes, bytes);
        assert_eq!(json["requestPayload"], request);
        assert_eq!(json["responsePayload"], response);
    }
    let without = DestinationRecord::new(&event(End::Succeeded), b"{}", None);
    assert!(without.json.ends_with(br#""responsePayload":null}"#));
}

#[test]
fn every_try_has_the_same_record() {
    let (first, second) = (crate::failure("{}"), crate::failure("{}"));
    assert_eq!(first.delivery_id, crate::ID);
    assert_eq!((first.json, first.timestamp), (second.json, second.timestamp));
    assert!(!first.success);
}
