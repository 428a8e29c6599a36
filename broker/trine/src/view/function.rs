//! Functions as they are shown.

use std::time::Duration;

use serde::Serialize;
use trine_proto::v1::{self, SettingOrigin};

use crate::output::View;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Table};
use crate::view::short;
use crate::{destination, duration, instant};

/// Everything about one function.
#[derive(Debug, Serialize)]
pub(crate) struct FunctionView {
    name: String,
    arn: String,
    settings: SettingsView,
    effective: Vec<EffectiveView>,
    created_at_ms: i64,
    modified_at_ms: i64,
    usage: UsageView,
}

/// What the user set, and nothing else.
#[derive(Debug, Default, Serialize)]
struct SettingsView {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_retries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_event_age_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_success: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_failure: Option<String>,
}

/// A value in force and where it came from.
#[derive(Debug, Serialize)]
struct EffectiveView {
    name: String,
    value: String,
    origin: String,
}

#[derive(Debug, Default, Serialize)]
struct UsageView {
    running: u32,
    queued: u64,
    queued_bytes: u64,
    oldest_ready_age_ms: Option<u64>,
    workers: u32,
    free_slots: u32,
}

impl From<v1::Function> for FunctionView {
    fn from(function: v1::Function) -> Self {
        Self {
            name: function.name,
            arn: function.arn,
            settings: function.settings.map(SettingsView::from).unwrap_or_default(),
            effective: function.effective.into_iter().map(EffectiveView::from).collect(),
            created_at_ms: function.created_at_ms,
            modified_at_ms: function.modified_at_ms,
            usage: function.usage.map(UsageView::from).unwrap_or_default(),
        }
    }
}

impl From<v1::FunctionSettings> for SettingsView {
    fn from(settings: v1::FunctionSettings) -> Self {
        Self {
            description: settings.description,
            timeout_seconds: settings.timeout_seconds,
            memory_mb: settings.memory_mb,
            reserved_concurrency: settings.reserved_concurrency,
            max_retries: settings.max_retries,
            max_event_age_seconds: settings.max_event_age_seconds,
            on_success: settings.on_success.as_ref().map(destination::show),
            on_failure: settings.on_failure.as_ref().map(destination::show),
        }
    }
}

impl From<v1::EffectiveSetting> for EffectiveView {
    fn from(setting: v1::EffectiveSetting) -> Self {
        let origin = short(setting.origin().as_str_name(), "SETTING_ORIGIN_");
        Self { name: setting.name, value: setting.value, origin }
    }
}

impl From<v1::FunctionUsage> for UsageView {
    fn from(usage: v1::FunctionUsage) -> Self {
        Self {
            running: usage.running,
            queued: usage.queued,
            queued_bytes: usage.queued_bytes,
            oldest_ready_age_ms: usage.oldest_ready_age_ms,
            workers: usage.workers,
            free_slots: usage.free_slots,
        }
    }
}

impl View for FunctionView {
    fn text(&self, paint: Paint) -> String {
        let mut head = Table::pairs();
        head.pair("function", Cell::new(&self.name, Tone::Strong));
        head.pair("arn", self.arn.as_str());
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
        [head.text(paint), settings.text(paint), self.usage.text(paint)].join("\n\n")
    }
}

impl UsageView {
    fn text(&self, paint: Paint) -> String {
        let mut usage = Table::pairs();
        usage.pair("running", self.running.to_string());
        usage.pair("queued", format!("{} ({} bytes)", self.queued, self.queued_bytes));
        usage.pair("oldest ready", self.oldest());
        usage.pair("workers", self.workers_cell());
        usage.pair("free slots", self.free_slots.to_string());
        usage.text(paint)
    }

    fn oldest(&self) -> String {
        self.oldest_ready_age_ms
            .map_or_else(|| "-".to_owned(), |ms| duration::rough(Duration::from_millis(ms)))
    }

    /// No workers and something to do is worth a look.
    fn workers_cell(&self) -> Cell {
        let tone = if self.workers == 0 && self.queued > 0 { Tone::Attention } else { Tone::Plain };
        Cell::new(self.workers.to_string(), tone)
    }
}

/// Functions in a list.
#[derive(Debug, Serialize)]
pub(crate) struct FunctionsView {
    pub(crate) functions: Vec<FunctionView>,
}

impl View for FunctionsView {
    fn text(&self, paint: Paint) -> String {
        if self.functions.is_empty() {
            return "no functions; create one with `trine function create NAME`".to_owned();
        }
        let mut table = Table::new(&[
            "NAME", ">RUNNING", ">QUEUED", ">OLDEST", ">WORKERS", ">FREE", "MODIFIED",
        ]);
        for function in &self.functions {
            let usage = &function.usage;
            table.row([
                function.name.as_str().into(),
                usage.running.to_string().into(),
                usage.queued.to_string().into(),
                usage.oldest().into(),
                usage.workers_cell(),
                usage.free_slots.to_string().into(),
                instant::show(function.modified_at_ms).into(),
            ]);
        }
        table.text(paint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> FunctionView {
        FunctionView::from(v1::Function {
            name: "thumbnail".to_owned(),
            arn: "trine:function:thumbnail".to_owned(),
            settings: Some(v1::FunctionSettings { max_retries: Some(1), ..Default::default() }),
            effective: vec![
                v1::EffectiveSetting {
                    name: "timeout".to_owned(),
                    value: "3 s".to_owned(),
                    origin: SettingOrigin::Default.into(),
                },
                v1::EffectiveSetting {
                    name: "max_retries".to_owned(),
                    value: "1".to_owned(),
                    origin: SettingOrigin::Function.into(),
                },
            ],
            created_at_ms: 0,
            modified_at_ms: 1000,
            usage: Some(v1::FunctionUsage { queued: 7, ..Default::default() }),
        })
    }

    #[test]
    fn describe_says_where_values_came_from() {
        let text = function().text(Paint::Plain);
        assert!(text.contains("timeout      3 s    default"), "{text}");
        assert!(text.contains("max_retries  1      function"), "{text}");
        assert!(text.contains("queued        7 (0 bytes)"), "{text}");
    }

    #[test]
    fn json_shows_only_what_was_set() {
        let json = serde_json::to_value(function()).expect("JSON");
        assert_eq!(json["settings"], serde_json::json!({"max_retries": 1}));
        assert_eq!(json["effective"][0]["origin"], "default");
        assert_eq!(json["usage"]["oldest_ready_age_ms"], serde_json::Value::Null);
    }
}
