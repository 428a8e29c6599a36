//! Third act: an event that fails every time. Virtual time carries it through both retries to its
//! failure destination.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use trine_proto::v1::advance_time_request::Amount;
use trine_proto::v1::{self, DeliveryState, InvocationState};

use crate::demo::fact::Fact;
use crate::demo::stage::{FAILURES, Stage};
use crate::demo::teller::Teller;
use crate::demo::workers::CHARGE;
use crate::failure::Failure;
use crate::view::invocation::condition_name;
use crate::{duration, instant};

/// More waits than retries can cause: a broker that never gives up is found out.
const WAITS_MAX: usize = 5;

pub(crate) async fn play(stage: &Stage, teller: &Teller) -> Result<Vec<Fact>, Failure> {
    teller.headline("3. Asynchronous: fails, is retried, and nothing is lost")?;
    teller.step("charge {\"order\":17}")?;
    let id = stage.event(CHARGE, "{\"order\":17}").await?;
    teller.aside(&format!("accepted {id}"))?;
    let (waits, dead) = retry(stage, teller, &id).await?;
    let attempts = stage.notes.borrow().charges.clone();
    let delivered = |state| state == DeliveryState::Delivered;
    stage.wait(&id, |invocation| delivered(invocation.delivery())).await?;
    let record = find_record(&stage.path("destinations").join(FAILURES), &id)?;
    let context = &record["requestContext"];
    teller.step(&format!("file:{FAILURES} got the record: {context}"))?;
    Ok(vec![
        Fact::equal("async failure: attempts seen by workers", "1, 2, 3", list(&attempts)),
        Fact::equal("async failure: waits in virtual time", "1m, 2m", list(&waits)),
        Fact::equal(
            "async failure: condition",
            "RetriesExhausted",
            condition_name(dead.condition()).unwrap_or("none"),
        ),
        Fact::equal("async failure: attempts counted", 3, dead.attempts),
        Fact::equal(
            "async failure: record's condition",
            "\"RetriesExhausted\"",
            &context["condition"],
        ),
        Fact::equal("async failure: record's invoke count", 3, &context["approximateInvokeCount"]),
        Fact::equal(
            "async failure: record's error",
            "\"CardDeclined\"",
            &record["responsePayload"]["errorType"],
        ),
    ])
}

/// Moves virtual time over every wait until the event is dead.
async fn retry(
    stage: &Stage,
    teller: &Teller,
    id: &str,
) -> Result<(Vec<String>, v1::Invocation), Failure> {
    let mut waits = Vec::new();
    while waits.len() < WAITS_MAX {
        // Between two attempts it waits; an attempt that runs is waited for.
        let tried = u32::try_from(waits.len()).unwrap_or(u32::MAX) + 1;
        let waiting = |invocation: &v1::Invocation| {
            invocation.state() == InvocationState::Scheduled && invocation.attempts >= tried
        };
        let dead = |invocation: &v1::Invocation| invocation.state() == InvocationState::Dead;
        let invocation =
            stage.wait(id, |invocation| waiting(invocation) || dead(invocation)).await?;
        if dead(&invocation) {
            teller.step(&format!("attempt {tried} failed: dead, with nothing left to retry"))?;
            return Ok((waits, invocation));
        }
        let due_ms = invocation.next_attempt_at_ms.unwrap_or_default();
        let wait = wait_until(stage, due_ms).await?;
        teller.step(&format!(
            "attempt {tried} failed; next in {wait}, at {}: moving virtual time there",
            instant::show(due_ms)
        ))?;
        waits.push(wait);
    }
    Err(Failure::Demo(format!("invocation {id} was still retried after {WAITS_MAX} waits")))
}

/// Moves virtual time to `due_ms`, and says how far that was.
async fn wait_until(stage: &Stage, due_ms: i64) -> Result<String, Failure> {
    let failed = |status: tonic::Status| stage.connection.failure(&status);
    let mut admin = stage.connection.admin();
    let broker = admin.get_broker(v1::GetBrokerRequest {}).await.map_err(failed)?.into_inner();
    let by_ms = u64::try_from(due_ms - broker.now_ms).unwrap_or(0);
    let request = v1::AdvanceTimeRequest { amount: Some(Amount::ByMs(by_ms)) };
    admin.advance_time(request).await.map_err(failed)?;
    Ok(duration::rough(Duration::from_millis(by_ms)))
}

/// The record of an invocation in a file of JSON lines.
fn find_record(path: &Path, id: &str) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(path)?;
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut ours = records.filter(|record| record["requestContext"]["requestId"] == id);
    ours.next().ok_or_else(|| Failure::Demo(format!("{} has no record of {id}", path.display())))
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
