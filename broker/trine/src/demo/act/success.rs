//! Second act: an event that succeeds, and its record at the success destination.

use serde_json::Value;
use trine_proto::v1::{DeliveryState, InvocationState};

use crate::demo::fact::Fact;
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::demo::workers::{NOTIFY, RESIZE};
use crate::failure::Failure;
use crate::view::invocation::state_name;

pub(crate) async fn play(stage: &Stage, teller: &Teller) -> Result<Vec<Fact>, Failure> {
    teller.headline("2. Asynchronous: accepted on disk, delivered, recorded")?;
    teller.step("resize {\"image\":\"cat.png\"}")?;
    let id = stage.event(RESIZE, "{\"image\":\"cat.png\"}").await?;
    teller.aside(&format!("accepted {id}"))?;
    let delivered = |state| state == DeliveryState::Delivered;
    let ended = stage.wait(&id, |invocation| delivered(invocation.delivery())).await?;
    stage.noted(|notes| notes.notices.iter().any(|record| request_id(record) == id)).await;
    let record =
        stage.notes.borrow().notices.iter().find(|record| request_id(record) == id).cloned();
    let record = record.unwrap_or_default();
    let context = &record["requestContext"];
    teller.step(&format!("ran, and function:{NOTIFY} got the record: {context}"))?;
    Ok(vec![
        Fact::equal(
            "async success: state",
            state_name(InvocationState::Succeeded),
            state_name(ended.state()),
        ),
        Fact::equal("async success: attempts", 1, ended.attempts),
        Fact::equal("async success: record's condition", "\"Success\"", &context["condition"]),
        Fact::equal(
            "async success: record's response",
            "\"cat-small.png\"",
            &record["responsePayload"],
        ),
    ])
}

fn request_id(record: &Value) -> &str {
    record["requestContext"]["requestId"].as_str().unwrap_or_default()
}
