//! Seeks: what the broker orders, where the source says that is, and what the broker is told of it. It does not move anything: the
//! connector does, once nothing of the mapping runs.

use std::time::Duration;

use tokio::sync::oneshot;
use trine_proto::v1::{
    PollerServiceSessionRequest, SeekOrder, SeekReport, ShardCheckpoint, ShardSeek,
};

use super::Session;
use super::held::{Then, Worked};
use crate::SourceError;
use crate::clock::monotonic;
use crate::plan::Plan;
use crate::runner::Command;
use crate::source::{Place, Places, SeekTo, ShardName, Sought, Target};

/// Longest time for a seek, its preview included.
const SEEK_WAIT: Duration = Duration::from_secs(60);

impl Session {
    pub(super) async fn seek(&mut self, order: SeekOrder) {
        let id = order.mapping_id.clone();
        let ticket = order.ticket;
        let Some(held) = self.mappings.held_under(&id, order.fence) else {
            return self
                .sought(
                    ticket,
                    Err(SourceError::configuration(
                        "this poller does not hold the mapping under this fence",
                    )),
                )
                .await;
        };
        if held.plan.is_none() {
            return self
                .sought(
                    ticket,
                    Err(SourceError::configuration("the mapping cannot be read; see its error")),
                )
                .await;
        }
        if order.preview {
            return self.preview(&id, order);
        }
        held.stop(Then::Seek(order), monotonic() + SEEK_WAIT);
    }

    /// Moves nothing, so nothing has to stop for it.
    fn preview(&mut self, id: &str, order: SeekOrder) {
        let Some(held) = self.mappings.held.get(id) else { return };
        let Some(plan) = held.plan.clone() else { return };
        let (asked, told) = oneshot::channel();
        held.command(Command::Places(asked));
        let (before, reports) = (held.places.clone(), self.reports.clone());
        self.mappings.working.spawn(async move {
            let places = told.await.unwrap_or(before);
            let ticket = order.ticket;
            let result = sought_in(&plan, places, order).await;
            reports.send(seek_report(ticket, result)).await;
            Worked::Previewed
        });
    }

    pub(super) async fn sought(&self, ticket: u64, result: Result<Vec<Sought>, SourceError>) {
        self.reports.send(seek_report(ticket, result)).await;
    }
}

pub(super) async fn sought_in(
    plan: &Plan,
    places: Places,
    order: SeekOrder,
) -> Result<Vec<Sought>, SourceError> {
    let preview = order.preview;
    let seeking = plan.connector.seek(places, target(order), preview);
    let late = || SourceError::unreachable("the source did not answer in time");
    tokio::time::timeout(SEEK_WAIT, seeking).await.unwrap_or_else(|_| Err(late()))
}

fn seek_report(
    ticket: u64,
    result: Result<Vec<Sought>, SourceError>,
) -> PollerServiceSessionRequest {
    let report = match result {
        Ok(sought) => SeekReport {
            ticket,
            checkpoints: sought.iter().filter_map(checkpoint).collect(),
            shards: sought.into_iter().map(told).collect(),
            error: String::new(),
        },
        Err(error) => SeekReport { ticket, error: error.to_string(), ..SeekReport::default() },
    };
    PollerServiceSessionRequest { seeks: vec![report], ..PollerServiceSessionRequest::default() }
}

fn target(order: SeekOrder) -> Target {
    use trine_proto::v1::StartingPosition;
    use trine_proto::v1::seek_target::Target as To;
    let target = order.target.unwrap_or_default();
    let to = match target.target {
        Some(To::Position(position)) => SeekTo::Position(position),
        Some(To::TimestampMs(at)) => SeekTo::Timestamp(at),
        Some(To::Edge(edge)) if edge == i32::from(StartingPosition::Latest) => SeekTo::End,
        Some(To::Edge(_)) | None => SeekTo::Start,
    };
    Target { shard: (!target.shard.is_empty()).then(|| ShardName::new(&target.shard)), to }
}

fn told(sought: Sought) -> ShardSeek {
    let Sought { shard, from, to, read_again, skipped, .. } = sought;
    ShardSeek { shard: shard.to_string(), from, to, read_again, skipped }
}

fn checkpoint(sought: &Sought) -> Option<ShardCheckpoint> {
    let place = sought.place.as_ref()?;
    let position = match place {
        Place::After(position) => position.to_string(),
        Place::Ended => String::new(),
    };
    Some(ShardCheckpoint {
        shard: sought.shard.to_string(),
        position,
        ended: *place == Place::Ended,
        ..ShardCheckpoint::default()
    })
}
