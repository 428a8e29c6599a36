//! Gets records out of a queue in portions, each by a consumer of its own whose prefetch is what was asked for: the server can push at
//! full speed, and never holds more for this connection than the runner wants. It does not know what becomes of the records.
//!
//! One consumer for the life of the connection was rejected: each ack would let the server push another record, asked for or
//! not, and it would wait here while other readers of the queue have nothing to do. The prefetch of a consumer that exists cannot
//! be changed, and the one of a whole channel does not work with quorum queues.

use std::collections::VecDeque;

use futures_util::{FutureExt, StreamExt};
use lapin::Consumer;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::session::Session;
use super::trouble::{a_stream, cancelled, unreachable};
use crate::{SourceError, Want};

/// Most records of one portion; a receive asks for no more than a batch (LS 4.2).
const PORTION_MAX: u32 = 10_000;

/// What a record is taken for before the first one came, so that a queue of large records does not fill the memory.
const RECORD_BYTES_GUESS: u64 = 64 * 1024;

/// The header of a record that comes out of a stream.
const STREAM_OFFSET: &str = "x-stream-offset";

/// The consumer side of one channel.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// A consumer that the server is asked for. Like the next one, it is here across calls only if a receive was given up.
    opening: Option<Opening>,
    /// A consumer that may still be given records.
    open: Option<Portion>,
    /// What came and is not handed out.
    came: VecDeque<Delivery>,
    /// What the channel was told last.
    prefetch: u16,
    record_bytes: u64,
    portions: u64,
}

#[derive(Debug)]
struct Opening {
    /// A task, because a consumer that nobody waits for any more would take records all the same.
    consumer: JoinHandle<lapin::Result<Consumer>>,
    tag: ShortString,
    records: u32,
}

#[derive(Debug)]
struct Portion {
    consumer: Consumer,
    /// A new one each time: a quorum queue takes a consumer of the same tag for the same one as long as it holds records, and
    /// gives it no more than its prefetch altogether.
    tag: ShortString,
    /// How many records the server may still push.
    left: u32,
    bytes: u64,
    records: u64,
}

impl Fetch {
    pub(crate) fn new() -> Self {
        Self {
            opening: None,
            open: None,
            came: VecDeque::new(),
            prefetch: 0,
            record_bytes: RECORD_BYTES_GUESS,
            portions: 0,
        }
    }

    /// What the queue has now, or gets within the wait. Dropping it loses nothing: the next call begins with what came.
    pub(crate) async fn next(
        &mut self,
        session: &Session,
        want: Want,
    ) -> Result<VecDeque<Delivery>, SourceError> {
        self.close(session).await?;
        if self.came.is_empty() {
            self.open(session, want).await?;
            let first = timeout(want.wait, self.one(session)).await;
            if let Ok(came) = first {
                came?;
                self.rest(session, want)?;
            }
            self.close(session).await?;
        }
        Ok(std::mem::take(&mut self.came))
    }

    /// Keeps what does not fit into what was asked for.
    pub(crate) fn put_back(&mut self, deliveries: VecDeque<Delivery>) {
        debug_assert!(self.came.is_empty(), "it was taken to be handed out");
        self.came = deliveries;
    }

    async fn open(&mut self, session: &Session, want: Want) -> Result<(), SourceError> {
        let fitting = u32::try_from(want.bytes_max / self.record_bytes.max(1)).unwrap_or(u32::MAX);
        let records = fitting.min(want.records_max).clamp(1, PORTION_MAX);
        let prefetch = u16::try_from(records).unwrap_or(u16::MAX);
        let channel = &session.channel;
        if prefetch != self.prefetch {
            // Unknown until it is confirmed.
            self.prefetch = 0;
            let qos = channel.basic_qos(prefetch, BasicQosOptions::default()).await;
            qos.map_err(|error| session.told(&error))?;
            self.prefetch = prefetch;
        }
        self.portions += 1;
        let tag: ShortString = format!("{}-{}", session.config.consumer_tag, self.portions).into();
        let (queue, said) = (session.config.queue.clone(), tag.clone());
        let channel = channel.clone();
        let consumer = tokio::spawn(async move {
            // Its answer is waited for: lapin drops what comes for a consumer that it does not know yet.
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue, said, options, FieldTable::default()).await
        });
        self.opening = Some(Opening { consumer, tag, records });
        self.opened(session).await
    }

    /// Waits until the consumer is there that was asked for, if there is one.
    async fn opened(&mut self, session: &Session) -> Result<(), SourceError> {
        let Some(opening) = &mut self.opening else { return Ok(()) };
        let consumer = (&mut opening.consumer).await;
        let Some(Opening { tag, records: left, .. }) = self.opening.take() else { return Ok(()) };
        let broken =
            |_| unreachable(&session.config, "was asked for a consumer by a task that died");
        let consumer = consumer.map_err(broken)?.map_err(|error| session.told(&error))?;
        self.open = Some(Portion { consumer, tag, left, bytes: 0, records: 0 });
        Ok(())
    }

    /// Waits for one record. Without an open portion there is none.
    async fn one(&mut self, session: &Session) -> Result<(), SourceError> {
        let Some(portion) = &mut self.open else { return Ok(()) };
        let next = portion.consumer.next().await;
        self.take(session, next)
    }

    /// Takes what is here already.
    fn rest(&mut self, session: &Session, want: Want) -> Result<(), SourceError> {
        while let Some(portion) = &mut self.open
            && portion.left > 0
            && portion.bytes < want.bytes_max
            && let Some(next) = portion.consumer.next().now_or_never()
        {
            self.take(session, next)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        session: &Session,
        next: Option<lapin::Result<Delivery>>,
    ) -> Result<(), SourceError> {
        let delivery = next.ok_or_else(|| cancelled(&session.config))?;
        let delivery = delivery.map_err(|error| session.told(&error))?;
        self.keep(session, delivery)
    }

    fn keep(&mut self, session: &Session, delivery: Delivery) -> Result<(), SourceError> {
        let headers = delivery.properties.headers().as_ref();
        if headers.is_some_and(|headers| headers.contains_key(STREAM_OFFSET)) {
            return Err(a_stream(&session.config));
        }
        if let Some(portion) = &mut self.open {
            portion.left = portion.left.saturating_sub(1);
            portion.records += 1;
            portion.bytes += delivery.data.len() as u64;
        }
        self.came.push_back(delivery);
        Ok(())
    }

    /// Ends the portion, if there is one, and takes what the server had sent before it knew.
    async fn close(&mut self, session: &Session) -> Result<(), SourceError> {
        self.opened(session).await?;
        let Some(portion) = &self.open else { return Ok(()) };
        // The server holds no record for a consumer whose prefetch is used up, so nothing can come that would be missed. Acks of
        // this portion, which would change that, are sent later on the same channel.
        let full = portion.left == 0;
        let options = BasicCancelOptions { nowait: full };
        let cancel = session.channel.basic_cancel(portion.tag.clone(), options);
        cancel.await.map_err(|error| session.told(&error))?;
        while !full
            && let Some(portion) = &mut self.open
            && let Some(next) = portion.consumer.next().await
        {
            let delivery = next.map_err(|error| session.told(&error))?;
            self.keep(session, delivery)?;
        }
        if let Some(portion) = self.open.take()
            && portion.records > 0
        {
            self.record_bytes = portion.bytes / portion.records;
        }
        Ok(())
    }
}
