//! Parked keys as they are shown.

use serde::Serialize;
use trine_proto::v1;

use crate::instant;
use crate::output::View;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Table};
use crate::view::base64;

/// Keys whose records are set aside.
#[derive(Debug, Serialize)]
pub(crate) struct ParkedView {
    pub(crate) keys: Vec<ParkedKeyView>,
    pub(crate) more: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct ParkedKeyView {
    shard: String,
    /// As text; absent if it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    key_base64: String,
    records: u64,
    since_ms: i64,
    error: String,
    unparking: bool,
}

impl From<v1::ParkedKey> for ParkedKeyView {
    fn from(parked: v1::ParkedKey) -> Self {
        Self {
            shard: parked.shard,
            key: std::str::from_utf8(&parked.key).ok().map(str::to_owned),
            key_base64: base64::show(&parked.key),
            records: parked.records,
            since_ms: parked.since_ms,
            error: parked.error,
            unparking: parked.unparking,
        }
    }
}

impl View for ParkedView {
    fn text(&self, paint: Paint) -> String {
        if self.keys.is_empty() {
            return "nothing is parked".to_owned();
        }
        let mut table = Table::new(&["SHARD", "KEY", ">RECORDS", "SINCE", "STATE", "ERROR"]);
        for parked in &self.keys {
            let key = match &parked.key {
                Some(text) if !text.chars().any(char::is_control) => text.clone(),
                _ => format!("base64:{}", parked.key_base64),
            };
            let state = if parked.unparking { "unparking" } else { "parked" };
            table.row([
                parked.shard.as_str().into(),
                Cell::new(key, Tone::Strong),
                parked.records.to_string().into(),
                instant::show(parked.since_ms).into(),
                state.into(),
                parked.error.as_str().into(),
            ]);
        }
        let more = if self.more { "\nand more; raise --limit" } else { "" };
        format!("{}{more}", table.text(paint))
    }
}

/// What goes back.
#[derive(Debug, Serialize)]
pub(crate) struct UnparkedView {
    pub(crate) records: u64,
}

impl View for UnparkedView {
    fn text(&self, _paint: Paint) -> String {
        match self.records {
            0 => "dropped; nothing else was parked of the key".to_owned(),
            1 => "1 record is sent again".to_owned(),
            many => format!("{many} records are sent again"),
        }
    }
}
