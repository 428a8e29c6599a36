//! `MappingSettings` between the wire and the poll engine: ranges, defaults and patterns are defined there, once, and obeyed
//! by every poller (docs/adr/0005-poll-engine-in-broker.md). It decides nothing.

use trine_poll_engine::{
    Effective, ExhaustedPolicy, KeyOrder, ParameterError, ParameterName, Parameters, SetBy,
    SourceKind, StartingPosition,
};
use trine_proto::v1;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{EffectiveSetting, MappingSettings, Refusal, SettingOrigin, SourceConfig};

use super::settings::{destination, spell};
use crate::refusal::invalid;

/// The stored settings with what an update sets and clears.
pub(crate) fn changed(
    mut stored: MappingSettings,
    given: MappingSettings,
    clear: &[String],
) -> Result<MappingSettings, Refusal> {
    let names: Vec<&str> = clear.iter().map(String::as_str).collect();
    let updated = parameters(&stored)?.updated(&parameters(&given)?, &names);
    updated.map_err(|errors| refuse(&errors))?;
    macro_rules! apply {
        ($($field:ident),*) => {
            $(if given.$field.is_some() {
                stored.$field = given.$field;
            } else if names.contains(&stringify!($field)) {
                stored.$field = None;
            })*
        };
    }
    apply!(
        batch_size,
        batching_window_ms,
        parallelization_factor,
        maximum_concurrency,
        maximum_record_age_seconds,
        maximum_retry_attempts,
        bisect_batch_on_function_error,
        tumbling_window_seconds,
        report_batch_item_failures,
        on_failure,
        key_order,
        exhausted_policy,
        lookahead_records_max
    );
    if !given.filters.is_empty() || names.contains(&"filters") {
        stored.filters = given.filters;
    }
    Ok(stored)
}

/// Checked against what the source can do (LS 4.2, 4.4).
pub(crate) fn check(
    source: &SourceConfig,
    settings: &MappingSettings,
    now_ms: u64,
) -> Result<(), Refusal> {
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let effective = parameters(settings)?.effective(kind(source), now_ms);
    effective.map(drop).map_err(|errors| refuse(&errors))
}

/// All settings as they are in force, with where each came from (users.md A15).
pub(crate) fn effective(
    source: &SourceConfig,
    settings: &MappingSettings,
) -> Vec<EffectiveSetting> {
    // They were checked when they were set; a time that was in the past then still is.
    let known = parameters(settings).ok();
    let Some(known) = known.and_then(|known| known.effective(kind(source), i64::MAX).ok()) else {
        return Vec::new();
    };
    rows(&known, settings)
}

fn rows(effective: &Effective, settings: &MappingSettings) -> Vec<EffectiveSetting> {
    let rows = effective.rows().iter().map(|row| {
        let origin = match row.set_by {
            SetBy::Default => SettingOrigin::Default,
            SetBy::Mapping => SettingOrigin::Mapping,
        };
        let target = Some(row.name)
            .filter(|name| *name == ParameterName::OnFailure)
            .and_then(|_| destination(settings.on_failure.clone()?, "on_failure").ok());
        let value = target.map_or_else(|| row.value.clone(), |target| spell(&target));
        EffectiveSetting { name: row.name.to_string(), value, origin: origin.into() }
    });
    rows.collect()
}

/// Everything that is wrong in one answer; Lambda's own texts come first and as they are.
fn refuse(errors: &[ParameterError]) -> Refusal {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    invalid(texts.join("; "))
}

fn kind(source: &SourceConfig) -> SourceKind {
    match &source.source {
        Some(Source::Kafka(_)) => SourceKind::Kafka,
        Some(Source::Sqs(sqs)) if sqs.queue_arn.ends_with(".fifo") => SourceKind::SqsFifo,
        Some(Source::Sqs(_)) => SourceKind::Sqs,
        Some(Source::Kinesis(_)) => SourceKind::Kinesis,
        Some(Source::DynamodbStreams(_)) => SourceKind::DynamoDbStreams,
        Some(Source::Rabbitmq(_)) => SourceKind::RabbitMq,
        Some(Source::Activemq(_)) => SourceKind::ActiveMq,
        Some(Source::Nats(_)) => SourceKind::Nats,
        Some(Source::Redis(_)) => SourceKind::Redis,
        Some(Source::File(_)) => SourceKind::File,
        Some(Source::Custom(_)) | None => SourceKind::Custom,
    }
}

fn parameters(settings: &MappingSettings) -> Result<Parameters, Refusal> {
    let starting_position = match settings.starting_position.map(v1::StartingPosition::try_from) {
        None => None,
        Some(Ok(v1::StartingPosition::TrimHorizon)) => Some(StartingPosition::TrimHorizon),
        Some(Ok(v1::StartingPosition::Latest)) => Some(StartingPosition::Latest),
        Some(Ok(v1::StartingPosition::AtTimestamp)) => Some(StartingPosition::AtTimestamp),
        Some(_) => {
            let expected = "starting_position must be TRIM_HORIZON, LATEST or AT_TIMESTAMP.";
            return Err(invalid(expected));
        }
    };
    let key_order = match settings.key_order.map(v1::KeyOrder::try_from) {
        None => None,
        Some(Ok(v1::KeyOrder::Shard)) => Some(KeyOrder::Shard),
        Some(Ok(v1::KeyOrder::Key)) => Some(KeyOrder::Key),
        Some(_) => return Err(invalid("key_order must be SHARD or KEY.")),
    };
    let exhausted_policy = match settings.exhausted_policy.map(v1::ExhaustedPolicy::try_from) {
        None => None,
        Some(Ok(v1::ExhaustedPolicy::Discard)) => Some(ExhaustedPolicy::Discard),
        Some(Ok(v1::ExhaustedPolicy::ParkKey)) => Some(ExhaustedPolicy::ParkKey),
        Some(_) => return Err(invalid("exhausted_policy must be DISCARD or PARK_KEY.")),
    };
    Ok(Parameters {
        batch_size: settings.batch_size,
        batching_window_ms: settings.batching_window_ms,
        parallelization_factor: settings.parallelization_factor,
        maximum_concurrency: settings.maximum_concurrency,
        starting_position,
        starting_position_timestamp_ms: settings.starting_position_timestamp_ms,
        maximum_record_age_seconds: settings.maximum_record_age_seconds,
        maximum_retry_attempts: settings.maximum_retry_attempts,
        bisect_batch_on_function_error: settings.bisect_batch_on_function_error,
        tumbling_window_seconds: settings.tumbling_window_seconds,
        report_batch_item_failures: settings.report_batch_item_failures,
        on_failure: settings.on_failure.is_some(),
        filters: settings.filters.clone(),
        key_order,
        exhausted_policy,
        lookahead_records_max: settings.lookahead_records_max,
    })
}
