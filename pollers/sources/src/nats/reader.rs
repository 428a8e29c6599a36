//! Reads a consumer: one pull request a receive, which ends with it. So the server never has a request open that nobody waits for, and
//! gives nothing that the runner did not ask for.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use trine_poll_engine::BATCH_BYTES_MAX;

use super::consumer::Consumer;
use super::delivery::Delivery;
use super::event::EventWriter;
use super::link::Link;
use super::settle::{Confirm, payload};
use crate::clock::Clock;
use crate::in_hand::InHand;
use crate::{
    Content, Position, Reader, Received, Record, Settled, SourceError, Unit, Verdict, Want,
};

/// Most messages of one request, well below what the client library keeps for a subscription.
const PULLED_MAX: u32 = 10_000;

/// How much later than asked the server may say that there was nothing.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// The consumer of one connection.
#[derive(Debug)]
pub(crate) struct ConsumerReader {
    link: Link,
    events: EventWriter,
    in_hand: Arc<InHand<u64>>,
    limits: Limits,
    confirm: Confirm,
    /// Where requests for messages go.
    pull_subject: Subject,
    pulls: Mutex<Pulls>,
    clock: Clock,
    /// Not before this, milliseconds since the Unix epoch: older messages are still out to somebody who is gone.
    read_from_ms: u64,
}

/// What the consumer allows a request to ask for. 0: anything.
#[derive(Clone, Copy, Debug)]
struct Limits {
    batch: u64,
    bytes: u64,
    expires: Duration,
    /// Below 1: any number.
    ack_pending: i64,
}

#[derive(Debug)]
struct Pulls {
    inbox: String,
    messages: Subscriber,
    /// Of the last request: answers to earlier ones mean nothing.
    number: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There is no more now, or all came that was asked for.
    Served,
    /// The next message is larger than all that was asked for.
    TooSmall,
}

impl ConsumerReader {
    /// Takes back what is out to somebody who is gone, so that it comes first.
    pub(crate) async fn open(
        link: Link,
        consumer: &Consumer,
        in_hand: Arc<InHand<u64>>,
        clock: Clock,
    ) -> Result<Self, SourceError> {
        let (info, now_ms) = (&consumer.info, clock.now_ms());
        let mut read_from_ms = 0;
        if !link.reclaim(consumer, |sequence| in_hand.holds(sequence, now_ms)).await? {
            let lease_ms = u64::try_from(consumer.lease.as_millis()).unwrap_or(u64::MAX);
            read_from_ms = now_ms.saturating_add(lease_ms);
        }
        let inbox = link.client.new_inbox();
        let subscribed = link.client.subscribe(format!("{inbox}.*")).await;
        let messages = subscribed.map_err(|error| {
            SourceError::unreachable(format!("the NATS server takes no subscription: {error}"))
        })?;
        let config = &info.config;
        let at_least_none = |limit: i64| u64::try_from(limit).unwrap_or(0);
        Ok(Self {
            events: EventWriter::new(&info.stream_name, &info.name),
            limits: Limits {
                batch: at_least_none(config.max_batch),
                bytes: at_least_none(config.max_bytes),
                expires: config.max_expires,
                ack_pending: config.max_ack_pending,
            },
            confirm: Confirm::of(consumer),
            pull_subject: format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", info.stream_name, info.name)
                .into(),
            pulls: Mutex::new(Pulls { inbox, messages, number: 0 }),
            link,
            in_hand,
            clock,
            read_from_ms,
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
        let end = self.request(pulls, want, &mut pulled).await?;
        if end == End::TooSmall && pulled.records.is_empty() {
            let one = Want { records_max: 1, bytes_max: u64::MAX, ..want };
            if self.request(pulls, one, &mut pulled).await? == End::TooSmall {
                let limit = self.limits.bytes;
                return Err(SourceError::configuration(format!(
                    "the next message is larger than the consumer gives with one request (max_bytes {limit}): raise that"
                )));
            }
        }
        Ok(pulled)
    }

    /// One request, and all that comes of it.
    async fn request(
        &self,
        pulls: &mut Pulls,
        want: Want,
        pulled: &mut Pulled,
    ) -> Result<End, SourceError> {
        let asked = Asked::new(want, self.limits);
        pulls.number += 1;
        let reply = Subject::from(format!("{}.{}", pulls.inbox, pulls.number));
        let request = self.link.client.publish_with_reply(
            self.pull_subject.clone(),
            reply.clone(),
            asked.json(),
        );
        request.await.map_err(|error| {
            SourceError::unreachable(format!("a request for messages could not be sent: {error}"))
        })?;
        // One look at the clock a request: a record whose lease ends while it waits counts as held, and comes again once more.
        let now_ms = self.clock.now_ms();
        let answers = timeout(asked.expires + ANSWER_GRACE, async {
            for _ in 0..asked.batch {
                let answer = self.answer(&mut pulls.messages, &reply, now_ms, pulled);
                if let Some(end) = answer.await? {
                    return Ok(end);
                }
            }
            Ok(End::Served)
        });
        tokio::select! {
            biased;
            end = answers => end.map_err(|_| SourceError::unreachable(
                "the NATS server did not answer a request for messages in time",
            ))?,
            error = self.link.trouble() => Err(error),
        }
    }

    /// The next message, or how the request ended.
    async fn answer(
        &self,
        messages: &mut Subscriber,
        reply: &Subject,
        now_ms: u64,
        pulled: &mut Pulled,
    ) -> Result<Option<End>, SourceError> {
        loop {
            let gone = || SourceError::unreachable("the NATS client has ended");
            let message = messages.next().await.ok_or_else(gone)?;
            if let Some(status) = message.status {
                if message.subject != *reply || status == StatusCode::IDLE_HEARTBEAT {
                    continue;
                }
                return ended(status, message.description.as_deref().unwrap_or_default()).map(Some);
            }
            if let Some(record) = self.record(message, now_ms, pulled) {
                pulled.records.push(record);
            }
            return Ok(None);
        }
    }

    /// The record of a message; `None` if the runner has it: its lease was over, and starts anew with this delivery.
    fn record(&self, message: Message, now_ms: u64, pulled: &mut Pulled) -> Option<Record> {
        let Message { subject, reply, payload, headers, .. } = message;
        let reply = reply?;
        let delivery = Delivery::of(&reply)?;
        pulled.pending = Some(delivery.pending);
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
}

/// One request as the consumer allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    batch: u64,
    expires: Duration,
    /// 0: any number.
    bytes: u64,
}

impl Asked {
    fn new(want: Want, limits: Limits) -> Self {
        let within = |asked: u64, limit: u64| if limit == 0 { asked } else { asked.min(limit) };
        let expires = match limits.expires {
            Duration::ZERO => want.wait,
            limit => want.wait.min(limit),
        };
        // As an event a message is a third longer.
        let bytes = if want.bytes_max >= BATCH_BYTES_MAX * 16 { 0 } else { want.bytes_max / 4 * 3 };
        Self {
            batch: within(u64::from(want.records_max.min(PULLED_MAX)), limits.batch),
            expires,
            bytes: if bytes == 0 { limits.bytes } else { within(bytes, limits.bytes) },
        }
    }

    /// With both no_wait and expires the server waits for the first message and then gives what there is, without waiting for more.
    fn json(&self) -> Bytes {
        let Self { batch, expires, bytes } = *self;
        let mut json = format!("{{\"batch\":{batch},\"no_wait\":true");
        for (name, value) in [("expires", expires.as_nanos()), ("max_bytes", u128::from(bytes))] {
            if value > 0 {
                json.push_str(&format!(",\"{name}\":{value}"));
            }
        }
        json.push('}');
        json.into()
    }
}

/// How a request ended that the server answered with a status.
fn ended(status: StatusCode, says: &str) -> Result<End, SourceError> {
    let about = says.to_ascii_lowercase();
    let is = |text: &str| about.contains(text);
    match status.as_u16() {
        404 | 408 => Ok(End::Served),
        409 if is("message size exceeds maxbytes") => Ok(End::TooSmall),
        409 if is("batch completed") || is("maxackpending") => Ok(End::Served),
        409 if is("exceeded maxrequest") || is("push") => Err(SourceError::configuration(format!(
            "the consumer does not allow the request: {says}; it may have been changed"
        ))),
        _ => Err(SourceError::unreachable(format!(
            "the NATS server ended a request for messages: {} {says}",
            status.as_u16()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Limits = Limits { batch: 0, bytes: 0, expires: Duration::ZERO, ack_pending: 0 };

    fn want(records_max: u32, bytes_max: u64, seconds: u64) -> Want {
        Want { records_max, bytes_max, wait: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_request_asks_for_what_is_wanted_as_far_as_the_consumer_allows_it() {
        let json =
            |want, limits| String::from_utf8(Asked::new(want, limits).json().to_vec()).unwrap();
        assert_eq!(
            json(want(100, 1 << 20, 2), NONE),
            "{\"batch\":100,\"no_wait\":true,\"expires\":2000000000,\"max_bytes\":786432}"
        );
        assert_eq!(json(want(20_000, u64::MAX, 0), NONE), "{\"batch\":10000,\"no_wait\":true}");
        let tight = Limits { batch: 5, bytes: 1_000, expires: Duration::from_secs(1), ..NONE };
        assert_eq!(
            json(want(100, u64::MAX, 2), tight),
            "{\"batch\":5,\"no_wait\":true,\"expires\":1000000000,\"max_bytes\":1000}"
        );
    }

    #[test]
    fn statuses_end_a_request_or_the_connection() {
        let status = |code: u16| StatusCode::from_u16(code).unwrap();
        assert_eq!(ended(status(404), "No Messages"), Ok(End::Served));
        assert_eq!(ended(status(408), "Request Timeout"), Ok(End::Served));
        assert_eq!(ended(status(409), "Message Size Exceeds MaxBytes"), Ok(End::TooSmall));
        for says in ["Consumer Deleted", "Leadership Change", "Server Shutdown"] {
            assert!(ended(status(409), says).unwrap_err().to_string().contains(says));
        }
        assert!(ended(status(503), "").is_err());
    }
}
