//! A mapping as the registry shows it, for the wire. It decides nothing.

use trine_engine::Millis;
use trine_engine::mapping::{
    Checkpoint, Count, Counts, MappingMode, MappingState, MappingView, ShardStatus,
};
use trine_proto::v1;

use crate::mappings::definition;
use crate::mappings::definition::Document;

/// What is answered as the time of something.
pub(crate) fn time(ms: Millis) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

pub(crate) fn mapping(view: &MappingView) -> v1::Mapping {
    // A definition that cannot be read has stopped the start.
    let Document { source, settings } = definition::read(&view.definition).unwrap_or_default();
    let settings = settings.unwrap_or_default();
    let effective =
        source.as_ref().map(|source| super::mapping_settings::effective(source, &settings));
    v1::Mapping {
        id: view.id.to_string(),
        arn: format!("trine:event-source-mapping:{}", view.id),
        function: view.definition.function.to_string(),
        qualifier: view.definition.qualifier.to_string(),
        effective: effective.unwrap_or_default(),
        source,
        settings: Some(settings),
        state: state(view.state).into(),
        state_transition_reason: transition_reason(view),
        last_processing_result: last_result(view),
        created_at_ms: time(view.created_at),
        modified_at_ms: time(view.modified_at),
        mode: mode(view.mode).into(),
        activity: Some(activity(view)),
    }
}

/// As Lambda words it (LS 4.1).
fn transition_reason(view: &MappingView) -> String {
    let problem = view.status.as_ref().map_or("", |status| &status.problem);
    let words = match (problem, &*view.definition.kind) {
        ("", "sqs") => "USER_INITIATED",
        ("", _) => "User action",
        (problem, _) => problem,
    };
    words.to_owned()
}

fn last_result(view: &MappingView) -> String {
    let told = view.status.as_ref().map_or("", |status| &status.last_processing_result);
    if told.is_empty() { "No records processed" } else { told }.to_owned()
}

fn activity(view: &MappingView) -> v1::MappingActivity {
    let status = view.status.as_ref();
    let shards = status.into_iter().flat_map(|status| &status.shards);
    v1::MappingActivity {
        poller: view.holder.as_ref().map_or_else(String::new, |holder| holder.poller.to_string()),
        fence: view.holder.as_ref().map_or(0, |holder| holder.fence),
        waiting_for: status.map_or_else(String::new, |status| status.waiting_for.to_string()),
        shards: shards.map(shard_activity).collect(),
        counts: Some(counts(&view.counts)),
        parked_keys: view.parked_keys,
        parked_records: view.parked_records,
        told_at_ms: view.told_at.map(time),
    }
}

fn shard_activity(shard: &ShardStatus) -> v1::ShardActivity {
    v1::ShardActivity {
        shard: shard.shard.to_string(),
        checkpoint: shard.checkpoint.to_string(),
        lag_records: shard.lag_records,
        iterator_age_ms: shard.iterator_age_ms,
        phase: shard.phase.to_string(),
    }
}

pub(crate) fn shard_checkpoint(shard: &str, checkpoint: &Checkpoint) -> v1::ShardCheckpoint {
    let window = checkpoint.window.as_ref();
    v1::ShardCheckpoint {
        shard: shard.to_owned(),
        position: checkpoint.position.to_string(),
        ended: checkpoint.ended,
        window_state: window.map(|window| window.state.to_vec().into()).unwrap_or_default(),
        window_start_ms: window.map_or(0, |window| window.start_ms),
        forgotten: false,
    }
}

pub(crate) fn counts(counts: &Counts) -> v1::MappingCounts {
    let of = |count| counts.get(count);
    v1::MappingCounts {
        polled_events: of(Count::PolledEvents),
        filtered_out_events: of(Count::FilteredOutEvents),
        invoked_events: of(Count::InvokedEvents),
        failed_invoke_events: of(Count::FailedInvokeEvents),
        dropped_events: of(Count::DroppedEvents),
        on_failure_delivered_events: of(Count::OnFailureDeliveredEvents),
        deleted_events: of(Count::DeletedEvents),
        committed_events: of(Count::CommittedEvents),
        polling_errors: of(Count::PollingErrors),
        invoke_errors: of(Count::InvokeErrors),
        commit_errors: of(Count::CommitErrors),
        on_failure_delivery_errors: of(Count::OnFailureDeliveryErrors),
        throttles: of(Count::Throttles),
        parked_events: of(Count::ParkedEvents),
        reconnects: of(Count::Reconnects),
        source_gaps: of(Count::SourceGaps),
    }
}

pub(crate) fn counted(given: &v1::MappingCounts) -> Counts {
    let mut counts = Counts::default();
    for (count, value) in [
        (Count::PolledEvents, given.polled_events),
        (Count::FilteredOutEvents, given.filtered_out_events),
        (Count::InvokedEvents, given.invoked_events),
        (Count::FailedInvokeEvents, given.failed_invoke_events),
        (Count::DroppedEvents, given.dropped_events),
        (Count::OnFailureDeliveredEvents, given.on_failure_delivered_events),
        (Count::DeletedEvents, given.deleted_events),
        (Count::CommittedEvents, given.committed_events),
        (Count::PollingErrors, given.polling_errors),
        (Count::InvokeErrors, given.invoke_errors),
        (Count::CommitErrors, given.commit_errors),
        (Count::OnFailureDeliveryErrors, given.on_failure_delivery_errors),
        (Count::Throttles, given.throttles),
        (Count::ParkedEvents, given.parked_events),
        (Count::Reconnects, given.reconnects),
        (Count::SourceGaps, given.source_gaps),
    ] {
        counts.set(count, value);
    }
    counts
}

fn state(state: MappingState) -> v1::MappingState {
    match state {
        MappingState::Creating => v1::MappingState::Creating,
        MappingState::Enabling => v1::MappingState::Enabling,
        MappingState::Enabled => v1::MappingState::Enabled,
        MappingState::Disabling => v1::MappingState::Disabling,
        MappingState::Disabled => v1::MappingState::Disabled,
        MappingState::Updating => v1::MappingState::Updating,
        MappingState::Deleting => v1::MappingState::Deleting,
        MappingState::Paused => v1::MappingState::Paused,
    }
}

fn mode(mode: MappingMode) -> v1::MappingMode {
    match mode {
        MappingMode::Enabled => v1::MappingMode::Enabled,
        MappingMode::Disabled => v1::MappingMode::Disabled,
        MappingMode::Paused => v1::MappingMode::Paused,
    }
}
