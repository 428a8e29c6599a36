//! The written form of records: what today's release writes, that it reads what it and every
//! earlier release wrote, and that it understands a record or says which field it does not.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod draw;
mod mappings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use trine_engine::{
    Death, Delivery, Destination, End, Ended, EventRecord, EventSeq, EventStage, FunctionName,
    FunctionRecord, FunctionSettings, Idempotency, MaxEventAgeSeconds, MaxRetries, MemoryMb,
    RequestId, TimeoutSeconds,
};
use trine_store::record::{
    Kind, PayloadEnvelope, RecordError, ResponseEnvelope, decode_event, decode_function,
    decode_payload, decode_response, encode_event, encode_function, encode_payload,
    encode_response,
};
use trine_store::{Key, StoreError, Table};

use crate::draw::Draw;

/// Records that the generator of the property test drew; a failure names one of these numbers.
const DRAWN: u64 = 20_000;

/// A waiting event with a short name, in bytes: the measure of a backlog on disk.
const WAITING_EVENT_BYTES: std::ops::RangeInclusive<usize> = 50..=70;

fn name(name: &str) -> FunctionName {
    FunctionName::new(name).unwrap()
}

fn waiting() -> EventRecord {
    EventRecord {
        seq: EventSeq(1_000_001),
        request_id: RequestId(0x0199_f2a4_b1c2_7def_8123_4567_89ab_cdef),
        function: name("resize"),
        accepted_at: 1_793_000_000_123,
        age_from: 1_793_000_000_123,
        payload_seq: EventSeq(1_000_001),
        payload_bytes: 4_096,
        attempts: 0,
        hops: 0,
        failed: false,
        stage: EventStage::Waiting { due_at: 1_793_000_000_123, retry: false },
        idempotency: None,
        redriven_from: None,
    }
}

fn retrying() -> EventRecord {
    EventRecord {
        age_from: 1_793_000_060_000,
        payload_seq: EventSeq(77),
        attempts: 2,
        hops: 3,
        failed: true,
        stage: EventStage::Waiting { due_at: 1_793_000_180_000, retry: true },
        idempotency: Some(Box::new(Idempotency { key: "order-4711".into(), digest: 0xfeed })),
        redriven_from: Some(RequestId(7)),
        ..waiting()
    }
}

fn ended(end: End, delivery: Delivery) -> EventRecord {
    let attempts = 3;
    let stage = EventStage::Ended(Ended { end, at: 1_793_000_200_000, delivery });
    EventRecord { attempts, stage, ..waiting() }
}

fn events() -> Vec<(&'static str, EventRecord)> {
    let dead = |death, delivery| ended(End::Dead(death), delivery);
    vec![
        ("event-waiting", waiting()),
        ("event-retrying", retrying()),
        ("event-succeeded", ended(End::Succeeded, Delivery::Delivered)),
        ("event-retries-exhausted", dead(Death::RetriesExhausted, Delivery::Pending)),
        ("event-age-exceeded", dead(Death::EventAgeExceeded, Delivery::Undelivered)),
        ("event-zero-reserved", dead(Death::ZeroReservedConcurrency, Delivery::Pending)),
        ("event-recursive", dead(Death::RecursiveInvocation, Delivery::None)),
        ("event-cancelled", ended(End::Cancelled, Delivery::None)),
        ("event-redriven", ended(End::Redriven { to: RequestId(1 << 64) }, Delivery::None)),
    ]
}

fn functions() -> Vec<(&'static str, FunctionRecord)> {
    let plain = FunctionRecord {
        number: 12,
        name: name("resize"),
        settings: FunctionSettings::default(),
        created_at: 1_793_000_000_000,
        modified_at: 1_793_000_000_001,
    };
    let with = |settings| FunctionRecord { settings, ..plain.clone() };
    let full = with(FunctionSettings {
        description: Some("Makes pictures smaller.".into()),
        timeout: TimeoutSeconds::new(900).ok(),
        memory: MemoryMb::new(10_240).ok(),
        reserved_concurrency: Some(0),
        max_retries: MaxRetries::new(0).ok(),
        max_event_age: MaxEventAgeSeconds::new(60).ok(),
        on_success: Some(Destination::Http { url: "https://example.com/hook?a=b".into() }),
        on_failure: Some(Destination::Nats {
            url: "nats://127.0.0.1:4222".into(),
            subject: "resize.failed".into(),
            jetstream: true,
        }),
    });
    let others = with(FunctionSettings {
        on_success: Some(Destination::Function(name("index_2"))),
        on_failure: Some(Destination::File { name: "failures.jsonl".into() }),
        ..FunctionSettings::default()
    });
    let queues = with(FunctionSettings {
        on_success: Some(Destination::Sqs {
            queue: "arn:aws:sqs:eu-west-1:123456789012:resized".into(),
            region: "eu-central-1".into(),
            endpoint_url: "http://127.0.0.1:4566".into(),
        }),
        on_failure: Some(Destination::Sns {
            url: "https://example.com/topic".into(),
            topic_arn: "arn:aws:sns:eu-west-1:123456789012:failures".into(),
        }),
        ..FunctionSettings::default()
    });
    let logs = with(FunctionSettings {
        on_success: Some(Destination::Kafka {
            bootstrap_servers: ["kafka-1:9092".into(), "kafka-2:9092".into()].into(),
            topic: "resized".into(),
        }),
        on_failure: Some(Destination::RabbitMq {
            url: "amqp://rabbit:5672".into(),
            virtual_host: "pictures".into(),
            exchange: "failures".into(),
            routing_key: "resize.failed".into(),
        }),
        ..FunctionSettings::default()
    });
    vec![
        ("function-plain", plain),
        ("function-full", full),
        ("function-others", others),
        ("function-queues", queues),
        ("function-logs", logs),
    ]
}

fn payloads() -> Vec<(&'static str, PayloadEnvelope)> {
    let full = PayloadEnvelope {
        payload: Bytes::from_static(b"{\"size\": 1.50}"),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        tracestate: "vendor=value".to_owned(),
        qualified: true,
    };
    vec![("payload-empty", PayloadEnvelope::default()), ("payload-full", full)]
}

fn responses() -> Vec<(&'static str, ResponseEnvelope)> {
    let body = Bytes::from_static(b"{\"errorType\":\"E\"}");
    vec![
        ("response-answer", ResponseEnvelope { body: body.clone(), function_error: false }),
        ("response-error", ResponseEnvelope { body, function_error: true }),
    ]
}

/// A record with the name of its file, its bytes as today's release writes them, and whether bytes
/// read as this record.
struct Fixture {
    name: &'static str,
    written: Bytes,
    reads: Box<dyn Fn(Vec<u8>) -> bool>,
}

fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    for (name, record) in events() {
        let written = encode_event(&record);
        let reads = Box::new(move |bytes: Vec<u8>| decode_event(&bytes).as_ref() == Ok(&record));
        all.push(Fixture { name, written, reads });
    }
    for (name, record) in functions() {
        let written = encode_function(&record);
        let reads = Box::new(move |bytes: Vec<u8>| decode_function(&bytes).as_ref() == Ok(&record));
        all.push(Fixture { name, written, reads });
    }
    for (name, envelope) in payloads() {
        let written = encode_payload(&envelope);
        let reads =
            Box::new(move |bytes: Vec<u8>| decode_payload(bytes.into()).as_ref() == Ok(&envelope));
        all.push(Fixture { name, written, reads });
    }
    for (name, envelope) in responses() {
        let written = encode_response(&envelope);
        let reads =
            Box::new(move |bytes: Vec<u8>| decode_response(bytes.into()).as_ref() == Ok(&envelope));
        all.push(Fixture { name, written, reads });
    }
    all.extend(mappings::fixtures());
    all
}

/// Releases that changed a written form, oldest first, each with its folder. A file in it is one
/// record as lines of hexadecimal digits. No file is ever changed: that they all stay readable is
/// the promise.
const RELEASES: [&str; 1] = ["0.1"];

fn folder(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(release)
}

/// The files of one release: name and bytes.
fn golden(release: &str) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder(release)).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, unhex(&std::fs::read_to_string(path).unwrap()))
    };
    files.map(read).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    let lines =
        bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect());
    lines.collect::<Vec<String>>().join("\n")
}

#[test]
fn what_is_written_has_not_changed() {
    let newest = golden(RELEASES[RELEASES.len() - 1]);
    let changed: Vec<String> = fixtures()
        .iter()
        .filter(|fixture| newest.get(fixture.name).is_none_or(|bytes| *bytes != fixture.written))
        .map(|fixture| format!("== {}\n{}", fixture.name, hex(&fixture.written)))
        .collect();
    assert!(
        changed.is_empty(),
        "a written form is not that of the newest folder under tests/golden. If that is wanted, \
         start the next folder with these files, and keep the old ones:\n{}",
        changed.join("\n")
    );
}

#[test]
fn what_any_release_wrote_is_read() {
    for release in RELEASES {
        let fixtures = fixtures();
        for (name, bytes) in golden(release) {
            let fixture = fixtures.iter().find(|fixture| fixture.name == name);
            let fixture = fixture.unwrap_or_else(|| panic!("{release}/{name}: no such record"));
            assert!((fixture.reads)(bytes), "{release}/{name} reads as another record");
        }
    }
}

#[test]
fn a_waiting_event_is_small() {
    let bytes = encode_event(&waiting()).len();
    assert!(WAITING_EVENT_BYTES.contains(&bytes), "{bytes} bytes");
}

#[test]
fn reading_a_body_shares_its_memory() {
    let payload = Bytes::from(vec![b' '; 100_000]);
    let written = encode_payload(&PayloadEnvelope { payload, ..PayloadEnvelope::default() });
    let memory = written.as_ptr_range();
    let read = decode_payload(written).unwrap();
    assert!(memory.contains(&read.payload.as_ptr()));

    let body = Bytes::from(vec![b' '; 100_000]);
    let written = encode_response(&ResponseEnvelope { body, function_error: true });
    let memory = written.as_ptr_range();
    assert!(memory.contains(&decode_response(written).unwrap().body.as_ptr()));
}

/// Protobuf fields by hand, as another release would write them.
fn field(tag: u8, wire: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | wire];
    if wire == 2 {
        bytes.push(value.len().try_into().unwrap());
    }
    bytes.extend_from_slice(value);
    bytes
}

const VARINT: u8 = 0;
const BYTES: u8 = 2;

/// A version byte and an event with the fields that must be there, and `more`.
fn event_with(more: &[Vec<u8>]) -> Vec<u8> {
    let id = field(2, BYTES, &field(1, 1, &7_u64.to_le_bytes()));
    [vec![1], id, field(3, BYTES, b"f"), more.concat()].concat()
}

fn bad_event_field(bytes: &[u8]) -> (&'static str, String) {
    match decode_event(bytes) {
        Err(RecordError::Field { kind: Kind::Event, field, problem }) => (field, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_field_of_a_later_release_is_skipped_and_its_values_are_not() {
    let stage = |end: u8, delivery: u8| {
        let ended = [field(1, VARINT, &[end]), field(3, VARINT, &[delivery])].concat();
        field(12, BYTES, &ended)
    };
    let later = field(15, BYTES, b"from the future");
    let read = decode_event(&event_with(&[stage(1, 1), later])).unwrap();
    assert_eq!((read.request_id, read.attempts), (RequestId(7 << 64), 0));

    let unknown = |value| format!("has the value {value}, which this release does not know");
    assert_eq!(bad_event_field(&event_with(&[stage(8, 1)])), ("ended.end", unknown(8)));
    assert_eq!(bad_event_field(&event_with(&[stage(0, 1)])), ("ended.end", unknown(0)));
    assert_eq!(bad_event_field(&event_with(&[stage(1, 5)])), ("ended.delivery", unknown(5)));
    assert_eq!(bad_event_field(&event_with(&[stage(1, 0)])), ("ended.delivery", unknown(0)));
}

#[test]
fn what_is_missing_or_out_of_range_is_named() {
    let waiting = field(11, BYTES, &[]);
    assert!(decode_event(&event_with(std::slice::from_ref(&waiting))).is_ok());
    assert_eq!(bad_event_field(&event_with(&[])).0, "stage");
    assert_eq!(bad_event_field(&[1]).0, "request_id");
    let hops = field(9, VARINT, &[0x80, 0x02]);
    assert_eq!(bad_event_field(&event_with(&[waiting.clone(), hops])).0, "hops");
    let nameless = field(3, BYTES, b"");
    assert_eq!(bad_event_field(&event_with(&[waiting, nameless])).0, "function");
    let redriven = field(12, BYTES, &[field(1, VARINT, &[7]), field(3, VARINT, &[1])].concat());
    assert_eq!(bad_event_field(&event_with(&[redriven])).0, "ended.redriven_to");

    let function = |settings: &[u8]| {
        let bytes = [vec![1], field(2, BYTES, b"f"), field(5, BYTES, settings)].concat();
        match decode_function(&bytes) {
            Err(RecordError::Field { kind: Kind::Function, field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(function(&field(2, VARINT, &[0])), "settings.timeout_seconds");
    assert_eq!(function(&field(2, VARINT, &[0x80, 0x80, 0x80, 1])), "settings.timeout_seconds");
    assert_eq!(function(&field(3, VARINT, &[127])), "settings.memory_mb");
    assert_eq!(function(&field(5, VARINT, &[3])), "settings.max_retries");
    assert_eq!(function(&field(6, VARINT, &[59])), "settings.max_event_age_seconds");
    assert_eq!(function(&field(7, BYTES, &[])), "settings.on_success");
    assert_eq!(function(&field(8, BYTES, &field(15, BYTES, b"?"))), "settings.on_failure");
    assert_eq!(function(&field(8, BYTES, &field(5, BYTES, &[]))), "settings.on_failure");
    assert_eq!(function(&field(8, BYTES, &field(3, BYTES, &[]))), "settings.on_failure");
    assert_eq!(function(&field(8, BYTES, &field(1, BYTES, b"no name"))), "settings.on_failure");
}

#[test]
fn another_version_and_damage_are_told_apart() {
    let key = Key { table: Table::Event, id: 9 };
    let mut later = encode_event(&waiting()).to_vec();
    later[0] = 2;
    let error = decode_event(&later).unwrap_err();
    assert_eq!(error, RecordError::Version { kind: Kind::Event, found: 2 });
    let StoreError::Unusable { detail } = error.at("0.trine", key) else { panic!("{error:?}") };
    assert_eq!(
        detail,
        "0.trine, table event, id 9: the event record has version 2, this release reads versions \
         1 to 1: start a release that knows it"
    );

    let version = |kind, found| RecordError::Version { kind, found };
    assert_eq!(decode_function(&[0]).unwrap_err(), version(Kind::Function, 0));
    assert_eq!(decode_payload(later.into()).unwrap_err(), version(Kind::Payload, 2));
    assert_eq!(
        decode_response(Bytes::new()).unwrap_err(),
        RecordError::Empty { kind: Kind::Response }
    );
    let torn = Bytes::from_static(&[1, 40, 1]);
    for error in [decode_event(&[1, 0xff]).unwrap_err(), decode_payload(torn).unwrap_err()] {
        assert!(matches!(error, RecordError::Malformed { .. }), "{error:?}");
        assert!(matches!(error.at("0.trine", key), StoreError::Corrupt { .. }));
    }
}

#[test]
fn everything_drawn_is_read_as_it_was_written() {
    for seed in 0..DRAWN {
        let mut draw = Draw(seed);
        let event = draw.event();
        assert_eq!(decode_event(&encode_event(&event)), Ok(event), "seed {seed}");
        let function = draw.function();
        assert_eq!(decode_function(&encode_function(&function)), Ok(function), "seed {seed}");
        let payload = draw.payload();
        assert_eq!(decode_payload(encode_payload(&payload)), Ok(payload), "seed {seed}");
    }
}

/// Whatever the bytes are, the answer is a record or an error, and a record reads as itself.
#[test]
fn damaged_bytes_never_panic() {
    for seed in 0..DRAWN {
        let mut draw = Draw(seed);
        let mut bytes = encode_event(&draw.event()).to_vec();
        for _ in 0..=draw.below(3) {
            let place = draw.place(bytes.len());
            bytes[place] = draw.below(256).try_into().unwrap();
        }
        bytes.truncate(bytes.len().saturating_sub(draw.place(3)));
        if let Ok(event) = decode_event(&bytes) {
            assert_eq!(decode_event(&encode_event(&event)), Ok(event), "seed {seed}");
        }
        let _ = decode_function(&bytes);
        let _ = decode_response(bytes.clone().into());
        let _ = decode_payload(bytes.into());
    }
}
