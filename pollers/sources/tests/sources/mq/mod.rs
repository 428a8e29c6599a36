//! RabbitMQ and ActiveMQ against servers that `TRINE_RABBITMQ` and `TRINE_ACTIVEMQ` name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use trine_pollers::{
    Binding, Change, Connect, Content, Opened, Places, Problem, Reader, Received, Record, Secrets,
    Settled, Source, SourceError, Start, Verdict, Want,
};

mod activemq;
mod proxy;
mod rabbitmq;
mod raw_amqp;

/// Longest that something may take which has nothing to wait for.
const PROMPT: Duration = Duration::from_secs(60);

/// A name that nobody else uses.
fn unique(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("trine-{what}-{}-{}-{number}", std::process::id(), since.as_nanos())
}

fn binding(secrets: &[(&str, &str)]) -> Binding {
    let secrets: BTreeMap<_, _> =
        secrets.iter().map(|(name, secret)| ((*name).to_owned(), (*secret).to_owned())).collect();
    let mapping_id = "0190b7c4-7e2a-7bd3-8a4f-3f5f0f2b9f10".into();
    Binding { mapping_id, start: Start::TrimHorizon, secrets: Secrets::new(secrets) }
}

/// An open queue of one connection.
struct Open {
    source: Arc<dyn Source>,
    opened: Opened,
}

impl Open {
    async fn new(connector: &Arc<dyn Connect>) -> Self {
        let source = connector.connect(Places::new()).await.expect("the server is there");
        let change = source.next_change().await.expect("the source works");
        let Change::Opened(opened) = change else { panic!("{change:?}") };
        Self { source, opened }
    }

    fn reader(&self) -> &dyn Reader {
        &*self.opened.reader
    }

    async fn receive_once(&self, records_max: u32, wait: Duration) -> Received {
        let want = Want { records_max, bytes_max: u64::MAX, wait };
        self.reader().receive(want).await.expect("the source works")
    }

    /// So many records, in as many receives as it takes.
    async fn receive(&self, count: usize) -> Vec<Record> {
        let until = Instant::now() + PROMPT;
        let mut records = Vec::new();
        while records.len() < count {
            assert!(Instant::now() < until, "{} of {count} came", records.len());
            let left = u32::try_from(count - records.len()).expect("small");
            records.extend(self.receive_once(left, Duration::from_secs(1)).await.records);
        }
        assert_eq!(records.len(), count, "more than asked for");
        records
    }

    async fn assert_empty(&self) {
        let records = self.receive_once(10, Duration::from_millis(500)).await.records;
        assert!(records.is_empty(), "{records:?}");
    }

    async fn settle(&self, records: &[Record], verdict: Verdict) {
        self.try_settle(records, verdict).await.expect("the source works");
    }

    async fn try_settle(&self, records: &[Record], verdict: Verdict) -> Result<(), SourceError> {
        let settled = |record: &Record| Settled { position: record.position.clone(), verdict };
        let settling = self.reader().settle(records.iter().map(settled).collect());
        timeout(PROMPT, settling).await.expect("a settle ends")
    }

    /// The whole payload of these records.
    fn payload(&self, records: &[Record]) -> Vec<u8> {
        let events: Vec<_> = records.iter().map(event).collect();
        let events = events.join(&b","[..]);
        let envelope = &self.opened.envelope;
        [envelope.open.as_bytes(), &events, envelope.close.as_bytes()].concat()
    }
}

fn event(record: &Record) -> Vec<u8> {
    let Content::Event(event) = &record.content else { panic!("{record:?}") };
    event.to_vec()
}

fn json(record: &Record) -> Value {
    serde_json::from_slice(&event(record)).expect("an event is JSON")
}

/// The body out of an event's `data`.
fn data(event: &Value) -> Vec<u8> {
    STANDARD.decode(event["data"].as_str().expect("data is text")).expect("data is base64")
}

fn bodies(records: &[Record]) -> Vec<String> {
    let mut bodies: Vec<_> =
        records.iter().map(|record| String::from_utf8_lossy(&record.body).into_owned()).collect();
    bodies.sort();
    bodies
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{number:03}")).collect()
}

/// Why a connection cannot be made.
async fn refusal(connector: &Arc<dyn Connect>) -> SourceError {
    let connected = timeout(PROMPT, connector.connect(Places::new())).await.expect("connect ends");
    match connected {
        Ok(_) => panic!("it was connected"),
        Err(error) => error,
    }
}

fn assert_told(error: &SourceError, problem: Problem, names: &[&str]) {
    let says = error.to_string();
    assert_eq!(error.problem, problem, "{says}");
    for name in names {
        assert!(says.contains(name), "{says} does not name {name}");
    }
}
