//! One partition as the runner reads it: takes what the library has fetched ahead. It does not know the group.

use std::mem::take;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::connection::Connection;
use super::context::Context;
use super::event::EventWriter;
use crate::{
    Content, Notice, Position, Reader, Received, Record, Settled, SourceError, Unit, Want,
};

/// A partition of one assignment.
pub(super) struct Partition {
    pub(super) number: i32,
    connection: Arc<Connection>,
    context: Arc<Context>,
    events: EventWriter,
    arrived: Arc<Notify>,
    hold: Mutex<Hold>,
}

/// What is read, and how far.
pub(super) struct Hold {
    /// What is fetched ahead, bounded by the library. `None`: nothing is read any more.
    queue: Option<PartitionQueue<Context>>,
    /// The offset after the last record that was taken.
    next: i64,
    /// The last record that was taken, if it did not fit into a receive.
    spare: Option<Record>,
    notices: Vec<Notice>,
    /// Whether it may still be committed.
    owned: bool,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partition").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Partition {
    /// Reads `queue`, whose first record is the one at `next` or after it.
    pub(super) fn new(
        number: i32,
        connection: Arc<Connection>,
        context: Arc<Context>,
        mut queue: PartitionQueue<Context>,
        next: i64,
    ) -> Self {
        let events = EventWriter::new(&connection.config, number);
        let arrived = Arc::new(Notify::new());
        let wake = Arc::clone(&arrived);
        // Called by the library's threads; a notification that nobody waits for is kept.
        queue.set_nonempty_callback(move || wake.notify_one());
        let (queue, spare, notices) = (Some(queue), None, Vec::new());
        let hold = Mutex::new(Hold { queue, next, spare, notices, owned: true });
        Self { number, connection, context, events, arrived, hold }
    }

    /// Nothing is read any more; what is in flight may still be committed.
    pub(super) fn stop(&self) {
        {
            let mut hold = self.hold();
            (hold.queue, hold.spare) = (None, None);
        }
        self.wake();
    }

    /// Nothing will ever come: the group does not have to wait for a receive that waits.
    fn is_stopped(&self) -> bool {
        self.hold().queue.is_none()
    }

    /// It belongs to somebody else.
    pub(super) fn give_up(&self) {
        self.stop();
        self.hold().owned = false;
    }

    /// No receive moves the position while this is held.
    pub(super) fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a receive that waits look again.
    pub(super) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// What there is, up to what is wanted.
    fn take(&self, want: Want) -> Received {
        let mut hold = self.hold();
        let Hold { queue, next, spare, notices, .. } = &mut *hold;
        let mut received = Received { notices: take(notices), ..Received::default() };
        let mut bytes = 0_u64;
        while received.records.len() as u64 != u64::from(want.records_max.max(1)) {
            let record = spare.take().or_else(|| self.poll(queue.as_ref()?, next));
            let Some(record) = record else { break };
            if let Content::Event(event) = &record.content {
                bytes = bytes.saturating_add(event.len() as u64);
            }
            if bytes > want.bytes_max && !received.records.is_empty() {
                *spare = Some(record);
                break;
            }
            received.records.push(record);
        }
        let ahead = |end: i64| u64::try_from(end - *next).unwrap_or(0) + u64::from(spare.is_some());
        received.lag_records = self.context.end(self.number).map(ahead);
        received
    }

    /// The next record that is fetched already.
    fn poll(&self, queue: &PartitionQueue<Context>, next: &mut i64) -> Option<Record> {
        match queue.poll(Duration::ZERO)? {
            Ok(message) => {
                *next = message.offset() + 1;
                Some(self.events.record(&message))
            }
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)) => {
                self.connection.tell_out_of_range(self.number);
                None
            }
            // The context was told it too, and the member's thread breaks the connection if it must.
            Err(_) => None,
        }
    }

    async fn receive_some(&self, want: Want) -> Result<Received, SourceError> {
        let mut over = pin!(sleep(want.wait));
        let mut breaks = pin!(self.connection.breaks());
        loop {
            self.connection.broken()?;
            let received = self.take(want);
            if !received.records.is_empty() || !received.notices.is_empty() || self.is_stopped() {
                return Ok(received);
            }
            tokio::select! {
                biased;
                error = &mut breaks => return Err(error),
                () = self.arrived.notified() => {}
                () = &mut over => return Ok(received),
            }
        }
    }

    async fn commit_through(&self, through: &Position) -> Result<(), SourceError> {
        let shard = self.connection.config.shard(self.number);
        let Ok(offset) = through.as_str().parse::<i64>() else {
            let says = format!("\"{through}\" is no offset of {shard}");
            return Err(SourceError::configuration(says));
        };
        if !self.hold().owned {
            let says = format!(
                "{shard} belongs to another member of the consumer group now: what was settled of it cannot be committed and \
                 comes again there"
            );
            return Err(SourceError::unreachable(says));
        }
        tokio::select! {
            biased;
            ended = self.connection.commits.commit(self.number, offset + 1) => ended,
            // The library would go on trying; nobody could tell how that ends.
            error = self.connection.breaks() => Err(error),
        }
    }
}

impl Hold {
    /// The offset after the last record that was taken.
    pub(super) const fn next(&self) -> i64 {
        self.next
    }

    /// Goes on at `next`, with what people should know about that.
    pub(super) fn go_on_at(&mut self, next: i64, notice: Option<Notice>) {
        self.next = next;
        self.notices.extend(notice);
    }
}

impl Reader for Partition {
    fn receive(&self, want: Want) -> Unit<'_, Received> {
        Box::pin(self.receive_some(want))
    }

    fn settle(&self, _verdicts: Vec<Settled>) -> Unit<'_, ()> {
        // Low-water sources are never asked to.
        Box::pin(async {
            Err(SourceError::configuration("kafka settles by offset, not by record"))
        })
    }

    fn commit(&self, through: Position) -> Unit<'_, ()> {
        Box::pin(async move { self.commit_through(&through).await })
    }

    fn finish(&self) {}
}
