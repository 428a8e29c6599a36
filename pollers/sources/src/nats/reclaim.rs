//! Takes back what a consumer has out and nobody holds any more, so that it comes again at once, in the order of the stream and before
//! anything new. It does not know who had it.
//!
//! JetStream redelivers in the order in which messages came back to it. Those that a poller gives back come in the order in which it
//! says so; but they come behind those that the server itself took back, because whoever had asked for them was gone when they
//! should have left. So those are taken out first, and then all are given back together.

use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::consumer::Info;
use tokio::time::{sleep, timeout};

use super::consumer::Consumer;
use super::delivery::{Delivery, ack_subject};
use super::link::Link;
use super::pulls::{Asked, End, Limits, Pulls};
use super::settle::{Confirm, NAK, gone};
use crate::{SourceError, Want};

/// Messages between the oldest and the newest that may be out, up to which each of them is asked for again.
const SPAN_MAX: u64 = 200_000;

/// Longest wait for the requests of whoever is gone: a poller's own end after five seconds.
const REQUESTS_END_WAIT: Duration = Duration::from_secs(6);

/// How often it is asked whether they have ended. Most end with the connection, which the server notices at once.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Messages that are taken out with one request, once it is known that there are some, and their bytes at most: half of what a server
/// keeps for a client that reads slowly.
const TAKEN_TOGETHER: u32 = 100;
const TAKEN_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Longest that taking out may take, of the minute in which a connection has to be made.
const TAKE_OUT_WAIT: Duration = Duration::from_secs(20);

/// How long the server keeps such a request when there is nothing to give. Without that it would keep one for ever where new messages wait
/// for others to be acknowledged.
const TAKE_EXPIRES: Duration = Duration::from_millis(100);

/// What becomes of messages that are out to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Reclaimed {
    /// They come now, in their order and before anything new. None is behind this sequence; 0: there are none.
    Now(u64),
    /// Each comes when its lease is over. None is behind this sequence.
    Later(u64),
}

impl Link {
    /// Has the server deliver at once, in order and before anything else, what it has given to somebody who is gone: an earlier process, or
    /// a connection that broke on the way.
    pub(super) async fn reclaim(
        &self,
        consumer: &Consumer,
        pulls: &mut Pulls,
        held: impl Fn(u64) -> bool,
    ) -> Result<Reclaimed, SourceError> {
        let info = self.unasked(&consumer.info).await?;
        if info.num_ack_pending == 0 || span(&info).all(&held) {
            return Ok(Reclaimed::Now(0));
        }
        let (first, last) = (info.ack_floor.stream_sequence, info.delivered.stream_sequence);
        if last.saturating_sub(first) > SPAN_MAX {
            return Ok(Reclaimed::Later(last));
        }
        // Where deliveries are counted, order is not worth one of a message that nobody has seen.
        if info.config.max_deliver < 1 {
            let taken = timeout(TAKE_OUT_WAIT, self.take_out(&info, pulls)).await;
            if !taken.unwrap_or(Ok(false))? {
                let last = self.info_again(&info).await?.delivered.stream_sequence;
                return Ok(Reclaimed::Later(last));
            }
        }
        let info = self.info_again(&info).await?;
        let subject = |sequence| {
            let consumer_sequence = info.delivered.consumer_sequence;
            ack_subject(&info.stream_name, &info.name, sequence, consumer_sequence)
        };
        // Those that are not out are no harm: the server goes by what is.
        let out = span(&info).filter(|sequence| !held(*sequence));
        let acks = out.map(|sequence| (subject(sequence).into(), NAK)).collect();
        self.acknowledge(acks, Confirm::of(consumer)).await?;
        Ok(Reclaimed::Now(info.delivered.stream_sequence))
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

    /// Receives what waits for redelivery, and keeps nothing of it: then it is out like the rest. False if there is no end of it, because
    /// somebody else gives messages back.
    ///
    /// It is all out when two requests after another bring nothing of that kind. One is not enough: the server finds out that somebody is
    /// gone only when it sends, and it sends what it has given to them before it sends the answer to the first request.
    async fn take_out(&self, info: &Info, pulls: &mut Pulls) -> Result<bool, SourceError> {
        let limits = Limits::of(&info.config);
        let message_bytes_max = self.client.server_info().max_payload;
        // Of what comes again. Where there is more, somebody gives back what is taken out.
        let mut left = info.num_ack_pending + TAKEN_TOGETHER as usize;
        let mut delivered = None;
        let (mut quiet, mut records_max) = (0, 1);
        while quiet < 2 {
            let want = Want { records_max, bytes_max: TAKEN_BYTES_MAX, wait: TAKE_EXPIRES };
            let asked = Asked::for_redelivery(want, limits, message_bytes_max);
            let through = delivered.unwrap_or(info.delivered.stream_sequence);
            let mut again = 0;
            let took = |message| again += usize::from(was_out(&message, through));
            if pulls.ask(self, asked, took).await? == End::TooSmall {
                return Ok(false);
            }
            if delivered.is_none() {
                // Of a consumer with replicas it comes late.
                delivered = Some(self.info_again(info).await?.delivered.stream_sequence);
            }
            (quiet, records_max) = if again > 0 { (0, TAKEN_TOGETHER) } else { (quiet + 1, 1) };
            left = left.saturating_sub(again);
            if left == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What may be out: from the first message that is not acknowledged to the last that was delivered.
fn span(info: &Info) -> impl Iterator<Item = u64> {
    info.ack_floor.stream_sequence + 1..=info.delivered.stream_sequence
}

/// Whether a message was on its way to somebody before. Servers up to 2.14 do not count a delivery that they could not make: then it
/// is one of those up to `delivered`.
fn was_out(message: &Message, delivered: u64) -> bool {
    let delivery = message.reply.as_deref().and_then(Delivery::of);
    delivery.is_some_and(|delivery| delivery.count > 1 || delivery.stream_sequence <= delivered)
}
