//! Mappings as they are shown.

pub(crate) mod parked;
mod source;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use trine_proto::v1::{self, MappingState, SettingOrigin};

use crate::output::View;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Table};
use crate::view::mapping::source::{filled, source_json, source_words};
use crate::view::short;
use crate::{destination, duration, instant};

/// Everything about one mapping.
#[derive(Debug, Serialize)]
pub(crate) struct MappingView {
    id: String,
    arn: String,
    function: String,
    qualifier: String,
    source: Value,
    settings: Value,
    effective: Vec<EffectiveView>,
    #[serde(serialize_with = "as_state")]
    state: MappingState,
    state_transition_reason: String,
    last_processing_result: String,
    mode: String,
    created_at_ms: i64,
    modified_at_ms: i64,
    activity: ActivityView,
}

/// A value in force and where it came from.
#[derive(Debug, Serialize)]
struct EffectiveView {
    name: String,
    value: String,
    origin: String,
}

#[derive(Debug, Default, Serialize)]
struct ActivityView {
    poller: Option<String>,
    fence: u64,
    waiting_for: String,
    shards: Vec<ShardView>,
    counts: Value,
    parked_keys: u64,
    parked_records: u64,
    told_at_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct ShardView {
    shard: String,
    checkpoint: String,
    lag_records: Option<u64>,
    iterator_age_ms: Option<u64>,
    phase: String,
}

fn as_state<S: serde::Serializer>(state: &MappingState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&state_name(*state))
}

fn state_name(state: MappingState) -> String {
    short(state.as_str_name(), "MAPPING_STATE_")
}

impl From<v1::Mapping> for MappingView {
    fn from(mapping: v1::Mapping) -> Self {
        let state = mapping.state();
        let mode = short(mapping.mode().as_str_name(), "MAPPING_MODE_");
        let source = mapping.source.and_then(|config| config.source);
        Self {
            id: mapping.id,
            arn: mapping.arn,
            function: mapping.function,
            qualifier: mapping.qualifier,
            source: source.map_or(Value::Null, source_json),
            settings: settings_json(mapping.settings.unwrap_or_default()),
            effective: mapping.effective.into_iter().map(EffectiveView::from).collect(),
            state,
            state_transition_reason: mapping.state_transition_reason,
            last_processing_result: mapping.last_processing_result,
            mode,
            created_at_ms: mapping.created_at_ms,
            modified_at_ms: mapping.modified_at_ms,
            activity: mapping.activity.map(ActivityView::from).unwrap_or_default(),
        }
    }
}

impl From<v1::EffectiveSetting> for EffectiveView {
    fn from(setting: v1::EffectiveSetting) -> Self {
        let origin = short(setting.origin().as_str_name(), "SETTING_ORIGIN_");
        Self { name: setting.name, value: setting.value, origin }
    }
}

impl From<v1::MappingActivity> for ActivityView {
    fn from(activity: v1::MappingActivity) -> Self {
        let shards = activity.shards.into_iter().map(|shard| ShardView {
            shard: shard.shard,
            checkpoint: shard.checkpoint,
            lag_records: shard.lag_records,
            iterator_age_ms: shard.iterator_age_ms,
            phase: shard.phase,
        });
        Self {
            poller: Some(activity.poller).filter(|name| !name.is_empty()),
            fence: activity.fence,
            waiting_for: activity.waiting_for,
            shards: shards.collect(),
            counts: counts_json(activity.counts.unwrap_or_default()),
            parked_keys: activity.parked_keys,
            parked_records: activity.parked_records,
            told_at_ms: activity.told_at_ms,
        }
    }
}

fn settings_json(settings: v1::MappingSettings) -> Value {
    let named = |set: Option<i32>, name: &dyn Fn(i32) -> Option<String>| json!(set.and_then(name));
    let position = |number| {
        let position = v1::StartingPosition::try_from(number).ok()?;
        Some(short(position.as_str_name(), "STARTING_POSITION_"))
    };
    let order =
        |number| Some(short(v1::KeyOrder::try_from(number).ok()?.as_str_name(), "KEY_ORDER_"));
    let policy = |number| {
        let policy = v1::ExhaustedPolicy::try_from(number).ok()?;
        Some(short(policy.as_str_name(), "EXHAUSTED_POLICY_"))
    };
    filled([
        ("batch_size", json!(settings.batch_size)),
        ("batching_window_ms", json!(settings.batching_window_ms)),
        ("parallelization_factor", json!(settings.parallelization_factor)),
        ("maximum_concurrency", json!(settings.maximum_concurrency)),
        ("starting_position", named(settings.starting_position, &position)),
        ("starting_position_timestamp_ms", json!(settings.starting_position_timestamp_ms)),
        ("maximum_record_age_seconds", json!(settings.maximum_record_age_seconds)),
        ("maximum_retry_attempts", json!(settings.maximum_retry_attempts)),
        ("bisect_batch_on_function_error", json!(settings.bisect_batch_on_function_error)),
        ("tumbling_window_seconds", json!(settings.tumbling_window_seconds)),
        ("report_batch_item_failures", json!(settings.report_batch_item_failures)),
        ("on_failure", json!(settings.on_failure.as_ref().map(destination::show))),
        ("filters", json!(settings.filters)),
        ("key_order", named(settings.key_order, &order)),
        ("exhausted_policy", named(settings.exhausted_policy, &policy)),
        ("lookahead_records_max", json!(settings.lookahead_records_max)),
    ])
}

fn counts_json(counts: v1::MappingCounts) -> Value {
    json!({
        "polled_events": counts.polled_events,
        "filtered_out_events": counts.filtered_out_events,
        "invoked_events": counts.invoked_events,
        "failed_invoke_events": counts.failed_invoke_events,
        "dropped_events": counts.dropped_events,
        "on_failure_delivered_events": counts.on_failure_delivered_events,
        "deleted_events": counts.deleted_events,
        "committed_events": counts.committed_events,
        "polling_errors": counts.polling_errors,
        "invoke_errors": counts.invoke_errors,
        "commit_errors": counts.commit_errors,
        "on_failure_delivery_errors": counts.on_failure_delivery_errors,
        "throttles": counts.throttles,
        "parked_events": counts.parked_events,
        "reconnects": counts.reconnects,
        "source_gaps": counts.source_gaps,
    })
}

impl MappingView {
    fn state_cell(&self) -> Cell {
        let tone = match self.state {
            MappingState::Enabled => Tone::Good,
            MappingState::Disabled => Tone::Quiet,
            MappingState::Paused => Tone::Attention,
            _ => Tone::Plain,
        };
        Cell::new(state_name(self.state), tone)
    }

    fn count(&self, name: &str) -> String {
        self.activity.counts[name].as_u64().unwrap_or(0).to_string()
    }
}

impl View for MappingView {
    fn text(&self, paint: Paint) -> String {
        let mut head = Table::pairs();
        head.pair("mapping", Cell::new(&self.id, Tone::Strong));
        head.pair("arn", self.arn.as_str());
        head.pair("function", self.function.as_str());
        head.pair("qualifier", self.qualifier.as_str());
        head.pair("source", self.source.to_string());
        head.pair("state", self.state_cell());
        head.pair("because", self.state_transition_reason.as_str());
        head.pair("last result", self.last_processing_result.as_str());
        head.pair("created", instant::show(self.created_at_ms));
        head.pair("modified", instant::show(self.modified_at_ms));

        let mut settings = Table::new(&["SETTING", "VALUE", "FROM"]);
        let default = short(SettingOrigin::Default.as_str_name(), "SETTING_ORIGIN_");
        for setting in &self.effective {
            let tone = if setting.origin == default { Tone::Quiet } else { Tone::Plain };
            settings.row([
                setting.name.as_str().into(),
                if setting.value.is_empty() { "-".into() } else { setting.value.as_str().into() },
                Cell::new(&setting.origin, tone),
            ]);
        }
        let mut parts = vec![head.text(paint), settings.text(paint), self.activity.text(paint)];
        parts.extend(self.activity.shards_text(paint));
        parts.join("\n\n")
    }
}

impl ActivityView {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::pairs();
        table.pair(
            "poller",
            match &self.poller {
                Some(name) => Cell::new(name, Tone::Plain),
                None => Cell::new("none", Tone::Attention),
            },
        );
        table.pair("waiting for", self.waiting_for.as_str());
        table.pair("told", self.told_at_ms.map(instant::show).unwrap_or_default());
        if self.parked_keys > 0 {
            let parked = format!("{} records of {} keys", self.parked_records, self.parked_keys);
            table.pair("parked", Cell::new(parked, Tone::Attention));
        }
        for (name, count) in self.counts.as_object().into_iter().flatten() {
            if count.as_u64().is_some_and(|count| count > 0) {
                table.pair(&name.replace('_', " "), count.to_string());
            }
        }
        table.text(paint)
    }

    fn shards_text(&self, paint: Paint) -> Option<String> {
        if self.shards.is_empty() {
            return None;
        }
        let mut table = Table::new(&["SHARD", "CHECKPOINT", ">LAG", ">AGE", "PHASE"]);
        for shard in &self.shards {
            let age = shard.iterator_age_ms.map(|ms| duration::rough(Duration::from_millis(ms)));
            table.row([
                shard.shard.as_str().into(),
                if shard.checkpoint.is_empty() { "-" } else { &shard.checkpoint }.into(),
                shard.lag_records.map_or_else(|| "-".to_owned(), |lag| lag.to_string()).into(),
                age.unwrap_or_else(|| "-".to_owned()).into(),
                shard.phase.as_str().into(),
            ]);
        }
        Some(table.text(paint))
    }
}

/// Many of them.
#[derive(Debug, Serialize)]
pub(crate) struct MappingsView {
    pub(crate) mappings: Vec<MappingView>,
}

impl View for MappingsView {
    fn text(&self, paint: Paint) -> String {
        if self.mappings.is_empty() {
            return "no mappings; `trine mapping create FUNCTION --SOURCE …` makes one".to_owned();
        }
        let mut table = Table::new(&[
            "ID", "FUNCTION", "SOURCE", "STATE", "POLLER", ">INVOKED", ">FAILED", ">PARKED",
        ]);
        for mapping in &self.mappings {
            table.row([
                Cell::new(&mapping.id, Tone::Strong),
                mapping.function.as_str().into(),
                source_words(&mapping.source).into(),
                mapping.state_cell(),
                mapping.activity.poller.as_deref().unwrap_or("-").into(),
                mapping.count("invoked_events").into(),
                mapping.count("failed_invoke_events").into(),
                mapping.activity.parked_records.to_string().into(),
            ]);
        }
        table.text(paint)
    }
}

/// Why a mapping does nothing.
#[derive(Debug, Serialize)]
pub(crate) struct WhyView {
    message: String,
    until_ms: Option<i64>,
    mapping: Option<MappingView>,
}

impl From<v1::ExplainMappingResponse> for WhyView {
    fn from(answer: v1::ExplainMappingResponse) -> Self {
        let v1::ExplainMappingResponse { message, until_ms, mapping } = answer;
        Self { message, until_ms, mapping: mapping.map(MappingView::from) }
    }
}

impl View for WhyView {
    fn text(&self, paint: Paint) -> String {
        let until = self.until_ms.map(|at| format!(" (until {})", instant::show(at)));
        format!("{}{}", paint.strong(&self.message), until.unwrap_or_default())
    }
}

/// What a seek did or would do.
#[derive(Debug, Serialize)]
pub(crate) struct SeekView {
    done: bool,
    shards: Vec<ShardSeekView>,
}

#[derive(Debug, Serialize)]
struct ShardSeekView {
    shard: String,
    from: String,
    to: String,
    read_again: Option<u64>,
    skipped: Option<u64>,
}

impl From<v1::SeekMappingResponse> for SeekView {
    fn from(answer: v1::SeekMappingResponse) -> Self {
        let shards = answer.shards.into_iter().map(|seek| ShardSeekView {
            shard: seek.shard,
            from: seek.from,
            to: seek.to,
            read_again: seek.read_again,
            skipped: seek.skipped,
        });
        Self { done: answer.done, shards: shards.collect() }
    }
}

impl View for SeekView {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(&["SHARD", "FROM", "TO", ">READ AGAIN", ">SKIPPED"]);
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let known =
            |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        for seek in &self.shards {
            table.row([
                seek.shard.as_str().into(),
                or_dash(&seek.from).into(),
                or_dash(&seek.to).into(),
                known(seek.read_again).into(),
                known(seek.skipped).into(),
            ]);
        }
        let last = if self.done { "moved" } else { "nothing was moved: this is a preview" };
        format!("{}\n\n{last}", table.text(paint))
    }
}
