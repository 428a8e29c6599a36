//! A poller's frame, checked and turned into what the registry takes. A frame that breaks a bound ends the session: a
//! poller that does that is not one that a retry helps.

use bytes::Bytes;
use serde::de::IgnoredAny;
use trine_engine::mapping::{
    Checkpoint, CheckpointReport, MappingId, ParkReport, PollerId, SeekReport, ShardSeek,
    ShardStatus, Status, Under, Window,
};
use trine_proto::v1;
use trine_proto::v1::{PollerServiceSessionRequest, Refusal};
use trine_store::record::{ParkedEnvelope, encode_parked};

use super::mapping::{KEY_BYTES_MAX, POSITION_BYTES_MAX, SHARD_BYTES_MAX};
use super::mapping_view::counted;
use super::poller::OpenReports;
use crate::destinations::MessageKey;
use crate::mappings::message::{FailureRecord, PollerFrame};
use crate::refusal::invalid;
use crate::request_id;

/// Reports of all kinds in one frame, at most.
const REPORTS_MAX: usize = 4_096;

/// Records that one report parks, at most.
const PARKED_RECORDS_MAX: usize = 1_000;

/// Shards in one status or seek, at most.
const SHARDS_MAX: usize = 10_000;

/// The state of a window, in bytes (LS 4.6).
const WINDOW_BYTES_MAX: usize = 1 << 20;

/// Sentences are cut here, in characters.
const SENTENCE_CHARS_MAX: usize = 1_000;

/// Short words are cut here, in characters.
const WORD_CHARS_MAX: usize = 128;

/// A frame with the weight of each report that is answered, in the order checkpoints, parks, failures.
pub(super) struct Weighed {
    pub(super) frame: PollerFrame,
    pub(super) reports: Vec<u32>,
    /// Of the whole frame.
    pub(super) weight: u32,
}

impl PollerFrame {
    pub(super) fn is_empty(&self) -> bool {
        self.checkpoints.is_empty()
            && self.parks.is_empty()
            && self.failures.is_empty()
            && self.statuses.is_empty()
            && self.releases.is_empty()
            && self.seeks.is_empty()
            && !self.draining
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / 1024).unwrap_or(u32::MAX)
}

pub(super) fn read(
    poller: PollerId,
    frame: PollerServiceSessionRequest,
) -> Result<Weighed, Refusal> {
    if frame.hello.is_some() {
        return Err(invalid("Only the first frame of a session holds hello."));
    }
    let count = frame.checkpoints.len()
        + frame.parks.len()
        + frame.failures.len()
        + frame.statuses.len()
        + frame.releases.len()
        + frame.seeks.len();
    if count > REPORTS_MAX {
        return Err(invalid(format!(
            "A frame holds {count} reports, at most {REPORTS_MAX} are allowed."
        )));
    }
    let mut read = PollerFrame { draining: frame.draining, ..PollerFrame::default() };
    let mut reports = Vec::new();
    for report in frame.checkpoints {
        let under = under(poller, &report.mapping_id, report.fence)?;
        let kept = report.checkpoint.unwrap_or_default();
        reports.push(weight(kept.position.len() + kept.window_state.len()));
        let (shard, checkpoint) = reported(kept)?;
        let report = CheckpointReport { ticket: report.ticket, shard, checkpoint };
        read.checkpoints.push((under, report));
    }
    for report in frame.parks {
        let under = under(poller, &report.mapping_id, report.fence)?;
        let events: usize = report.records.iter().map(|record| record.event.len()).sum();
        reports.push(weight(events + report.key.len()));
        let (report, records) = park(report)?;
        read.parks.push((under, report, records));
    }
    for report in frame.failures {
        let under = under(poller, &report.mapping_id, report.fence)?;
        let key = report.one.map_or(MessageKey::Id, |one| MessageKey::OfSource(one.key));
        reports.push(weight(report.record.len() + key.bytes()));
        if serde_json::from_slice::<IgnoredAny>(&report.record).is_err() {
            return Err(invalid("A failure's record must be a JSON text."));
        }
        let record = FailureRecord { json: report.record, key };
        read.failures.push((under, report.ticket, record));
    }
    for report in frame.statuses {
        let under = under(poller, &report.mapping_id, report.fence)?;
        let added = counted(&report.added.unwrap_or_default());
        read.statuses.push((under, status(report)?, added));
    }
    for release in frame.releases {
        read.releases.push(under(poller, &release.mapping_id, release.fence)?);
    }
    for report in frame.seeks {
        read.seeks.push((report.ticket, sought(report)?));
    }
    let others = u32::try_from(count - reports.len()).unwrap_or(u32::MAX);
    let total = reports.iter().fold(others, |sum, weight| sum.saturating_add(*weight));
    Ok(Weighed { frame: read, reports, weight: total })
}

/// Gives every report that is answered a number of the session's own; with the weight of what is not answered.
pub(super) fn numbered(
    mut frame: PollerFrame,
    weights: &[u32],
    open: &OpenReports,
    weight: u32,
) -> (PollerFrame, u32) {
    let checkpoints = frame.checkpoints.iter_mut().map(|(_, report)| &mut report.ticket);
    let parks = frame.parks.iter_mut().map(|(_, report, _)| &mut report.ticket);
    let failures = frame.failures.iter_mut().map(|(_, ticket, _)| ticket);
    let mut answered = 0;
    for (ticket, weight) in checkpoints.chain(parks).chain(failures).zip(weights) {
        *ticket = open.number(*ticket, *weight);
        answered += weight;
    }
    (frame, weight - answered)
}

fn under(poller: PollerId, mapping: &str, fence: u64) -> Result<Under, Refusal> {
    let id = request_id::parse(mapping);
    let id = id.ok_or_else(|| invalid("A report names no mapping: its mapping_id is no UUID."))?;
    Ok(Under { poller, mapping: MappingId(id.0), fence })
}

fn shard_name(shard: String) -> Result<Box<str>, Refusal> {
    if shard.len() > SHARD_BYTES_MAX {
        return Err(invalid(format!("A shard's name has more than {SHARD_BYTES_MAX} bytes.")));
    }
    Ok(shard.into())
}

/// Of a report, in which a shard may be forgotten.
fn reported(kept: v1::ShardCheckpoint) -> Result<(Box<str>, Option<Checkpoint>), Refusal> {
    if kept.forgotten {
        return Ok((shard_name(kept.shard)?, None));
    }
    let (shard, checkpoint) = checkpoint(kept)?;
    Ok((shard, Some(checkpoint)))
}

fn checkpoint(kept: v1::ShardCheckpoint) -> Result<(Box<str>, Checkpoint), Refusal> {
    if kept.position.len() > POSITION_BYTES_MAX {
        return Err(invalid(format!("A position has more than {POSITION_BYTES_MAX} bytes.")));
    }
    if kept.window_state.len() > WINDOW_BYTES_MAX {
        return Err(invalid(format!("A window's state has more than {WINDOW_BYTES_MAX} bytes.")));
    }
    let (state, start_ms) = (kept.window_state, kept.window_start_ms);
    let window = (!state.is_empty()).then(|| Window { state: state.to_vec().into(), start_ms });
    let position = kept.position.into();
    Ok((shard_name(kept.shard)?, Checkpoint { position, ended: kept.ended, window }))
}

fn park(report: v1::ParkReport) -> Result<(ParkReport, Vec<Bytes>), Refusal> {
    if report.records.len() > PARKED_RECORDS_MAX {
        return Err(invalid(format!("A report parks more than {PARKED_RECORDS_MAX} records.")));
    }
    if report.settled > 0 && !report.records.is_empty() {
        return Err(invalid("A report parks records or settles parked ones, not both."));
    }
    if report.key.len() > KEY_BYTES_MAX {
        return Err(invalid(format!("A key has more than {KEY_BYTES_MAX} bytes.")));
    }
    let mut rows = Vec::with_capacity(report.records.len());
    for record in report.records {
        if serde_json::from_slice::<IgnoredAny>(&record.event).is_err() {
            return Err(invalid("A parked record's event must be a JSON text."));
        }
        rows.push(encode_parked(&ParkedEnvelope {
            event: record.event,
            identifier: record.identifier,
            position: record.position,
            arrived_at_ms: record.arrived_at_ms,
        }));
    }
    let report = ParkReport {
        ticket: report.ticket,
        shard: shard_name(report.shard)?,
        key: report.key.to_vec().into(),
        records: rows.iter().map(|row| u32::try_from(row.len()).unwrap_or(u32::MAX)).collect(),
        error: cut(report.error, SENTENCE_CHARS_MAX),
        settled: report.settled,
    };
    Ok((report, rows))
}

fn status(report: v1::StatusReport) -> Result<Status, Refusal> {
    if report.shards.len() > SHARDS_MAX {
        return Err(invalid(format!("A status names more than {SHARDS_MAX} shards.")));
    }
    let shards = report.shards.into_iter().map(|shard| ShardStatus {
        shard: cut(shard.shard, SHARD_BYTES_MAX),
        checkpoint: cut(shard.checkpoint, POSITION_BYTES_MAX),
        lag_records: shard.lag_records,
        iterator_age_ms: shard.iterator_age_ms,
        phase: cut(shard.phase, WORD_CHARS_MAX),
    });
    Ok(Status {
        waiting_for: cut(report.waiting_for, SENTENCE_CHARS_MAX),
        problem: cut(report.problem, WORD_CHARS_MAX),
        error: cut(report.error, SENTENCE_CHARS_MAX),
        last_processing_result: cut(report.last_processing_result, SENTENCE_CHARS_MAX),
        shards: shards.collect(),
        until: report.until_ms.and_then(|at| u64::try_from(at).ok()),
        live: report.live,
    })
}

fn sought(report: v1::SeekReport) -> Result<SeekReport, Refusal> {
    if report.shards.len().max(report.checkpoints.len()) > SHARDS_MAX {
        return Err(invalid(format!("A seek names more than {SHARDS_MAX} shards.")));
    }
    let shards = report.shards.into_iter().map(|seek| ShardSeek {
        shard: cut(seek.shard, SHARD_BYTES_MAX),
        from: cut(seek.from, POSITION_BYTES_MAX),
        to: cut(seek.to, POSITION_BYTES_MAX),
        read_again: seek.read_again,
        skipped: seek.skipped,
    });
    let checkpoints: Result<_, _> = report.checkpoints.into_iter().map(checkpoint).collect();
    Ok(SeekReport {
        shards: shards.collect(),
        checkpoints: checkpoints?,
        error: cut(report.error, SENTENCE_CHARS_MAX),
    })
}

/// What is only shown may be shortened.
/// For people, on one line of a terminal: what a server has said to a poller may hold anything.
fn cut(text: String, chars_max: usize) -> Box<str> {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(chars_max).map(plain).collect::<String>().into()
}
