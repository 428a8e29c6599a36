//! What the tests of AWS sources share: a hand on the services that does not go through an SDK, and names.

mod api;
mod dynamodb_streams;
mod kinesis;
mod proxy;
mod reading;
mod sqs;
mod stub;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::timeout;
use trine_pollers::{
    Binding, Change, Connect, Content, Opened, Places, Record, Secrets, Source, SourceError, Start,
    Want,
};
use trine_proto::v1::AwsAccess;

pub(crate) use api::Api;
pub(crate) use proxy::Proxy;
pub(crate) use reading::Reading;
pub(crate) use stub::Stub;

/// Longest that something may take which has nothing to wait for, on a busy machine.
pub(crate) const PROMPT: Duration = Duration::from_secs(60);

/// A name that no other test uses, in this run or another.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{:x}-{}-{next}", since.as_micros(), std::process::id())
}

/// A mapping that begins at `start`, with credentials that every stand-in takes.
pub(crate) fn binding(start: Start) -> Binding {
    let secrets = [("aws-access-key-id", "test"), ("aws-secret-access-key", "test")];
    let secrets = secrets.map(|(name, secret)| (name.to_owned(), secret.to_owned()));
    Binding {
        mapping_id: Arc::from("6f0f4a55-52a8-4f29-a0c2-0d4b47a4cb0a"),
        start,
        secrets: Secrets::new(BTreeMap::from(secrets)),
    }
}

pub(crate) fn access(endpoint: &str) -> AwsAccess {
    AwsAccess { region: String::new(), endpoint_url: endpoint.to_owned() }
}

/// At most so many records, within `wait`.
pub(crate) fn want(records_max: u32, wait: Duration) -> Want {
    Want { records_max, bytes_max: u64::MAX, wait }
}

/// A new connection and its first shard.
pub(crate) async fn open(
    connector: &Arc<dyn Connect>,
    places: Places,
) -> Result<(Arc<dyn Source>, Opened), SourceError> {
    let source = connector.connect(places).await?;
    let opened = next_opened(&*source).await;
    Ok((source, opened))
}

/// The next shard that opens.
pub(crate) async fn next_opened(source: &dyn Source) -> Opened {
    let next = async {
        loop {
            if let Change::Opened(opened) = source.next_change().await.expect("the source works") {
                return opened;
            }
        }
    };
    timeout(PROMPT, next).await.expect("a shard opens")
}

/// The next `count` records of a shard, in as many receives as it takes.
pub(crate) async fn receive(opened: &Opened, count: usize) -> Vec<Record> {
    let mut came = Vec::new();
    let all = async {
        while came.len() < count {
            let left = u32::try_from(count - came.len()).expect("small");
            let want = want(left, Duration::from_secs(1));
            came.extend(opened.reader.receive(want).await.expect("the source works").records);
        }
    };
    let ended = timeout(PROMPT, all).await;
    assert!(ended.is_ok(), "{} of {count} records came", came.len());
    came
}

/// The whole event of some records as the function gets it, read with the official type.
pub(crate) fn whole_event<T: DeserializeOwned>(opened: &Opened, records: &[Record]) -> T {
    let texts: Vec<_> = records.iter().map(event_text).collect();
    let whole = format!("{}{}{}", opened.envelope.open, texts.join(","), opened.envelope.close);
    serde_json::from_str(&whole).unwrap_or_else(|error| panic!("{error}: {whole}"))
}

/// The JSON text of one record.
pub(crate) fn event_text(record: &Record) -> &str {
    let Content::Event(event) = &record.content else { panic!("{record:?}") };
    std::str::from_utf8(event).expect("UTF-8")
}
