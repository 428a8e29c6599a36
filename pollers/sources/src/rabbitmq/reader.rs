//! Reads one queue: turns deliveries into records and verdicts into frames. How portions are got is in `fetch`, which frames are
//! sent in `acks`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use futures_util::future::try_join_all;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::Mutex;

use super::acks::{Frame, Tag, Unsettled};
use super::event::record;
use super::fetch::Fetch;
use super::session::Session;
use crate::{Position, Reader, Received, Record, Settled, SourceError, Unit, Verdict, Want};

pub(crate) struct QueueReader {
    session: Arc<Session>,
    fetch: Mutex<Fetch>,
    unsettled: StdMutex<Unsettled>,
    /// Held from the choice of frames until they are written: an ack of many must not overtake an earlier one.
    settling: Mutex<()>,
    ready: Ready,
}

impl QueueReader {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            fetch: Mutex::new(Fetch::new()),
            unsettled: StdMutex::default(),
            settling: Mutex::default(),
            ready: Ready::default(),
        }
    }

    async fn fetch(&self, want: Want) -> Result<Received, SourceError> {
        let mut fetch = self.fetch.lock().await;
        let mut deliveries = fetch.next(&self.session, want).await?;
        let lost = self.note(&deliveries);
        let records = self.hand_out(&mut deliveries, want);
        fetch.put_back(deliveries);
        drop(fetch);
        if !lost.is_empty() {
            let back = lost.into_iter().map(|tag| (tag, Verdict::Released)).collect();
            self.say(back).await?;
        }
        let ready = match self.ready.after(records.len()) {
            Some(ready) => ready,
            None => self.session.ready().await?,
        };
        let lag_records = Some(ready);
        Ok(Received { records, lag_records, ..Received::default() })
    }

    /// The deliveries are this channel's to settle from now on. Gives those that came to nobody.
    fn note(&self, deliveries: &VecDeque<Delivery>) -> Vec<Tag> {
        let mut unsettled = self.unsettled();
        let came = deliveries.iter().flat_map(|delivery| unsettled.came(delivery.delivery_tag));
        came.collect()
    }

    /// As many of them, from the first, as were asked for.
    fn hand_out(&self, deliveries: &mut VecDeque<Delivery>, want: Want) -> Vec<Record> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < want.records_max as usize
            && let Some(delivery) = deliveries.front()
        {
            bytes += delivery.data.len() as u64;
            if bytes > want.bytes_max && !records.is_empty() {
                break;
            }
            let Some(delivery) = deliveries.pop_front() else { break };
            let position = format!("{}-{}", self.session.name, delivery.delivery_tag);
            records.push(record(Position::new(&position), delivery));
        }
        records
    }

    async fn settle(&self, verdicts: Vec<Settled>) -> Result<(), SourceError> {
        let tags = verdicts
            .iter()
            .filter_map(|settled| Some((self.tag(&settled.position)?, settled.verdict)));
        self.say(tags.collect()).await?;
        // There is no answer to an ack. This one comes after the server has dealt with all of them, and tells that it still is there.
        self.ready.set(self.session.ready().await?);
        Ok(())
    }

    async fn say(&self, verdicts: Vec<(Tag, Verdict)>) -> Result<(), SourceError> {
        let _turn = self.settling.lock().await;
        let frames = self.unsettled().settle(verdicts.into_iter());
        let channel = &self.session.channel;
        // All are begun in order before the first is waited for.
        let sent = frames.into_iter().map(async |frame| match frame {
            Frame::Ack { tag, multiple } => {
                channel.basic_ack(tag, BasicAckOptions { multiple }).await
            }
            Frame::Nack { tag, requeue } => {
                channel.basic_nack(tag, BasicNackOptions { multiple: false, requeue }).await
            }
        });
        try_join_all(sent).await.map_err(|error| self.session.told(&error))?;
        Ok(())
    }

    /// The tag of a record of this connection; `None` for another one's, which has come again since.
    fn tag(&self, position: &Position) -> Option<Tag> {
        let (connection, tag) = position.as_str().split_once('-')?;
        if connection == self.session.name { tag.parse().ok() } else { None }
    }

    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for QueueReader {
    fn receive(&self, want: Want) -> Unit<'_, Received> {
        Box::pin(self.fetch(want))
    }

    fn settle(&self, verdicts: Vec<Settled>) -> Unit<'_, ()> {
        Box::pin(self.settle(verdicts))
    }

    fn commit(&self, _: Position) -> Unit<'_, ()> {
        let says = "a RabbitMQ queue has no mark to commit: its records are settled one by one";
        Box::pin(std::future::ready(Err(SourceError::configuration(says))))
    }

    fn finish(&self) {}
}

/// How many records were ready in the queue when the last settle was confirmed, until a receive has made use of it.
#[derive(Debug, Default)]
struct Ready(StdMutex<Option<u64>>);

impl Ready {
    fn set(&self, records: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(records);
    }

    /// Without those that a receive took. `None`: it has to be asked for.
    fn after(&self, taken: usize) -> Option<u64> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        told.map(|ready| ready.saturating_sub(taken as u64))
    }
}
