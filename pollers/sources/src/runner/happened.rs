//! What each end of a unit tells the engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trine_poll_engine::{
    Answer, BatchAnswer, BatchId, Fact, Filterable, Input, Key, OpenWindow, Origin, ParkedKey,
    RecordMeta, Sequence, ShardId, Ticket,
};

use super::shards::{number, parking_key};
use super::status::Keeping;
use super::units::{Done, REOPEN_WAIT};
use super::{ANSWER_KEPT_BYTES, RESPONSES_MAX, Runner, Sent};
use crate::SourceError;
use crate::invoke::{NotAnswered, Reply, Response};
use crate::reports::Answered;
use crate::source::{Change, Notice, Opened, Place, Received, Record, ShardName, Source};

/// Until a report that the broker did not take is made again.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// A payload less what is around the state of a window (LS 4.6).
const STATE_BYTES_MAX: usize = (6 << 20) - (4 << 10);

impl Runner {
    pub(super) fn happened(&mut self, done: Done) {
        match done {
            Done::Connected(connected) => self.source_connected(connected),
            Done::EndFound(found) => {
                self.connecting = None;
                match found {
                    Ok(sought) => self.keep_end(sought),
                    Err(error) => self.lost(&error),
                }
            }
            Done::EndKept(places) => {
                self.status.kept(Keeping::Checkpoint);
                self.places = places;
                self.connect_unless_stopping();
            }
            Done::EndNotKept(answered) => {
                self.is_done(Keeping::Checkpoint, &answered);
                self.lost(&SourceError::unreachable(
                    "the broker could not keep where the source ended when the mapping began",
                ));
            }
            Done::Changed(connection, change) if connection == self.connection => {
                self.changed(change)
            }
            Done::Received(connection, shard, received) if connection == self.connection => {
                self.received(shard, received);
            }
            Done::ReopenWaitOver(connection) if connection == self.connection => {
                self.not_reopened()
            }
            // Of a connection that is gone; the engine has been told so.
            Done::Changed(..) | Done::Received(..) | Done::ReopenWaitOver(_) => {}
            Done::Answered(shard, batch, reply) => self.answered(shard, batch, reply),
            Done::Settled(shard, ticket, settled) => {
                let done = self.is_settled("settle records", Keeping::Settling, settled);
                self.settle_ended(shard, ticket, done);
            }
            Done::Committed(shard, ticket, committed) => {
                let done = self.is_settled("commit", Keeping::Checkpoint, committed);
                self.checkpoint_ended(shard, ticket, done);
            }
            Done::Kept(shard, ticket, answered) => {
                let done = self.is_done(Keeping::Checkpoint, &answered);
                self.checkpoint_ended(shard, ticket, done);
            }
            Done::Finished(shard, answered) => self.finished(shard, &answered),
            // What the broker did not forget now it will be asked to forget by the next connection.
            Done::Forgotten(answered) => self.look_at_fence(&answered),
            Done::Delivered(shard, ticket, answered) => self.delivered(shard, ticket, &answered),
            Done::Parked(shard, ticket, answered) => self.parked(shard, ticket, &answered),
            Done::StillParked(report, answered) => {
                let done = self.is_done(Keeping::Park, &answered);
                if !done && !matches!(answered, Answered::Lost) {
                    self.tell_still_parked(*report, TELL_AGAIN);
                }
            }
            Done::UnparkSettled(shard, ticket, key, count, answered) => {
                let done = self.is_done(Keeping::Park, &answered);
                if done && let Some(open) = self.shards.get_mut(shard) {
                    open.unpark_settled(key, count);
                }
                self.settle_ended(shard, ticket, done);
            }
        }
    }

    fn settle_ended(&mut self, shard: ShardId, ticket: Ticket, done: bool) {
        self.step(match done {
            true => Input::Settled { shard, ticket },
            false => Input::SettleFailed { shard, ticket },
        });
        self.let_go(shard);
    }

    fn delivered(&mut self, shard: ShardId, ticket: Ticket, answered: &Answered) {
        let done = self.is_done(Keeping::FailureRecord, answered);
        if done {
            self.first_told.remove(&(shard, ticket));
        }
        self.step(match done {
            true => Input::FailureDelivered { shard, ticket },
            false => Input::FailureDeliveryFailed { shard, ticket },
        });
        self.let_go(shard);
    }

    fn source_connected(&mut self, connected: Result<Arc<dyn Source>, SourceError>) {
        self.connecting = None;
        match connected {
            Ok(source) => {
                self.connection += 1;
                self.source = Some(source);
                self.connected = true;
                self.status.source_works();
                self.step(Input::SourceConnected);
                self.listen();
                if !self.shards.is_empty() {
                    let connection = self.connection;
                    self.units.start(async move {
                        tokio::time::sleep(REOPEN_WAIT).await;
                        Done::ReopenWaitOver(connection)
                    });
                }
            }
            Err(error) => self.lost(&error),
        }
    }

    /// Waits for the next change of the connection's shards.
    fn listen(&mut self) {
        let Some(source) = self.source.clone() else { return };
        let connection = self.connection;
        self.units.start(async move { Done::Changed(connection, source.next_change().await) });
    }

    fn lost(&mut self, error: &SourceError) {
        // Once for each reason: it is tried for ever.
        if self.status.is_news(error) {
            tracing::warn!(mapping = %self.plan.id, source = self.plan.kind_name, "the source cannot be used: {error}");
        } else {
            tracing::debug!(mapping = %self.plan.id, source = self.plan.kind_name, "the source cannot be used: {error}");
        }
        self.connected = false;
        self.reopening.clear();
        // Whatever is still under way on it is of no interest any more.
        self.connection += 1;
        self.status.source_fails(error);
        self.step(Input::SourceGone);
        for id in self.shards.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            self.let_go(id);
        }
    }

    fn changed(&mut self, change: Result<Change, SourceError>) {
        match change {
            Ok(Change::Opened(opened)) => self.opened(opened),
            Ok(Change::Revoked { shard, released }) => self.revoked(&shard, released),
            Ok(Change::Forgotten(shard)) => self.forget(&shard),
            Ok(Change::Notice(notice)) => self.notice(&notice),
            Err(error) => return self.lost(&error),
        }
        self.listen();
    }

    pub(super) fn opened(&mut self, opened: Opened) {
        let numbered = self.shards.numbered(&opened.shard);
        if numbered.and_then(|id| self.shards.get(id)).is_some_and(|shard| shard.revoked) {
            // What is in flight of it is not over, and must not be overtaken.
            drop(self.reopening.insert(opened.shard.clone(), opened));
            return;
        }
        let keeps_more = self.plan.parks || self.plan.answers.windowed();
        if numbered.is_none() && !self.known.insert(opened.shard.clone()) && keeps_more {
            // What has been parked of it since the mapping came to us, and how far its window is, only the broker knows.
            tracing::info!(mapping = %self.plan.id, shard = %opened.shard, "opened again: the mapping is asked for anew, with what is kept of it");
            return self.step(Input::Stop);
        }
        let lease_ms =
            opened.lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let name = opened.shard.clone();
        let (shard, is_new) = self.shards.open(opened, self.connection);
        if !is_new {
            // It was open before the connection broke; it goes on with the new reader.
            if let Some(want) = self.shards.get_mut(shard).and_then(|open| open.wanted.take()) {
                self.receive(shard, want);
            }
            return;
        }
        tracing::debug!(mapping = %self.plan.id, shard = %name, "reading");
        let parked: Vec<_> = self
            .plan
            .parked
            .iter()
            .filter(|parked| parked.shard == name.as_str())
            .map(|parked| ParkedKey { key: number(&parked.key), records: parked.records })
            .collect();
        let window = self.plan.windows.get(&name).map(|(start_ms, state)| {
            if let Some(open) = self.shards.get_mut(shard) {
                open.window_state = state.clone();
            }
            OpenWindow { start_ms: *start_ms, state_bytes: state.len() as u64 }
        });
        self.step(Input::ShardOpened { shard, lease_ms, parked: &parked, window });
        let orders = std::mem::take(&mut self.unparks);
        orders.into_iter().for_each(|order| self.unpark(order));
    }

    /// Shards that the new connection has not opened: they belong to somebody else now, or are no more.
    fn not_reopened(&mut self) {
        let connection = self.connection;
        let gone: Vec<_> = self
            .shards
            .iter()
            .filter(|(_, open)| open.connection != connection)
            .map(|(id, _)| id)
            .collect();
        for shard in gone {
            if let Some(open) = self.shards.get_mut(shard) {
                open.revoked = true;
            }
            self.step(Input::ShardRevoked { shard });
        }
    }

    fn revoked(&mut self, name: &ShardName, released: tokio::sync::oneshot::Sender<()>) {
        self.reopening.remove(name);
        let Some(shard) = self.shards.numbered(name) else { return };
        if let Some(open) = self.shards.get_mut(shard) {
            (open.released, open.revoked) = (Some(released), true);
        }
        self.step(Input::ShardRevoked { shard });
    }

    fn notice(&mut self, notice: &Notice) {
        if notice.gap {
            tracing::warn!(mapping = %self.plan.id, "{}", notice.message);
        } else {
            tracing::info!(mapping = %self.plan.id, "{}", notice.message);
        }
        self.status.notice(notice);
    }

    fn received(&mut self, shard: ShardId, received: Result<Received, SourceError>) {
        let received = match received {
            Ok(received) => received,
            // A connection whose receive failed is broken: a new one is made.
            Err(error) => return self.lost(&error),
        };
        received.notices.iter().for_each(|notice| self.notice(notice));
        let now = self.clock.now_ms();
        let metas: Vec<_> = received.records.iter().map(|record| self.meta(now, record)).collect();
        let Some(open) = self.shards.get_mut(shard) else { return };
        open.lag_records = received.lag_records.or(open.lag_records);
        open.hold(received.records);
        self.step(Input::RecordsRead { shard, records: &metas });
        if received.ended {
            self.step(Input::ShardEnded { shard });
        }
    }

    fn meta(&mut self, now: u64, record: &Record) -> RecordMeta {
        let element = match &record.content {
            crate::Content::Event(event) => event,
            crate::Content::TooLarge(_) => &Bytes::new(),
        };
        let filterable =
            Filterable { element, data: Some(&record.body), key: record.key.as_deref() };
        let key = match &record.key {
            Some(key) => number(key),
            None if self.plan.parks => number(&parking_key(record)),
            None => {
                self.next_keyless += 1;
                Key(self.next_keyless)
            }
        };
        RecordMeta {
            bytes: record.content.bytes(),
            arrived_at: self.arrived_at(record.arrived_at_ms, now),
            key,
            filtered: !self.plan.filters.passes(&filterable),
        }
    }

    fn answered(&mut self, shard: ShardId, batch: BatchId, reply: Reply) {
        match reply {
            Reply::Answered(response) => self.function_answered(shard, batch, response),
            Reply::NotAnswered { why, error } => {
                let answer = match why {
                    NotAnswered::Throttled => Answer::Throttled,
                    NotAnswered::NoCapacity => Answer::NoCapacity,
                    NotAnswered::Refused => Answer::Refused,
                    NotAnswered::Lost => Answer::Lost,
                };
                self.status.not_reached(&error);
                self.step(Input::BatchAnswered { shard, batch, answer, state_bytes: 0 });
            }
        }
    }

    fn function_answered(&mut self, shard: ShardId, batch: BatchId, response: Response) {
        let Some(sent) = self.sent.remove(&batch) else { return };
        let failed = !response.function_error.is_empty();
        let (judged, state) = match failed {
            true => (BatchAnswer::Failed(response.error()), None),
            false => self.judged(shard, &sent, &response),
        };
        let (judged, state) = fit(judged, state);
        let state_bytes = self.keep_state(shard, state);
        match judged {
            BatchAnswer::Succeeded => {
                self.status.succeeded();
                if sent.origin == Origin::Source
                    && let Some(open) = self.shards.get_mut(shard)
                {
                    open.taken(&sent.records);
                }
                self.step(Input::BatchAnswered {
                    shard,
                    batch,
                    answer: Answer::Succeeded,
                    state_bytes,
                });
            }
            BatchAnswer::Partial(places) => {
                let at: Vec<Sequence> = sent.records.iter().collect();
                let failed: Vec<_> =
                    places.into_iter().filter_map(|place| at.get(place).copied()).collect();
                self.status.failed(&format!(
                    "{} of {} records were reported as failed",
                    failed.len(),
                    at.len()
                ));
                self.keep_response(batch, response);
                let answer = Answer::Partial { failed: &failed };
                self.step(Input::BatchAnswered { shard, batch, answer, state_bytes });
            }
            BatchAnswer::Failed(why) => {
                self.status.failed(&why);
                self.keep_response(batch, response);
                self.step(Input::BatchAnswered {
                    shard,
                    batch,
                    answer: Answer::FunctionFailed,
                    state_bytes: 0,
                });
            }
        }
        self.let_go(shard);
    }

    /// What the function's answer says of each record (LS 4.5, 4.6).
    fn judged(
        &self,
        shard: ShardId,
        sent: &Sent,
        response: &Response,
    ) -> (BatchAnswer, Option<Bytes>) {
        let Some(open) = self.shards.get(shard) else { return (BatchAnswer::Succeeded, None) };
        let identifiers: Vec<&str> = match sent.origin {
            Origin::Source => {
                open.records(&sent.records).iter().map(|record| &*record.identifier).collect()
            }
            Origin::Park(_) => open
                .parked_records(&sent.records)
                .iter()
                .map(|parked| parked.identifier.as_str())
                .collect(),
        };
        self.plan.answers.judge(&response.payload, &identifiers)
    }

    /// The state of the open tumbling window; its length is all that the engine wants to know.
    fn keep_state(&mut self, shard: ShardId, state: Option<Bytes>) -> u64 {
        let (Some(state), Some(open)) = (state, self.shards.get_mut(shard)) else { return 0 };
        open.window_state = state;
        open.window_state.len() as u64
    }

    fn keep_response(&mut self, batch: BatchId, mut response: Response) {
        // A copy: a piece of the answer would keep all of it.
        let kept = response.payload.len().min(ANSWER_KEPT_BYTES);
        response.payload = Bytes::copy_from_slice(&response.payload[..kept]);
        self.responses.insert(batch, response);
        if self.responses.len() > RESPONSES_MAX {
            self.responses.pop_first();
        }
    }

    fn checkpoint_ended(&mut self, shard: ShardId, ticket: Ticket, done: bool) {
        if let Some(open) = self.shards.get_mut(shard)
            && let Some(position) = open.settling.take()
            && done
        {
            open.settled = Some(position);
        }
        self.step(match done {
            true => Input::CheckpointStored { shard, ticket },
            false => Input::CheckpointFailed { shard, ticket },
        });
        self.let_go(shard);
    }

    /// Whether the source took it. What it did not take is asked for again; the connection is not given up for it: a receive
    /// notices when it is broken.
    fn is_settled(
        &mut self,
        what: &str,
        keeping: Keeping,
        settled: Result<(), SourceError>,
    ) -> bool {
        match &settled {
            Ok(()) => self.status.kept(keeping),
            Err(error) => self.status.not_kept(keeping, &format!("cannot {what}: {error}")),
        }
        settled.is_ok()
    }

    fn finished(&mut self, shard: ShardId, answered: &Answered) {
        if !self.is_done(Keeping::Checkpoint, answered) {
            return self.step(Input::ShardFinishFailed { shard });
        }
        if let Some(open) = self.shards.remove(shard) {
            self.places.insert(open.name.clone(), Place::Ended);
            open.reader.finish();
        }
        self.step(Input::ShardFinished { shard });
    }

    /// Frees what the engine has let go of.
    pub(super) fn let_go(&mut self, shard: ShardId) {
        if let (Some(first), Some(open)) = (self.poll.first_held(shard), self.shards.get_mut(shard))
        {
            open.let_go(first);
        }
    }

    pub(super) fn fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Succeeded { batch, .. } => drop(self.responses.remove(batch)),
            Fact::UnparkEnded { shard, key, done, .. } => self.unpark_ended(*shard, *key, *done),
            Fact::UnparkRefused { shard, .. } => {
                if let Some(open) = self.shards.get_mut(*shard) {
                    open.unpark_refused(self.coming_back);
                }
            }
            Fact::Invoking { shard, age_ms: Some(age_ms), .. } => {
                if let Some(open) = self.shards.get_mut(*shard) {
                    open.iterator_age_ms = Some(*age_ms);
                }
            }
            Fact::OutOfTurn { input } => {
                tracing::error!(mapping = %self.plan.id, input, "a defect of the poller: an input that nobody had asked for");
            }
            _ => {}
        }
        self.status.count(fact);
    }
}

/// The state of a window that nobody could be given again is a failure; that of an answer which took nothing is that of the records it refused.
fn fit(judged: BatchAnswer, state: Option<Bytes>) -> (BatchAnswer, Option<Bytes>) {
    match (&judged, state) {
        (BatchAnswer::Partial(places), _) if places.contains(&0) => (judged, None),
        (_, Some(state)) if state.len() > STATE_BYTES_MAX => {
            let says = format!(
                "the function answered a window's state of {} bytes; no event can hold more than {STATE_BYTES_MAX}",
                state.len()
            );
            (BatchAnswer::Failed(says), None)
        }
        (_, state) => (judged, state),
    }
}
