//! Takes back what a consumer has out and nobody holds any more, so that it comes again at once, in the order of the stream and before
//! anything new. It does not know who had it.
//!
//! JetStream redelivers in the order in which messages came back to it. Those that a poller gives back come in the order in which it
//! says so; but they come behind those that the server itself took back, because whoever had asked for them was gone when they
//! should have left. So those are taken out first, and then all are given back together.

use std::time::Duration;

use async_nats::jetstream::consumer::Info;
use async_nats::{Subject, Subscriber};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::consumer::Consumer;
use super::delivery::{Delivery, ack_subject};
use super::link::Link;
use super::settle::{Confirm, NAK, gone, unsent};
use crate::SourceError;

/// Messages between the oldest and the newest that may be out, up to which each of them is asked for again.
const SPAN_MAX: u64 = 200_000;

/// Longest wait for the requests of whoever is gone: a poller's own end after five seconds.
const REQUESTS_END_WAIT: Duration = Duration::from_secs(6);

/// How often it is asked whether they have ended. Most end with the connection, which the server notices at once.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Messages that are taken out with one request, once it is known that there are some.
const TAKEN_TOGETHER: i64 = 100;

/// How long the server keeps such a request when there is nothing to give. Without that it would keep one for ever where new messages wait
/// for others to be acknowledged.
const TAKE_EXPIRES: Duration = Duration::from_millis(100);

/// Longest wait for the answer to such a request.
const TAKE_WAIT: Duration = Duration::from_secs(5);

impl Link {
    /// Has the server deliver at once, in order and before anything else, what it has given to somebody who is gone: an earlier process, or
    /// a connection that broke on the way. False if that is more than can be asked for; then each comes when its lease is over.
    pub(super) async fn reclaim(
        &self,
        consumer: &Consumer,
        held: impl Fn(u64) -> bool,
    ) -> Result<bool, SourceError> {
        let info = self.unasked(&consumer.info).await?;
        // A message that may be delivered once never comes again, whatever is said.
        if info.num_ack_pending == 0 || info.config.max_deliver == 1 {
            return Ok(true);
        }
        if span(&info).all(&held) {
            return Ok(true);
        }
        self.take_out(&info).await?;
        let info = self.info_again(&info).await?;
        if span(&info).count() as u64 > SPAN_MAX {
            return Ok(false);
        }
        let subject = |sequence| {
            let consumer_sequence = info.delivered.consumer_sequence;
            ack_subject(&info.stream_name, &info.name, sequence, consumer_sequence)
        };
        // Those that are not out are no harm: the server goes by what is.
        let out = span(&info).filter(|sequence| !held(*sequence));
        let acks = out.map(|sequence| (subject(sequence).into(), NAK)).collect();
        self.acknowledge(acks, Confirm::of(consumer)).await?;
        Ok(true)
    }

    /// The consumer as it is once nobody asks it for messages: what is redelivered while the request of somebody who is gone is open
    /// would go to them. Gives up on requests that do not end, which are of a living reader that should not be there.
    async fn unasked(&self, info: &Info) -> Result<Info, SourceError> {
        let ended = timeout(REQUESTS_END_WAIT, async {
            let mut info = info.clone();
            while info.num_waiting > 0 {
                sleep(LOOK_EVERY).await;
                info = self.info_again(&info).await?;
            }
            Ok(info)
        });
        match ended.await {
            Ok(info) => info,
            Err(_) => self.info_again(info).await,
        }
    }

    async fn info_again(&self, info: &Info) -> Result<Info, SourceError> {
        self.consumer_info(&info.stream_name, &info.name).await?.ok_or_else(gone)
    }

    /// Receives what waits for redelivery, and keeps nothing of it: then it is out like the rest.
    ///
    /// It is all out when two requests after another bring nothing of that kind. One is not enough: the server finds out that somebody is
    /// gone only when it sends, and it sends what it has given to them before it sends the answer to the first request.
    async fn take_out(&self, info: &Info) -> Result<(), SourceError> {
        let inbox = Subject::from(self.client.new_inbox());
        let mut answers =
            self.client.subscribe(inbox.clone()).await.map_err(|error| unsent(&error))?;
        let ask =
            Subject::from(format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", info.stream_name, info.name));
        let together = match info.config.max_batch {
            1.. => TAKEN_TOGETHER.min(info.config.max_batch),
            _ => TAKEN_TOGETHER,
        };
        let (mut quiet, mut batch) = (0, 1);
        while quiet < 2 {
            let expires = TAKE_EXPIRES.as_nanos();
            let request = format!("{{\"batch\":{batch},\"no_wait\":true,\"expires\":{expires}}}");
            let sent = self.client.publish_with_reply(ask.clone(), inbox.clone(), request.into());
            sent.await.map_err(|error| unsent(&error))?;
            let taken = timeout(TAKE_WAIT, redelivered(&mut answers, batch));
            let some = tokio::select! {
                taken = taken => taken.map_err(|_| silent())?.ok_or_else(silent)?,
                error = self.trouble() => return Err(error),
            };
            (quiet, batch) = if some { (0, together) } else { (quiet + 1, 1) };
        }
        Ok(())
    }
}

fn silent() -> SourceError {
    SourceError::unreachable("the NATS server did not answer a request for messages in time")
}

/// What may be out: from the first message that is not acknowledged to the last that was delivered.
fn span(info: &Info) -> impl Iterator<Item = u64> {
    info.ack_floor.stream_sequence + 1..=info.delivered.stream_sequence
}

/// Whether there was something among the answers to one request that had been delivered before. `None`: the connection has ended.
async fn redelivered(answers: &mut Subscriber, batch: i64) -> Option<bool> {
    let mut some = false;
    for _ in 0..batch {
        let answer = answers.next().await?;
        if answer.status.is_some() {
            break;
        }
        let delivery = answer.reply.as_deref().and_then(Delivery::of);
        some |= delivery.is_some_and(|delivery| delivery.count > 1);
    }
    Some(some)
}
