//! Reads a consumer: one request for messages a receive, which ends with it. So the server never has a request open that nobody waits for,
//! and gives nothing that the runner did not ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::sleep;
use trine_poll_engine::BATCH_BYTES_MAX;

use super::consumer::Consumer;
use super::delivery::Delivery;
use super::event::EventWriter;
use super::link::Link;
use super::pulls::{Asked, End, Limits, Pulls};
use super::reclaim::Reclaimed;
use super::settle::{Confirm, payload};
use crate::clock::Clock;
use crate::in_hand::InHand;
use crate::{
    Content, Position, Reader, Received, Record, Settled, SourceError, Unit, Verdict, Want,
};

/// Shortest wait for what comes again. It is there at once; a request that ends before all of it came would break its order.
const AGAIN_WAIT: Duration = Duration::from_secs(1);

/// The consumer of one connection.
#[derive(Debug)]
pub(crate) struct ConsumerReader {
    link: Link,
    events: EventWriter,
    in_hand: Arc<InHand<u64>>,
    limits: Limits,
    confirm: Confirm,
    pulls: Mutex<Pulls>,
    clock: Clock,
    /// Not before this, milliseconds since the Unix epoch: older messages are still out to somebody who is gone.
    read_from_ms: u64,
    /// The newest message that may come again; 0 when all of them have.
    again_through: AtomicU64,
}

impl ConsumerReader {
    /// Takes back what is out to somebody who is gone, so that it comes first.
    pub(crate) async fn open(
        link: Link,
        consumer: &Consumer,
        in_hand: Arc<InHand<u64>>,
        clock: Clock,
    ) -> Result<Self, SourceError> {
        let info = &consumer.info;
        let mut pulls = Pulls::open(&link, info).await?;
        let now_ms = clock.now_ms();
        let held = |sequence| in_hand.holds(sequence, now_ms);
        let (read_from_ms, again_through) = match link.reclaim(consumer, &mut pulls, held).await? {
            Reclaimed::Now(through) => (0, through),
            Reclaimed::Later(through) => {
                let lease_ms = u64::try_from(consumer.lease.as_millis()).unwrap_or(u64::MAX);
                (clock.now_ms().saturating_add(lease_ms), through)
            }
        };
        Ok(Self {
            events: EventWriter::new(&info.stream_name, &info.name),
            limits: Limits::of(&info.config),
            confirm: Confirm::of(consumer),
            pulls: Mutex::new(pulls),
            link,
            in_hand,
            clock,
            read_from_ms,
            again_through: AtomicU64::new(again_through),
        })
    }

    /// Waits until the connection broke, and no receive is under way: whatever one has brought is told before this.
    pub(crate) async fn broken(&self) -> SourceError {
        let error = self.link.trouble().await;
        drop(self.pulls.lock().await);
        error
    }

    async fn pull(&self, pulls: &mut Pulls, want: Want) -> Result<Pulled, SourceError> {
        let mut pulled = Pulled::default();
        let through = self.again_through.load(Relaxed);
        if through > 0 {
            self.pull_again(pulls, want, through, &mut pulled).await?;
            return Ok(pulled);
        }
        let end = self.request(pulls, Asked::new(want, self.limits), &mut pulled).await?;
        if end == End::TooSmall && pulled.records.is_empty() {
            let one = Want { records_max: 1, bytes_max: u64::MAX, ..want };
            let one = Asked::new(one, self.limits);
            if self.request(pulls, one, &mut pulled).await? == End::TooSmall {
                let limit = self.limits.bytes;
                return Err(SourceError::configuration(format!(
                    "the next message is larger than the consumer gives with one request (max_bytes {limit}): raise that"
                )));
            }
        }
        Ok(pulled)
    }

    /// Some of what comes again, in a request that keeps its order: however much there is, a receive has to end in time.
    async fn pull_again(
        &self,
        pulls: &mut Pulls,
        want: Want,
        through: u64,
        pulled: &mut Pulled,
    ) -> Result<(), SourceError> {
        let want = Want { wait: want.wait.max(AGAIN_WAIT), ..want };
        let message_bytes_max = self.link.client.server_info().max_payload;
        let asked = Asked::for_redelivery(want, self.limits, message_bytes_max);
        self.request(pulls, asked, pulled).await?;
        if pulled.newest.is_none_or(|newest| newest > through) {
            // Unless more was given back meanwhile.
            let _ = self.again_through.compare_exchange(through, 0, Relaxed, Relaxed);
        }
        Ok(())
    }

    /// One request, and all that comes of it.
    async fn request(
        &self,
        pulls: &mut Pulls,
        asked: Asked,
        pulled: &mut Pulled,
    ) -> Result<End, SourceError> {
        // One look at the clock a request: a record whose lease ends while it waits counts as held, and comes again once more.
        let now_ms = self.clock.now_ms();
        let took = |message| {
            if let Some(record) = self.record(message, now_ms, pulled) {
                pulled.records.push(record);
            }
        };
        pulls.ask(&self.link, asked, took).await
    }

    /// The record of a message; `None` if the runner has it: its lease was over, and starts anew with this delivery.
    fn record(&self, message: Message, now_ms: u64, pulled: &mut Pulled) -> Option<Record> {
        let Message { subject, reply, payload, headers, .. } = message;
        let reply = reply?;
        let delivery = Delivery::of(&reply)?;
        pulled.pending = Some(delivery.pending);
        pulled.newest = pulled.newest.max(Some(delivery.stream_sequence));
        if self.in_hand.holds(delivery.stream_sequence, now_ms) {
            return None;
        }
        let event = self.events.event(&subject, &delivery, headers.as_ref(), &payload);
        let (body, content) = match event.len() as u64 {
            bytes if bytes > BATCH_BYTES_MAX => (Bytes::new(), Content::TooLarge(bytes)),
            _ => (payload, Content::Event(event)),
        };
        pulled.sequences.push(delivery.stream_sequence);
        Some(Record {
            position: Position::new(&reply),
            identifier: delivery.stream_sequence.to_string().into(),
            arrived_at_ms: Some(delivery.stored_at_ms()),
            key: Some(Bytes::copy_from_slice(subject.as_bytes())),
            body,
            content,
        })
    }

    /// Messages that come after the ones that are out. Nothing came although something is there, if too many are out.
    fn lag(&self, pulled: &Pulled) -> Option<u64> {
        let full = i64::try_from(self.in_hand.count()).unwrap_or(i64::MAX);
        match pulled.pending {
            Some(pending) => Some(pending),
            None if self.limits.ack_pending > 0 && full >= self.limits.ack_pending => None,
            None => Some(0),
        }
    }
}

impl Reader for ConsumerReader {
    fn receive(&self, want: Want) -> Unit<'_, Received> {
        Box::pin(async move {
            let early_ms = self.read_from_ms.saturating_sub(self.clock.now_ms());
            if early_ms > 0 {
                let wait = want.wait.min(Duration::from_millis(early_ms));
                tokio::select! {
                    () = sleep(wait) => return Ok(Received::default()),
                    error = self.link.trouble() => return Err(error),
                }
            }
            let mut pulls = self.pulls.lock().await;
            let pulled = self.pull(&mut pulls, want).await?;
            let lag_records = self.lag(&pulled);
            // Somebody may act on that already, and expect nothing of this connection any more.
            if !self.link.is_fine() {
                return Err(self.link.trouble().await);
            }
            // From here on nothing is waited for: what is noted as given is given.
            let Pulled { mut records, sequences, .. } = pulled;
            let now_ms = self.clock.now_ms();
            let mut new = sequences.into_iter().map(|sequence| self.in_hand.give(sequence, now_ms));
            records.retain(|_| new.next().unwrap_or(false));
            Ok(Received { records, lag_records, ..Received::default() })
        })
    }

    fn settle(&self, verdicts: Vec<Settled>) -> Unit<'_, ()> {
        Box::pin(async move {
            let mut settled = Vec::with_capacity(verdicts.len());
            for Settled { position, verdict } in verdicts {
                let delivery = Delivery::of(position.as_str()).ok_or_else(|| {
                    let says = format!("{position} is no position of a NATS message");
                    SourceError::configuration(says)
                })?;
                settled.push((delivery.stream_sequence, position, verdict));
            }
            let now_ms = self.clock.now_ms();
            // What is given back comes again in the order in which it is given back.
            settled.sort_by_key(|(sequence, ..)| *sequence);
            let of = |wanted: fn(Verdict) -> bool| {
                let of = settled.iter().filter(move |(.., verdict)| wanted(*verdict));
                of.map(|(sequence, ..)| *sequence)
            };
            let newest = of(|v| matches!(v, Verdict::Released | Verdict::Failed)).max();
            self.again_through.fetch_max(newest.unwrap_or(0), Relaxed);
            // It may come again before its acknowledgement is confirmed.
            self.in_hand.take_back(of(|v| matches!(v, Verdict::Released | Verdict::Failed)));
            let acks = settled.iter().map(|(_, position, verdict)| {
                (Subject::from(position.as_str()), payload(*verdict))
            });
            let acknowledged = self.link.acknowledge(acks.collect(), self.confirm).await;
            // A runner that reads nothing, because nothing can be settled, would not learn of it otherwise.
            acknowledged.inspect_err(|error| self.link.give_up(error))?;
            self.in_hand.take_back(of(|v| matches!(v, Verdict::Done | Verdict::Rejected)));
            self.in_hand.extended(of(|v| v == Verdict::Held), now_ms);
            Ok(())
        })
    }

    fn commit(&self, _through: Position) -> Unit<'_, ()> {
        Box::pin(async {
            Err(SourceError::configuration(
                "a consumer is settled message by message; this is a defect of the runner",
            ))
        })
    }

    fn finish(&self) {}
}

/// What requests have brought.
#[derive(Debug, Default)]
struct Pulled {
    records: Vec<Record>,
    /// Of each record.
    sequences: Vec<u64>,
    /// Messages after the last one that came.
    pending: Option<u64>,
    /// The last in the stream of those that came, whoever has it.
    newest: Option<u64>,
}
