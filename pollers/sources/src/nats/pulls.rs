//! Requests for messages of a consumer: one at a time, each as the consumer allows it, and how it ended. It does not know what becomes of the
//! messages.

use std::time::Duration;

use async_nats::jetstream::consumer::{Config, Info};
use async_nats::{Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;
use trine_poll_engine::BATCH_BYTES_MAX;

use super::link::Link;
use crate::{SourceError, Want};

/// Most messages of one request, well below what the client library keeps for a subscription.
const PULLED_MAX: u32 = 10_000;

/// How much later than asked the server may say that there was nothing.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// What asks, over one connection.
#[derive(Debug)]
pub(super) struct Pulls {
    /// Where requests go.
    subject: Subject,
    inbox: String,
    messages: Subscriber,
    /// Of the last request: answers to earlier ones mean nothing.
    number: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is no more now, or all came that was asked for.
    Served,
    /// The next message is larger than all that was asked for.
    TooSmall,
}

impl Pulls {
    pub(super) async fn open(link: &Link, info: &Info) -> Result<Self, SourceError> {
        let inbox = link.client.new_inbox();
        let subscribed = link.client.subscribe(format!("{inbox}.*")).await;
        let messages = subscribed.map_err(|error| {
            SourceError::unreachable(format!("the NATS server takes no subscription: {error}"))
        })?;
        let (stream, consumer) = (&info.stream_name, &info.name);
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into();
        Ok(Self { subject, inbox, messages, number: 0 })
    }

    /// One request, and all that comes of it.
    pub(super) async fn ask(
        &mut self,
        link: &Link,
        asked: Asked,
        mut took: impl FnMut(Message),
    ) -> Result<End, SourceError> {
        self.number += 1;
        let reply = Subject::from(format!("{}.{}", self.inbox, self.number));
        let request =
            link.client.publish_with_reply(self.subject.clone(), reply.clone(), asked.json());
        request.await.map_err(|error| {
            SourceError::unreachable(format!("a request for messages could not be sent: {error}"))
        })?;
        let answers = timeout(asked.expires + ANSWER_GRACE, async {
            for _ in 0..asked.batch {
                if let Some(end) = self.answer(&reply, &mut took).await? {
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
            error = link.trouble() => Err(error),
        }
    }

    /// The next message, or how the request ended.
    async fn answer(
        &mut self,
        reply: &Subject,
        took: &mut impl FnMut(Message),
    ) -> Result<Option<End>, SourceError> {
        loop {
            let gone = || SourceError::unreachable("the NATS client has ended");
            let message = self.messages.next().await.ok_or_else(gone)?;
            let Some(status) = message.status else {
                took(message);
                return Ok(None);
            };
            if message.subject == *reply && status != StatusCode::IDLE_HEARTBEAT {
                return ended(status, message.description.as_deref().unwrap_or_default()).map(Some);
            }
        }
    }
}

/// What the consumer allows a request to ask for. 0: anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    batch: u64,
    pub(super) bytes: u64,
    expires: Duration,
    /// Below 1: any number.
    pub(super) ack_pending: i64,
}

impl Limits {
    pub(super) fn of(config: &Config) -> Self {
        let at_least_none = |limit: i64| u64::try_from(limit).unwrap_or(0);
        Self {
            batch: at_least_none(config.max_batch),
            bytes: at_least_none(config.max_bytes),
            expires: config.max_expires,
            ack_pending: config.max_ack_pending,
        }
    }
}

/// One request as the consumer allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    batch: u64,
    expires: Duration,
    /// 0: any number.
    bytes: u64,
}

impl Asked {
    pub(super) fn new(want: Want, limits: Limits) -> Self {
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

    /// A request that the server does not end in the middle of what comes again: it would put the message that it has in hand behind
    /// the others. So none that is bounded in bytes; as few messages as fit whatever they are.
    pub(super) fn for_redelivery(want: Want, limits: Limits, message_bytes_max: usize) -> Self {
        let message_bytes_max = u64::try_from(message_bytes_max).unwrap_or(u64::MAX).max(1);
        let fitting = u32::try_from(want.bytes_max / message_bytes_max).unwrap_or(u32::MAX);
        let records_max = want.records_max.min(fitting).max(1);
        let asked = Self::new(Want { records_max, bytes_max: u64::MAX, ..want }, limits);
        Self { bytes: 0, ..asked }
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
    fn what_comes_again_is_asked_for_in_messages_and_never_in_bytes() {
        let asked = |want, limits| Asked::for_redelivery(want, limits, 1 << 20);
        let tight = Limits { batch: 5, bytes: 1_000, expires: Duration::from_secs(1), ..NONE };
        let second = Duration::from_secs(1);
        for (bytes_max, limits, batch) in
            [(4 << 20, NONE, 4), (1, NONE, 1), (u64::MAX, NONE, 100), (u64::MAX, tight, 5)]
        {
            let expected = Asked { batch, expires: second, bytes: 0 };
            assert_eq!(asked(want(100, bytes_max, 1), limits), expected);
        }
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
