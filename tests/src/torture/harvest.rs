//! What there is to see once a torture run is over: records in the destinations, what the broker knows, and
//! whether every slot is there.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use trine_proto::v1::{DeliveryState, Invocation, ListInvocationsRequest};

use super::fleet::{Payload, Shared};
use super::functions::{FAILURE_FILE, NARROW, Role, SUCCESS_FILE};
use crate::fixture::broker::Broker;
use crate::fixture::client::{Client, call};
use crate::fixture::wait::until;
use crate::ledger::{Condition, Entry, EventId, Notes, Side};

const PAGE: u32 = 1_000;

/// Longest wait for the slots to meet.
const MEET_WAIT: Duration = Duration::from_secs(30);

/// Waits until nothing is queued and no record is on its way, at most `limit`. The events that are left.
pub(super) async fn drained(client: &Client, limit: Duration) -> u64 {
    let begun = Instant::now();
    let mut left = u64::MAX;
    while left > 0 && begun.elapsed() < limit {
        let rest = limit.saturating_sub(begun.elapsed());
        let empty = until("an empty queue", 2 * limit, async || {
            left = client.account().await.queued;
            left == 0
        });
        if tokio::time::timeout(rest, empty).await.is_ok() {
            let on_their_way = |one: &&Invocation| one.delivery() == DeliveryState::Pending;
            left = all(client).await.iter().filter(on_their_way).count() as u64;
        }
    }
    left
}

/// Every invocation that the broker knows.
async fn all(client: &Client) -> Vec<Invocation> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListInvocationsRequest { filter: None, page_size: PAGE, page_token };
        let listed = client.invocations().list_invocations(request).await;
        let listed = listed.expect("the broker lists what it knows").into_inner();
        found.extend(listed.invocations);
        page_token = listed.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

/// Notes what the broker says of every event in `acked`, by request id.
pub(super) async fn known(client: &Client, notes: &Notes, acked: &BTreeMap<String, EventId>) {
    for one in all(client).await {
        if let Some(event) = acked.get(&one.request_id) {
            notes.note(Entry::Known {
                event: *event,
                ended: one.finished_at_ms.is_some(),
                delivered: one.delivery() == DeliveryState::Delivered,
                attempts: one.attempts,
            });
        }
    }
}

/// Notes every record of the destinations.
pub(super) fn records(broker: &Broker, notes: &Notes) {
    for (side, name) in [(Side::Success, SUCCESS_FILE), (Side::Failure, FAILURE_FILE)] {
        let file = broker.folder().join("destinations").join(name);
        let text = std::fs::read(file).unwrap_or_default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let torn = Entry::Torn { side, bytes: line.len() as u64 };
            notes.note(record(side, line).unwrap_or(torn));
        }
    }
}

fn record(side: Side, line: &[u8]) -> Option<Entry> {
    let json: Value = serde_json::from_slice(line).ok()?;
    let context = &json["requestContext"];
    let condition: Condition = serde_json::from_value(context["condition"].clone()).ok()?;
    let attempts = u32::try_from(context["approximateInvokeCount"].as_u64()?).ok()?;
    Some(Entry::Record {
        side,
        event: EventId(json["requestPayload"]["event"].as_u64()?),
        request_id: context["requestId"].as_str()?.to_owned(),
        condition,
        attempts,
        digest: digest(line),
    })
}

/// FNV-1a: tells records apart, nobody forges them.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Starts as many of the narrow function as may run, which end only together; notes how many came.
pub(super) async fn slots(broker: &Broker, client: &Client, shared: &Shared) {
    let mut calls = JoinSet::new();
    for _ in 0..NARROW {
        let client = client.clone();
        let request = call(Role::Narrow.name(), Payload::Meet(NARROW).json());
        calls.spawn(async move { client.invocations().invoke(request).await });
    }
    let meeting = async { while calls.join_next().await.is_some() {} };
    // Those that are missing are missing from the count.
    let _ = tokio::time::timeout(MEET_WAIT, meeting).await;
    let metrics = broker.metrics().await;
    #[expect(clippy::cast_possible_truncation, reason = "a gauge of whole numbers")]
    let whole = |series| metrics.value(series) as i64;
    let running = whole("trine_account_concurrent_executions");
    shared.notes.note(Entry::Slots {
        function: Role::Narrow.name().to_owned(),
        limit: NARROW,
        together: shared.met.load(Ordering::SeqCst),
        drift: whole("trine_slot_drift"),
        running: u32::try_from(running).unwrap_or(u32::MAX),
    });
}
