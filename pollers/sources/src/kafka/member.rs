//! A member of the consumer group: a thread of its own that asks the library all the time, whatever the runner does, so that a batch
//! that waits for an hour costs no session. It takes assignments and gives them back. It blocks, and reads no records.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::connection::Connection;
use super::context::{Consumer, Happened};
use super::event;
use super::offsets::{Asking, Offsets};
use super::problem;
use super::reader::Partition;
use super::start::starts;
use crate::clock::Clock;
use crate::{Change, Notice, Opened, Reader, SourceError};

/// How long the library is asked at a time: the longest that an end of the connection waits for it.
const TURN: Duration = Duration::from_millis(100);

/// The same while partitions are given back: how late their release is seen.
const TURN_LEAVING: Duration = Duration::from_millis(10);

/// Longest wait for what is in flight when partitions are given back, in milliseconds. The group waits for the library's
/// `max.poll.interval.ms`, five minutes by default, and has to get the answer before.
const RELEASE_WAIT_MS: u64 = 240_000;

/// Longest wait for a client to close, in milliseconds: more than a commit waits for brokers that are away.
const CLOSE_WAIT_MS: u64 = 120_000;

/// A member, from its subscription to its end.
pub(super) struct Member {
    connection: Arc<Connection>,
    consumer: Arc<Consumer>,
    changes: mpsc::UnboundedSender<Change>,
    clock: Clock,
    /// What this process read up to before this connection; each counts once.
    places: Offsets,
    open: BTreeMap<i32, Arc<Partition>>,
    leaving: Option<Leaving>,
    /// What the library said last about a broker that it cannot reach.
    last_failure: String,
}

/// Partitions that are being given back.
struct Leaving {
    partitions: Vec<Arc<Partition>>,
    released: Vec<oneshot::Receiver<()>>,
    until_ms: u64,
}

impl Member {
    pub(super) fn new(
        connection: Arc<Connection>,
        consumer: Arc<Consumer>,
        changes: mpsc::UnboundedSender<Change>,
        places: Offsets,
    ) -> Self {
        Self {
            connection,
            consumer,
            changes,
            clock: Clock::start(),
            places,
            open: BTreeMap::new(),
            leaving: None,
            last_failure: String::new(),
        }
    }

    /// Until nobody wants the connection any more or it breaks.
    pub(super) fn run(mut self) {
        let subscribed = self.consumer.subscribe(&[&*self.connection.config.topic]);
        if let Err(error) = subscribed {
            self.connection.break_with(problem::failed(self.config(), "subscribe", &error));
        }
        while !self.connection.is_dropped() && self.connection.broken().is_ok() {
            if let Err(error) = self.turn() {
                self.connection.break_with(error);
            }
        }
    }

    fn turn(&mut self) -> Result<(), SourceError> {
        let turn = if self.leaving.is_some() { TURN_LEAVING } else { TURN };
        match self.consumer.poll(turn) {
            // Every partition has a queue of its own before it is assigned.
            Some(Ok(_)) => {
                return Err(SourceError::unreachable(
                    "a defect of the kafka source: a record came outside of its partition",
                ));
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => return Err(self.fatal(code)),
            // The context was told it too, with its text.
            Some(Err(_)) | None => {}
        }
        for happened in self.consumer.context().take() {
            match happened {
                Happened::Assigned(partitions) => self.assigned(&partitions)?,
                Happened::Revoked => self.revoked()?,
                Happened::Failed(code, reason) => self.failed(code, &reason)?,
            }
        }
        self.leave()?;
        self.restart_out_of_range()
    }

    fn failed(&mut self, code: RDKafkaErrorCode, reason: &str) -> Result<(), SourceError> {
        match code {
            // Whoever reads the partition deals with it.
            RDKafkaErrorCode::AutoOffsetReset => Ok(()),
            RDKafkaErrorCode::Fatal => Err(self.fatal(code)),
            RDKafkaErrorCode::AllBrokersDown => {
                let reason = match self.last_failure.as_str() {
                    "" => reason,
                    failure => failure,
                };
                problem::of(self.config(), code, reason).map_or(Ok(()), Err)
            }
            _ => {
                reason.clone_into(&mut self.last_failure);
                problem::of(self.config(), code, reason).map_or(Ok(()), Err)
            }
        }
    }

    fn fatal(&self, code: RDKafkaErrorCode) -> SourceError {
        let known = self.consumer.client().fatal_error();
        let (code, reason) = known.unwrap_or_else(|| (code, code.to_string()));
        let fatal = || problem::of(self.config(), RDKafkaErrorCode::Fatal, &reason);
        let error = problem::of(self.config(), code, &reason).or_else(fatal);
        error.unwrap_or_else(|| SourceError::unreachable(reason.clone()))
    }

    fn assigned(&mut self, numbers: &[i32]) -> Result<(), SourceError> {
        let starts = starts(self.asking(), numbers, &self.places)?;
        if !starts.pinned.is_empty() {
            let list = self.list(&starts.pinned)?;
            let pinned = self.consumer.commit(&list, rdkafka::consumer::CommitMode::Sync);
            pinned.map_err(|error| problem::failed(self.config(), "commit the start", &error))?;
        }
        for (&number, &next) in &starts.next {
            self.places.remove(&number);
            // Before `assign`: a queue that was split then gets every record, and in order.
            let queue = self.consumer.split_partition_queue(&self.config().topic, number);
            let queue = queue.ok_or_else(|| {
                let says = format!("{} cannot be read", self.config().shard(number));
                SourceError::unreachable(says)
            })?;
            let (connection, context) =
                (Arc::clone(&self.connection), Arc::clone(self.consumer.context()));
            let partition = Partition::new(number, connection, context, queue, next);
            self.open.insert(number, Arc::new(partition));
        }
        self.assign(&starts.next)?;
        for (&number, partition) in &self.open {
            let reader: Arc<dyn Reader> = Arc::<Partition>::clone(partition);
            let envelope = event::envelope(self.config(), number);
            let shard = self.config().shard(number);
            self.tell(Change::Opened(Opened { shard, reader, envelope, lease: None }));
        }
        Ok(())
    }

    fn revoked(&mut self) -> Result<(), SourceError> {
        let lost = self.consumer.assignment_lost();
        let mut leaving = Leaving {
            partitions: Vec::new(),
            released: Vec::new(),
            until_ms: self.clock.now_ms() + RELEASE_WAIT_MS,
        };
        for (number, partition) in take(&mut self.open) {
            let (released, when) = oneshot::channel();
            if lost {
                // Somebody else may read it already: waiting would help nobody.
                partition.give_up();
            } else {
                partition.stop();
                leaving.released.push(when);
            }
            leaving.partitions.push(partition);
            self.tell(Change::Revoked { shard: self.config().shard(number), released });
        }
        if lost && !leaving.partitions.is_empty() {
            let message = format!(
                "the consumer group \"{}\" took its partitions away without asking: records in flight come twice",
                self.config().group
            );
            self.tell(Change::Notice(Notice { message, gap: true }));
        }
        self.leaving = Some(leaving);
        self.leave()
    }

    /// Gives back what was revoked, once what is in flight has ended, or after a while.
    fn leave(&mut self) -> Result<(), SourceError> {
        let Some(leaving) = &mut self.leaving else { return Ok(()) };
        leaving
            .released
            .retain_mut(|released| released.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        if !leaving.released.is_empty() && self.clock.now_ms() < leaving.until_ms {
            return Ok(());
        }
        for partition in take(&mut leaving.partitions) {
            partition.give_up();
        }
        self.leaving = None;
        let unassigned = self.consumer.unassign();
        unassigned.map_err(|error| problem::failed(self.config(), "give partitions back", &error))
    }

    /// Partitions whose position is gone go on at their oldest record. The library stopped reading them and takes a new position only
    /// with a new assignment, so all partitions are assigned anew where they are.
    fn restart_out_of_range(&mut self) -> Result<(), SourceError> {
        let mut lost: Vec<i32> = self.connection.take_out_of_range().into_iter().collect();
        lost.retain(|number| self.open.contains_key(number));
        if lost.is_empty() {
            return Ok(());
        }
        let (oldest, ends) = (self.asking().starts(&lost)?, self.asking().ends(&lost)?);
        let mut next = Offsets::new();
        let mut holds = Vec::new();
        for (number, partition) in &self.open {
            let mut hold = partition.hold();
            if let (Some(&oldest), Some(&end)) = (oldest.get(number), ends.get(number)) {
                let gone = gone(self.config().shard(*number).as_str(), hold.next(), oldest, end);
                let notice = gone.map(|message| Notice { message, gap: true });
                let at = if notice.is_some() { oldest } else { hold.next() };
                hold.go_on_at(at, notice);
            }
            next.insert(*number, hold.next());
            holds.push(hold);
        }
        self.assign(&next)?;
        drop(holds);
        for number in &lost {
            self.open[number].wake();
        }
        Ok(())
    }

    fn assign(&self, next: &Offsets) -> Result<(), SourceError> {
        let assigned = self.consumer.assign(&self.list(next)?);
        assigned.map_err(|error| problem::failed(self.config(), "assign partitions", &error))
    }

    fn list(&self, offsets: &Offsets) -> Result<TopicPartitionList, SourceError> {
        let config = self.config();
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (&partition, &offset) in offsets {
            list.add_partition_offset(&config.topic, partition, Offset::Offset(offset))
                .map_err(|error| problem::failed(config, "list offsets", &error))?;
        }
        Ok(list)
    }

    fn tell(&self, change: Change) {
        // Nobody listens any more: the connection is about to end.
        let _ = self.changes.send(change);
    }

    fn config(&self) -> &super::config::Config {
        &self.connection.config
    }

    fn asking(&self) -> Asking<'_> {
        Asking { config: self.config(), consumer: &self.consumer }
    }
}

impl Drop for Member {
    /// Ends the connection for everybody, and then the membership, here on this thread: closing a client may block, even for ever
    /// (rust-rdkafka issue 453), and nobody waits for this thread.
    fn drop(&mut self) {
        self.connection.break_with(SourceError::unreachable("the connection is closed"));
        self.consumer.context().close();
        self.connection.commits.close();
        let leaving = self.leaving.take().map(|leaving| leaving.partitions);
        for partition in take(&mut self.open).into_values().chain(leaving.into_iter().flatten()) {
            partition.give_up();
        }
        // Answers a rebalance that was told and not yet followed.
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(%error, "unassigning at the end");
        }
        // A commit that waits for brokers which are away keeps the client alive. It must not go back into the group meanwhile, where
        // it would throw out whoever took its place; closing it says so.
        let until_ms = self.clock.now_ms() + CLOSE_WAIT_MS;
        if self.consumer.close_queue().is_ok() {
            while !self.consumer.closed() && self.clock.now_ms() < until_ms {
                drop(self.consumer.poll(TURN_LEAVING));
            }
        }
    }
}

/// What of a partition is gone that was to be read from `next` on. `None`: nothing, it is there again.
fn gone(shard: &str, next: i64, oldest: i64, end: i64) -> Option<String> {
    if next < oldest {
        let offsets = oldest - next;
        return Some(format!(
            "{offsets} offsets of {shard} are gone that were not read yet, {next} to {}: the topic's retention removed them; it \
             goes on at {oldest}",
            oldest - 1
        ));
    }
    (next > end).then(|| {
        format!(
            "{shard} ends at offset {end} and was read up to {next}: it was truncated or made anew; it goes on at its oldest \
             record, {oldest}, so records may come twice"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::gone;

    #[test]
    fn what_is_gone_is_told_in_offsets() {
        let says = gone("t-0", 5, 8, 20).unwrap();
        assert!(
            says.starts_with("3 offsets of t-0 are gone that were not read yet, 5 to 7"),
            "{says}"
        );
        let says = gone("t-0", 21, 8, 20).unwrap();
        assert!(says.starts_with("t-0 ends at offset 20 and was read up to 21"), "{says}");
        for next in [8, 20] {
            assert_eq!(gone("t-0", next, 8, 20), None);
        }
    }
}
