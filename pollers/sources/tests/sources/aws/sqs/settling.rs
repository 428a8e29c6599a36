//! What verdicts do to messages and to their receive counts.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};
use trine_pollers::conformance::Subject as _;
use trine_pollers::{Opened, Places, Record, Settled, Verdict};

use super::{ELASTICMQ, MINISTACK, Queue};
use crate::aws::{PROMPT, open, receive, unique, want};
use crate::skip::server;

async fn settle(opened: &Opened, records: &[Record], verdict: Verdict) {
    let settled = |record: &Record| Settled { position: record.position.clone(), verdict };
    let verdicts = records.iter().map(settled).collect();
    opened.reader.settle(verdicts).await.expect("the source works");
}

/// A queue whose messages go to a dead-letter queue when they are received a second time, and that one.
async fn once_only(variable: &str) -> Option<(Queue, Queue)> {
    let endpoint = server(variable)?;
    let dead = Queue::make(&endpoint, &unique("dead"), json!({})).await;
    let policy = json!({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1}).to_string();
    let attributes = json!({"VisibilityTimeout": "4", "RedrivePolicy": policy});
    let queue = Queue::make(&endpoint, &unique("once"), attributes).await;
    Some((queue, dead))
}

/// A message that waits for a worker is held over many leases and is neither received again nor moved away; one that failed is.
async fn only_what_failed_goes_to_the_dead_letter_queue(queues: Option<(Queue, Queue)>) {
    let Some((mut queue, mut dead)) = queues else { return };
    queue.send("", "held").await;
    let (_source, opened) = open(&queue.connector(), Places::new()).await.expect("a queue");
    let lease = opened.lease.expect("a lease");
    assert_eq!(lease, Duration::from_secs(4));
    let (_dead_source, dead_letters) =
        open(&dead.connector(), Places::new()).await.expect("a queue");
    let held = receive(&opened, 1).await;
    let until = Instant::now() + lease * 3;
    while Instant::now() < until {
        settle(&opened, &held, Verdict::Held).await;
        // Asking is what would count against the message, and have it moved.
        let again = opened.reader.receive(want(10, Duration::from_secs(1))).await;
        assert!(again.expect("the source works").records.is_empty());
    }
    assert_eq!(dead.counts().await, (0, 0));
    settle(&opened, &held, Verdict::Done).await;
    assert_eq!(queue.counts().await, (0, 0), "it was settled after three leases");
    queue.send("", "failed").await;
    let failed = receive(&opened, 1).await;
    settle(&opened, &failed, Verdict::Failed).await;
    let moved = async {
        loop {
            // The queue looks at a message again when somebody asks for it.
            let again = opened.reader.receive(want(10, Duration::from_secs(1))).await;
            assert!(again.expect("the source works").records.is_empty());
            let moved = dead_letters.reader.receive(want(1, Duration::from_secs(1))).await;
            if let [moved] = &moved.expect("the source works").records[..] {
                return moved.clone();
            }
        }
    };
    let moved = timeout(PROMPT, moved).await.expect("what failed is moved");
    assert_eq!(&*moved.body, b"failed");
}

#[tokio::test]
async fn only_what_failed_goes_to_the_dead_letter_queue_ministack() {
    only_what_failed_goes_to_the_dead_letter_queue(once_only(MINISTACK).await).await;
}

#[tokio::test]
async fn only_what_failed_goes_to_the_dead_letter_queue_elasticmq() {
    only_what_failed_goes_to_the_dead_letter_queue(once_only(ELASTICMQ).await).await;
}

/// LS 4.5: a failed message reappears when its lease ends, not before; deleting it with the handle of the first receive, which has
/// expired, breaks nothing.
async fn a_failed_message_comes_again_after_its_lease(queue: Option<Queue>) {
    let Some(mut queue) = queue else { return };
    queue.send("g", "again").await;
    let (_source, opened) = open(&queue.connector(), Places::new()).await.expect("a queue");
    let lease = opened.lease.expect("a lease");
    let asked = Instant::now();
    let first = receive(&opened, 1).await;
    settle(&opened, &first, Verdict::Failed).await;
    let second = receive(&opened, 1).await;
    // Counted from before the receive, so the other way round it may be longer.
    assert!(asked.elapsed() >= lease - Duration::from_millis(100), "{:?}", asked.elapsed());
    assert_eq!(first[0].identifier, second[0].identifier);
    assert_ne!(first[0].position, second[0].position, "each receive has its handle");
    settle(&opened, &first, Verdict::Held).await;
    settle(&opened, &first, Verdict::Done).await;
    settle(&opened, &second, Verdict::Done).await;
    settle(&opened, &second, Verdict::Held).await;
    settle(&opened, &second, Verdict::Released).await;
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test]
async fn a_failed_message_comes_again_after_its_lease_ministack() {
    a_failed_message_comes_again_after_its_lease(Queue::standard(MINISTACK).await).await;
}

#[tokio::test]
async fn a_failed_message_comes_again_after_its_lease_elasticmq() {
    a_failed_message_comes_again_after_its_lease(Queue::standard(ELASTICMQ).await).await;
}

#[tokio::test]
async fn a_failed_fifo_message_comes_again_after_its_lease_ministack() {
    a_failed_message_comes_again_after_its_lease(Queue::fifo(MINISTACK).await).await;
}

/// A group waits for its message in flight; other groups do not.
async fn a_group_waits_for_its_message_in_flight(queue: Option<Queue>) {
    let Some(mut queue) = queue else { return };
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        queue.send(group, body).await;
    }
    let (_source, opened) = open(&queue.connector(), Places::new()).await.expect("a queue");
    let mut first = receive(&opened, 1).await;
    assert_eq!(&*first[0].body, b"a1");
    let other = receive(&opened, 1).await;
    assert_eq!(&*other[0].body, b"b1");
    settle(&opened, &other, Verdict::Done).await;
    // Released, it comes again before the later ones of its group.
    settle(&opened, &first, Verdict::Released).await;
    for expected in ["a1", "a2", "a3"] {
        first = receive(&opened, 1).await;
        assert_eq!(&*first[0].body, expected.as_bytes());
        settle(&opened, &first, Verdict::Done).await;
    }
}

#[tokio::test]
async fn a_group_waits_for_its_message_in_flight_ministack() {
    a_group_waits_for_its_message_in_flight(Queue::fifo(MINISTACK).await).await;
}

#[tokio::test]
async fn a_group_waits_for_its_message_in_flight_elasticmq() {
    a_group_waits_for_its_message_in_flight(Queue::fifo(ELASTICMQ).await).await;
}

/// More than one batch of verdicts, of several kinds, in one settle.
async fn many_verdicts_are_settled_at_once(queue: Option<Queue>) {
    let Some(mut queue) = queue else { return };
    for number in 0..57 {
        queue.send("", &number.to_string()).await;
    }
    let (_source, opened) = open(&queue.connector(), Places::new()).await.expect("a queue");
    let records = receive(&opened, 57).await;
    let verdict = |at: usize| [Verdict::Done, Verdict::Released, Verdict::Held][at % 3];
    let settled = |(at, record): (usize, &Record)| Settled {
        position: record.position.clone(),
        verdict: verdict(at),
    };
    let verdicts = records.iter().enumerate().map(settled).collect();
    opened.reader.settle(verdicts).await.expect("the source works");
    assert_eq!(queue.counts().await, (19, 19), "19 released, 19 held, 19 gone");
}

#[tokio::test]
async fn many_verdicts_are_settled_at_once_ministack() {
    many_verdicts_are_settled_at_once(Queue::standard(MINISTACK).await).await;
}

#[tokio::test]
async fn many_verdicts_are_settled_at_once_elasticmq() {
    many_verdicts_are_settled_at_once(Queue::standard(ELASTICMQ).await).await;
}
