//! Verdicts on messages, made durable in batches of ten, several at a time.

use aws_sdk_sqs::types::BatchResultErrorEntry;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::event::handle;
use super::queue::{BATCH_MAX, Queue};
use crate::{Settled, SourceError, Verdict};

/// Most batches at a time.
const CALLS_MAX: usize = 16;
/// How often entries of a batch are sent for which the service itself failed.
const TRIES: u32 = 3;

/// What is done with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Delete,
    /// Hide them for so many seconds from now on.
    Hide(i32),
}

/// Makes verdicts durable.
pub(super) async fn settle(queue: &Queue, verdicts: &[Settled]) -> Result<(), SourceError> {
    let acts = [Act::Delete, Act::Hide(queue.lease_seconds()), Act::Hide(0)];
    let of = |act: Act| -> Vec<&str> {
        let acted = verdicts.iter().filter(|settled| to_act(queue, settled.verdict) == Some(act));
        acted.map(|settled| handle(&settled.position)).collect()
    };
    let handles = acts.map(|act| (act, of(act)));
    let batches = handles.iter().flat_map(|(act, handles)| {
        handles.chunks(BATCH_MAX).map(move |batch| settle_batch(queue, *act, batch))
    });
    // Collected, because the compiler cannot tell for how long the closures above would be borrowed.
    let batches: Vec<_> = batches.collect();
    futures_util::stream::iter(batches).buffer_unordered(CALLS_MAX).try_collect().await
}

/// `None`: nothing. A message that failed comes again when its lease ends, and goes to the queue's dead-letter queue when it was
/// received too often (LS 4.5). One that was rejected too: SQS has no call that says so, and showing it at once would only spin.
fn to_act(queue: &Queue, verdict: Verdict) -> Option<Act> {
    match verdict {
        Verdict::Done => Some(Act::Delete),
        Verdict::Held => Some(Act::Hide(queue.lease_seconds())),
        Verdict::Released => Some(Act::Hide(0)),
        Verdict::Failed | Verdict::Rejected => None,
    }
}

async fn settle_batch(queue: &Queue, act: Act, handles: &[&str]) -> Result<(), SourceError> {
    let mut left = handles.to_vec();
    let mut tried = 0;
    loop {
        let failed = match act {
            Act::Delete => queue.delete(&left).await?,
            Act::Hide(seconds) => queue.hide(&left, seconds).await?,
        };
        let (again, last) = again(&left, &failed);
        tried += 1;
        match last {
            None => return Ok(()),
            Some(last) if tried == TRIES => return Err(not_settled(act, again.len(), last)),
            Some(_) => left = again,
        }
    }
}

/// The messages that are worth another try, and why the last of them failed.
fn again<'a, 'b>(
    handles: &[&'a str],
    failed: &'b [BatchResultErrorEntry],
) -> (Vec<&'a str>, Option<&'b BatchResultErrorEntry>) {
    let mut again = Vec::new();
    let mut last = None;
    for entry in failed.iter().filter(|entry| !is_over(entry)) {
        let handle = entry.id.parse().ok().and_then(|at: usize| handles.get(at));
        again.extend(handle.copied());
        last = Some(entry);
    }
    (again, last)
}

/// Whether the message is not this poller's any more: deleted, or its lease ended. It comes again, if it is there.
fn is_over(entry: &BatchResultErrorEntry) -> bool {
    let code = entry.code.rsplit('.').next().unwrap_or_default();
    matches!(
        code,
        "ReceiptHandleIsInvalid"
            | "MessageNotInflight"
            | "InvalidParameterValue"
            | "InvalidParameterValueException"
            | "InvalidAttributeValue"
    )
}

fn not_settled(act: Act, messages: usize, last: &BatchResultErrorEntry) -> SourceError {
    let call = match act {
        Act::Delete => "DeleteMessageBatch",
        Act::Hide(_) => "ChangeMessageVisibilityBatch",
    };
    let says = last.message.as_deref().unwrap_or("no message");
    SourceError::unreachable(format!(
        "{call} failed {TRIES} times for {messages} messages: {}: {says}",
        last.code
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(id: &str, code: &str) -> BatchResultErrorEntry {
        let entry = BatchResultErrorEntry::builder().id(id).code(code).sender_fault(true);
        entry.build().unwrap()
    }

    #[test]
    fn entries_are_sent_again_unless_their_lease_is_over() {
        let failed = [
            failed("0", "ReceiptHandleIsInvalid"),
            failed("2", "InternalError"),
            failed("1", "AWS.SimpleQueueService.MessageNotInflight"),
        ];
        let (left, last) = again(&["a", "b", "c"], &failed);
        assert_eq!(left, ["c"]);
        assert_eq!(last.unwrap().code, "InternalError");
        assert_eq!(again(&["a", "b", "c"], &failed[..1]), (vec![], None));
    }
}
