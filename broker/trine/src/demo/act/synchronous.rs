//! First act: the caller waits for the answer.

use tokio::time::Instant;
use trine_proto::v1::InvocationType;

use crate::demo::fact::Fact;
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::demo::workers::GREET;
use crate::failure::Failure;

pub(crate) async fn play(stage: &Stage, teller: &Teller) -> Result<Vec<Fact>, Failure> {
    teller.headline("1. Synchronous: the caller waits, nothing is retried")?;
    teller.step("greet {\"name\":\"Ada\"}")?;
    let started = Instant::now();
    let answer = stage.invoke(GREET, "{\"name\":\"Ada\"}", InvocationType::RequestResponse).await?;
    let took = started.elapsed();
    let payload = String::from_utf8_lossy(&answer.payload).into_owned();
    teller.step(&format!("answered {payload} in {:.1} ms", took.as_secs_f64() * 1000.0))?;
    Ok(vec![
        Fact::equal("synchronous: answer", "\"Hello, Ada!\"", payload),
        Fact::equal("synchronous: function error", "none", none_if_empty(&answer.function_error)),
    ])
}

fn none_if_empty(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
