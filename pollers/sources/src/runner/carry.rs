//! What each effect of the engine makes the runner do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trine_poll_engine::{
    BatchId, Effect, Input, Millis, Origin, Records, Sequence, ShardId, Span, Ticket,
    Verdict as EngineVerdict, WindowMark, WindowPart,
};
use trine_proto::v1::{CheckpointReport, ShardCheckpoint};

use super::payload::{WindowMembers, event};
use super::shards::Shard;
use super::status::Keeping;
use super::units::{CONNECT_WAIT, Done, RECEIVE_GRACE, SETTLE_WAIT, bounded};
use super::{Runner, Sent};
use crate::reports::Answered;
use crate::source::{
    Content, Place, Places, Record, SeekTo, Settled, ShardName, Sought, Target, Verdict, Want,
};
use crate::{Keeper, Settling};

impl Runner {
    pub(super) fn carry_out(&mut self, now: Millis, effect: Effect) {
        match effect {
            Effect::Connect => self.connect(),
            Effect::Receive { shard, records_max, bytes_max, wait_ms } => {
                self.receive(
                    shard,
                    Want { records_max, bytes_max, wait: Duration::from_millis(wait_ms) },
                );
            }
            Effect::Invoke { shard, batch, origin, records, window, .. } => {
                self.invoke(shard, batch, origin, records, window);
            }
            Effect::Settle { shard, ticket, verdicts } => self.settle(shard, ticket, &verdicts),
            Effect::StoreCheckpoint { shard, ticket, through, window } => {
                self.store_checkpoint(shard, ticket, through, window);
            }
            Effect::FinishShard { shard } => self.finish(shard),
            Effect::DeliverFailure { shard, ticket, failure } => {
                self.deliver(now, shard, ticket, &failure)
            }
            Effect::Park { shard, ticket, key, records, failed } => {
                self.park(shard, ticket, key, &records, failed)
            }
            Effect::UnparkSettled { shard, ticket, key, count } => {
                self.unpark_settled(shard, ticket, key, count)
            }
            Effect::ShardReleased { shard } => {
                self.sent.retain(|_, sent| sent.shard != shard);
                self.first_told.retain(|(of, _), _| *of != shard);
                // Dropping it drops what whoever revoked it waits for.
                let name = self.shards.remove(shard).map(|shard| shard.name);
                if let Some(again) = name.and_then(|name| self.reopening.remove(&name)) {
                    self.opened(again);
                }
            }
            Effect::Stopped => self.stopped = true,
            Effect::Fact(fact) => self.fact(&fact),
        }
    }

    fn connect(&mut self) {
        if self.plan.begins_at_end && self.places.is_empty() {
            return self.find_end();
        }
        self.connect_after_places();
    }

    /// A connection that nobody wants any more is not begun.
    pub(super) fn connect_unless_stopping(&mut self) {
        if self.stopping {
            return self.step(Input::SourceGone);
        }
        self.connect_after_places();
    }

    fn connect_after_places(&mut self) {
        let (connector, places) = (Arc::clone(&self.connector), self.places_to_go_on());
        self.connecting = Some(self.units.start_abortable(async move {
            Done::Connected(bounded("connecting", CONNECT_WAIT, connector.connect(places)).await)
        }));
    }

    /// The broker keeps where the end was when the mapping began: a poller that comes after a crash would otherwise begin at another end,
    /// and what came between would never be read.
    fn find_end(&mut self) {
        let connector = Arc::clone(&self.connector);
        self.connecting = Some(self.units.start_abortable(async move {
            let end = Target { shard: None, to: SeekTo::End };
            let sought = connector.seek(Places::new(), end, false);
            Done::EndFound(bounded("finding its end", CONNECT_WAIT, sought).await)
        }));
    }

    pub(super) fn keep_end(&mut self, sought: Vec<Sought>) {
        let reports = self.reports.clone();
        let blank = self.checkpoint_report(ShardCheckpoint::default());
        self.units.start(async move {
            let mut places = Places::new();
            for Sought { shard, place, .. } in sought {
                let Some(place) = place else { continue };
                let position = match &place {
                    Place::After(position) => position.to_string(),
                    Place::Ended => String::new(),
                };
                let ended = place == Place::Ended;
                let kept = ShardCheckpoint {
                    shard: shard.to_string(),
                    position,
                    ended,
                    ..ShardCheckpoint::default()
                };
                let report = CheckpointReport { checkpoint: Some(kept), ..blank.clone() };
                match reports.checkpoint(report).await {
                    Answered::Done => drop(places.insert(shard, place)),
                    answered => return Done::EndNotKept(answered),
                }
            }
            Done::EndKept(places)
        });
    }

    /// After the last record that was read where the engine still holds it, otherwise after what is settled.
    fn places_to_go_on(&self) -> Places {
        let mut places = self.places.clone();
        if self.connector.descriptor().outlives_connection {
            for (_, shard) in self.shards.iter() {
                if let Some(last) = shard.last() {
                    places.insert(shard.name.clone(), Place::After(last.position.clone()));
                }
            }
        }
        places
    }

    pub(super) fn receive(&mut self, id: ShardId, want: Want) {
        let current = self.connection;
        let Some(shard) = self.shards.get_mut(id) else { return };
        if shard.connection != current {
            shard.wanted = Some(want);
            return;
        }
        let (reader, connection) = (Arc::clone(&shard.reader), self.connection);
        self.units.start(async move {
            let received =
                bounded("a receive", want.wait + RECEIVE_GRACE, reader.receive(want)).await;
            Done::Received(connection, id, received)
        });
    }

    fn invoke(
        &mut self,
        id: ShardId,
        batch: BatchId,
        origin: Origin,
        records: Records,
        window: Option<WindowPart>,
    ) {
        let Some(shard) = self.shards.get(id) else { return };
        let elements = match origin {
            Origin::Source => shard.records(&records).into_iter().map(element).collect::<Vec<_>>(),
            Origin::Park(_) => shard
                .parked_records(&records)
                .into_iter()
                .map(|parked| parked.event.clone())
                .collect(),
        };
        debug_assert_eq!(
            elements.len() as u64,
            records.count(),
            "the engine holds what is not here"
        );
        let members = window.map(|part| WindowMembers {
            part,
            state: if part.has_state { shard.window_state.clone() } else { Bytes::new() },
            shard: shard.name.to_string(),
            source: self.plan.source_arn.clone(),
        });
        let (envelope, invoker) = (shard.envelope.clone(), self.invoker.clone());
        self.sent.insert(batch, Sent { shard: id, origin, records });
        self.units.start(async move {
            let payload = event(&envelope, &elements, members.as_ref());
            drop(elements);
            Done::Answered(id, batch, invoker.invoke(payload).await)
        });
    }

    fn settle(&mut self, id: ShardId, ticket: Ticket, verdicts: &[(Span, EngineVerdict)]) {
        let Some(shard) = self.shards.get(id) else { return };
        let mut settled = Vec::new();
        for (span, verdict) in verdicts {
            let verdict = told(*verdict);
            let records = span.iter().filter_map(|sequence| shard.at(sequence));
            settled.extend(
                records.map(|record| Settled { position: record.position.clone(), verdict }),
            );
        }
        let reader = Arc::clone(&shard.reader);
        self.units.start(async move {
            Done::Settled(
                id,
                ticket,
                bounded("settling", SETTLE_WAIT, reader.settle(settled)).await,
            )
        });
    }

    fn store_checkpoint(
        &mut self,
        id: ShardId,
        ticket: Ticket,
        through: Option<Sequence>,
        window: Option<WindowMark>,
    ) {
        let Some(shard) = self.shards.get_mut(id) else { return };
        let position =
            through.and_then(|through| shard.at(through)).map(|record| record.position.clone());
        if let Some(position) = &position {
            shard.settling = Some(position.as_str().into());
        }
        match (self.connector.descriptor().settling, position) {
            (Settling::LowWater(Keeper::Source), Some(position)) => {
                let reader = Arc::clone(&shard.reader);
                self.units.start(async move {
                    Done::Committed(
                        id,
                        ticket,
                        bounded("a commit", SETTLE_WAIT, reader.commit(position)).await,
                    )
                });
            }
            (_, position) => {
                if let Some(position) = position {
                    self.places.insert(shard.name.clone(), Place::After(position));
                }
                let kept = checkpoint(shard, self.places.get(&shard.name), window);
                let report = self.checkpoint_report(kept);
                let reports = self.reports.clone();
                self.units
                    .start(async move { Done::Kept(id, ticket, reports.checkpoint(report).await) });
            }
        }
    }

    fn finish(&mut self, id: ShardId) {
        let Some(shard) = self.shards.get(id) else { return };
        let kept = ShardCheckpoint {
            shard: shard.name.to_string(),
            ended: true,
            ..ShardCheckpoint::default()
        };
        let report = self.checkpoint_report(kept);
        let reports = self.reports.clone();
        self.units.start(async move { Done::Finished(id, reports.checkpoint(report).await) });
    }

    /// A shard that the source does not have any more: the broker need not know how far it was read.
    pub(super) fn forget(&mut self, name: &ShardName) {
        // Its records may still be parked.
        self.places.insert(name.clone(), Place::Ended);
        let gone = ShardCheckpoint {
            shard: name.to_string(),
            forgotten: true,
            ..ShardCheckpoint::default()
        };
        let report = self.checkpoint_report(gone);
        let reports = self.reports.clone();
        self.units.start(async move { Done::Forgotten(reports.checkpoint(report).await) });
        let orders = std::mem::take(&mut self.unparks);
        orders.into_iter().for_each(|order| self.unpark(order));
    }

    fn checkpoint_report(&self, checkpoint: ShardCheckpoint) -> CheckpointReport {
        CheckpointReport {
            mapping_id: self.plan.id.to_string(),
            fence: self.plan.fence,
            checkpoint: Some(checkpoint),
            ..CheckpointReport::default()
        }
    }

    /// Whether the broker took a report; a stale fence ends the mapping here.
    pub(super) fn is_done(&mut self, keeping: Keeping, answered: &Answered) -> bool {
        self.look_at_fence(answered);
        match answered {
            Answered::Done => self.status.kept(keeping),
            Answered::Failed(error) | Answered::Full(error) => self.status.not_kept(keeping, error),
            Answered::StaleFence | Answered::Lost => {}
        }
        *answered == Answered::Done
    }

    pub(super) fn look_at_fence(&mut self, answered: &Answered) {
        if *answered == Answered::StaleFence {
            tracing::warn!(mapping = %self.plan.id, "somebody else holds this mapping; its work here ends");
            self.fenced = true;
        }
    }
}

pub(super) fn element(record: &Record) -> Bytes {
    match &record.content {
        Content::Event(event) => event.clone(),
        // The engine never sends one.
        Content::TooLarge(_) => Bytes::from_static(b"null"),
    }
}

/// What the broker keeps of a shard: its place as it is, and the window with the state of its last answer.
fn checkpoint(shard: &Shard, place: Option<&Place>, window: Option<WindowMark>) -> ShardCheckpoint {
    let position = match place {
        Some(Place::After(position)) => position.to_string(),
        Some(Place::Ended) | None => String::new(),
    };
    let state = window.filter(|window| window.has_state).map(|_| shard.window_state.clone());
    ShardCheckpoint {
        shard: shard.name.to_string(),
        position,
        ended: false,
        forgotten: false,
        window_state: state.unwrap_or_default(),
        window_start_ms: window
            .and_then(|window| i64::try_from(window.start_ms).ok())
            .unwrap_or_default(),
    }
}

/// What a verdict of the engine is to a source.
const fn told(verdict: EngineVerdict) -> Verdict {
    match verdict {
        // What was set aside is at the broker; what was filtered out is over (LS 4.4).
        EngineVerdict::Done | EngineVerdict::Filtered | EngineVerdict::Parked => Verdict::Done,
        EngineVerdict::Rejected => Verdict::Rejected,
        EngineVerdict::Failed => Verdict::Failed,
        EngineVerdict::Released => Verdict::Released,
        EngineVerdict::Held => Verdict::Held,
    }
}
