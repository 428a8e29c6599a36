//! When a queue is asked for messages, and for how many. What is asked for is in `queue`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::Message;
use futures_util::future::join_all;
use tokio::sync::{Mutex, oneshot};
use tokio::time::sleep_until;

use super::queue::{Answer, BATCH_MAX, Queue};
use super::settle::settle;
use crate::clock::Clock;
use crate::{
    Notice, Position, Reader, Received, Record, Settled, SourceError, Unit, Verdict, Want,
};

/// Most receives at a time: 200 messages a round.
const CALLS_MAX: usize = 20;
/// How often the queue is asked how many messages wait in it.
const LAG_EVERY_MS: u64 = 15_000;
/// How long a queue is left alone that wants to be asked less often.
const THROTTLE_WAIT_MS: u64 = 1_000;

/// Reads one queue.
pub(super) struct QueueReader {
    queue: Arc<Queue>,
    pace: Arc<Pace>,
}

/// What is known of the queue from the last receives.
struct Pace {
    clock: Clock,
    /// The last receive brought as much as it asked for: the next one asks for all at once, and does not wait.
    full: AtomicBool,
    lag: Mutex<Lag>,
}

#[derive(Default)]
struct Lag {
    /// By the clock; 0 if it never was.
    asked_ms: u64,
    records: Option<u64>,
}

impl QueueReader {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        let (full, lag) = (AtomicBool::new(false), Mutex::default());
        Self { queue, pace: Arc::new(Pace { clock: Clock::start(), full, lag }) }
    }
}

impl Reader for QueueReader {
    /// Runs in a task of its own: what a long poll brings after nobody waits for it any more is given back at once. Without that it
    /// would stay hidden for a whole lease.
    fn receive(&self, want: Want) -> Unit<'_, Received> {
        Box::pin(async move {
            let (queue, pace) = (Arc::clone(&self.queue), Arc::clone(&self.pace));
            let (tell, told) = oneshot::channel();
            tokio::spawn(async move {
                let received = receive(&queue, &pace, want, &tell).await;
                if let Err(Ok(received)) = tell.send(received) {
                    give_back(&queue, received).await;
                }
            });
            told.await.unwrap_or_else(|_| {
                Err(SourceError::unreachable("the task that reads the queue ended early"))
            })
        })
    }

    fn settle(&self, verdicts: Vec<Settled>) -> Unit<'_, ()> {
        Box::pin(async move { settle(&self.queue, &verdicts).await })
    }

    fn commit(&self, _: Position) -> Unit<'_, ()> {
        // Never called: each message is settled by itself.
        Box::pin(async { Ok(()) })
    }

    fn finish(&self) {}
}

type Tell = oneshot::Sender<Result<Received, SourceError>>;

async fn receive(
    queue: &Queue,
    pace: &Pace,
    want: Want,
    tell: &Tell,
) -> Result<Received, SourceError> {
    let lag_records = pace.lag(queue).await;
    let clock = pace.clock;
    let wait_ms = u64::try_from(want.wait.as_millis()).unwrap_or(u64::MAX);
    let until_ms = clock.now_ms().saturating_add(wait_ms);
    let mut taken = Taken::new(want);
    loop {
        let full = pace.full.load(Ordering::Relaxed);
        let round = if full || !taken.records.is_empty() {
            several(queue, taken.left()).await
        } else {
            let left_ms = until_ms.saturating_sub(clock.now_ms());
            one(queue, taken.left(), Duration::from_millis(left_ms)).await
        };
        let round = match round {
            // What came before is not lost for it; the next receive meets the same.
            Err(_) if !taken.records.is_empty() => break,
            round => round?,
        };
        taken.add(queue, round.messages);
        pace.full.store(round.full, Ordering::Relaxed);
        taken.notices.extend(round.throttled.map(|message| Notice { message, gap: false }));
        let more = round.full && taken.left() > 0 && taken.bytes < want.bytes_max;
        let over = tell.is_closed() || clock.now_ms() >= until_ms;
        if (!taken.records.is_empty() && !more) || over {
            break;
        }
        if !taken.notices.is_empty() {
            let again_ms = until_ms.min(clock.now_ms() + THROTTLE_WAIT_MS);
            sleep_until(clock.at(again_ms)).await;
        }
    }
    let Taken { records, notices, .. } = taken;
    Ok(Received { records, ended: false, lag_records, notices })
}

async fn give_back(queue: &Queue, received: Received) {
    let released =
        |record: Record| Settled { position: record.position, verdict: Verdict::Released };
    let verdicts: Vec<_> = received.records.into_iter().map(released).collect();
    if let Err(error) = settle(queue, &verdicts).await {
        tracing::debug!(%error, "messages that nobody waits for come again when their lease ends");
    }
}

/// What some requests brought together.
struct Round {
    messages: Vec<Message>,
    /// As many as were asked for.
    full: bool,
    throttled: Option<String>,
}

/// One request that waits.
async fn one(queue: &Queue, left: usize, wait: Duration) -> Result<Round, SourceError> {
    // Whole seconds only; rounded down, a short wait would be none.
    let wait_seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let asked = left.min(BATCH_MAX);
    round(asked, vec![queue.receive(asked, wait_seconds).await])
}

/// As many requests at a time as the rest takes, that do not wait.
async fn several(queue: &Queue, left: usize) -> Result<Round, SourceError> {
    let asked = left.min(CALLS_MAX * BATCH_MAX);
    let sizes = (0..asked).step_by(BATCH_MAX).map(|before| (asked - before).min(BATCH_MAX));
    round(asked, join_all(sizes.map(|size| queue.receive(size, 0))).await)
}

fn round(asked: usize, answers: Vec<Result<Answer, SourceError>>) -> Result<Round, SourceError> {
    let mut round = Round { messages: Vec::new(), full: false, throttled: None };
    let mut failed = None;
    for answer in answers {
        match answer {
            Ok(Answer::Messages(messages)) => round.messages.extend(messages),
            Ok(Answer::Throttled(says)) => round.throttled = Some(says),
            Err(error) => failed = Some(error),
        }
    }
    round.full = round.messages.len() == asked;
    match failed {
        Some(error) if round.messages.is_empty() => Err(error),
        _ => Ok(round),
    }
}

/// What a receive has so far.
struct Taken {
    records_max: usize,
    records: Vec<Record>,
    bytes: u64,
    notices: Vec<Notice>,
}

impl Taken {
    fn new(want: Want) -> Self {
        let records_max = usize::try_from(want.records_max).unwrap_or(usize::MAX);
        Self { records_max, records: Vec::new(), bytes: 0, notices: Vec::new() }
    }

    fn left(&self) -> usize {
        self.records_max.saturating_sub(self.records.len())
    }

    fn add(&mut self, queue: &Queue, messages: Vec<Message>) {
        let records = messages.into_iter().filter_map(|message| queue.events.record(message));
        for record in records {
            self.bytes += record.content.bytes();
            self.records.push(record);
        }
    }
}

impl Pace {
    /// Messages that waited in the queue, as of at most [`LAG_EVERY_MS`] ago.
    async fn lag(&self, queue: &Queue) -> Option<u64> {
        let mut lag = self.lag.lock().await;
        let now_ms = self.clock.now_ms();
        if now_ms >= lag.asked_ms + LAG_EVERY_MS {
            // What is wrong with the queue is told by the receive that follows; a number is not worth a connection.
            lag.records = queue.waiting().await.unwrap_or(None);
            lag.asked_ms = now_ms;
        }
        lag.records
    }
}
