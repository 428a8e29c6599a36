//! What the registry has for a poller, cut into frames: none comes near the largest that a client takes, and nothing
//! overtakes what it depends on. It decides nothing.

use std::collections::VecDeque;

use trine_engine::mapping::ReportOutcome as Outcome;
use trine_proto::FRAME_BYTES_TARGET;
use trine_proto::v1::{
    Assignment, ParkedKeyState, ParkedRecord, PollerServiceSessionResponse, ReportAnswer,
    ReportOutcome, Revocation, SeekOrder, ShardCheckpoint, UnparkOrder,
};
use trine_store::record::ParkedEnvelope;

use super::mapping_view::{mapping, shard_checkpoint};
use super::poller::OpenReports;
use crate::mappings::sessions::{AssignmentNews, PollerNews, SeekNews, UnparkNews};

/// More than the numbers and tags of one thing need.
const THING_BYTES: usize = 64;

/// One thing that a frame holds.
#[derive(Debug)]
enum Thing {
    Assignment(Box<Assignment>),
    Revocation(Revocation),
    Answer { number: u64, outcome: Outcome, error: String },
    Seek(SeekOrder),
    Unpark(UnparkOrder),
    Draining,
}

/// What has not left yet, in order.
#[derive(Debug, Default)]
pub(super) struct Rest(VecDeque<(usize, Thing)>);

impl Rest {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, news: PollerNews) {
        for assignment in news.assignments {
            self.assignment(assignment);
        }
        for (mapping, fence, drain_ms) in news.revocations {
            let drain_ms = u32::try_from(drain_ms).unwrap_or(u32::MAX);
            let revocation = Revocation { mapping_id: mapping.to_string(), fence, drain_ms };
            self.0.push_back((THING_BYTES + 36, Thing::Revocation(revocation)));
        }
        for (number, outcome, error) in news.answers {
            let bytes = THING_BYTES + error.len();
            self.0.push_back((bytes, Thing::Answer { number, outcome, error }));
        }
        for seek in news.seeks {
            let SeekNews { ticket, mapping, fence, target, preview } = seek;
            let bytes = THING_BYTES + prost::Message::encoded_len(&target);
            let mapping_id = mapping.to_string();
            let order = SeekOrder { ticket, mapping_id, fence, target: Some(target), preview };
            self.0.push_back((bytes, Thing::Seek(order)));
        }
        for unpark in news.unparks {
            let order = unpark_order(unpark);
            let bytes = THING_BYTES + prost::Message::encoded_len(&order);
            self.0.push_back((bytes, Thing::Unpark(order)));
        }
        if news.draining {
            self.0.push_back((1, Thing::Draining));
        }
    }

    /// An assignment with many checkpoints or parked keys goes in pieces, each in a frame of its own but the last.
    fn assignment(&mut self, news: AssignmentNews) {
        let AssignmentNews { view, fence, paused, checkpoints, parked } = news;
        let head =
            Assignment { mapping: Some(mapping(&view)), fence, paused, ..Assignment::default() };
        let empty = prost::Message::encoded_len(&head) + THING_BYTES;
        let (mut piece, mut bytes) = (head, empty);
        let id = view.id.to_string();
        let checkpoints = checkpoints.iter().map(|(shard, kept)| {
            let kept = shard_checkpoint(shard, kept);
            (prost::Message::encoded_len(&kept) + THING_BYTES, Part::Checkpoint(kept))
        });
        let parked = parked.into_iter().map(|key| {
            let state = ParkedKeyState {
                shard: key.shard.to_string(),
                key: key.key.to_vec().into(),
                records: key.records,
                unparking: key.unparking,
            };
            (prost::Message::encoded_len(&state) + THING_BYTES, Part::Parked(state))
        });
        for (size, part) in checkpoints.chain(parked) {
            let has_parts = !piece.checkpoints.is_empty() || !piece.parked.is_empty();
            if has_parts && bytes + size > FRAME_BYTES_TARGET {
                let mapping = trine_proto::v1::Mapping { id: id.clone(), ..Default::default() };
                let next =
                    Assignment { mapping: Some(mapping), fence, paused, ..Assignment::default() };
                let mut full = std::mem::replace(&mut piece, next);
                full.more = true;
                // Counted as a whole frame: nothing shares it.
                self.0.push_back((FRAME_BYTES_TARGET, Thing::Assignment(Box::new(full))));
                bytes = THING_BYTES;
            }
            bytes += size;
            match part {
                Part::Checkpoint(kept) => piece.checkpoints.push(kept),
                Part::Parked(state) => piece.parked.push(state),
            }
        }
        self.0.push_back((bytes, Thing::Assignment(Box::new(piece))));
    }

    /// The first frame's worth. The parts of a frame are applied in the order of their numbers: what would be applied
    /// too early waits for the next frame.
    pub(super) fn frame(&mut self, open: &OpenReports) -> PollerServiceSessionResponse {
        let mut frame = PollerServiceSessionResponse::default();
        let (mut total, mut rank) = (0, 0);
        while let Some((bytes, thing)) = self.0.front() {
            if total > 0 && (total + bytes > FRAME_BYTES_TARGET || thing.rank() < rank) {
                break;
            }
            (total, rank) = (total + bytes, thing.rank());
            let Some((_, thing)) = self.0.pop_front() else { break };
            match thing {
                Thing::Assignment(assignment) => frame.assignments.push(*assignment),
                Thing::Revocation(revocation) => frame.revocations.push(revocation),
                Thing::Answer { number, outcome, error } => {
                    let (ticket, outcome) = (open.answered(number), wire_outcome(outcome).into());
                    frame.answers.push(ReportAnswer { ticket, outcome, error });
                }
                Thing::Seek(order) => frame.seeks.push(order),
                Thing::Unpark(order) => frame.unparks.push(order),
                Thing::Draining => frame.draining = true,
            }
        }
        frame
    }
}

enum Part {
    Checkpoint(ShardCheckpoint),
    Parked(ParkedKeyState),
}

impl Thing {
    /// The place of its part in a frame.
    fn rank(&self) -> u8 {
        match self {
            Self::Assignment(_) => 2,
            Self::Revocation(_) => 3,
            Self::Answer { .. } => 4,
            Self::Seek(_) => 5,
            Self::Unpark(_) => 6,
            Self::Draining => 7,
        }
    }
}

fn unpark_order(news: UnparkNews) -> UnparkOrder {
    let UnparkNews { mapping, fence, shard, key, records, left, dropped } = news;
    let records = records.into_iter().map(|record| {
        let ParkedEnvelope { event, identifier, position, arrived_at_ms } = record;
        ParkedRecord { identifier, position, arrived_at_ms, event }
    });
    UnparkOrder {
        mapping_id: mapping.to_string(),
        fence,
        shard: shard.to_string(),
        key: key.to_vec().into(),
        records: records.collect(),
        left,
        dropped,
    }
}

fn wire_outcome(outcome: Outcome) -> ReportOutcome {
    match outcome {
        Outcome::Done => ReportOutcome::Done,
        Outcome::StaleFence => ReportOutcome::StaleFence,
        Outcome::Failed => ReportOutcome::Failed,
        Outcome::Full => ReportOutcome::Full,
    }
}
