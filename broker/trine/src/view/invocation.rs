//! Invocations as they are shown.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use trine_proto::v1::{self, Condition, DeliveryState, InvocationState, InvocationType};

use crate::instant;
use crate::output::View;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Table};
use crate::view::{Json, short};

/// The name of a condition, as destination records have it (LS 3.3).
pub(crate) const fn condition_name(condition: Condition) -> Option<&'static str> {
    Some(match condition {
        Condition::Unspecified => return None,
        Condition::Success => "Success",
        Condition::RetriesExhausted => "RetriesExhausted",
        Condition::EventAgeExceeded => "EventAgeExceeded",
        Condition::ZeroReservedConcurrency => "ZeroReservedConcurrency",
        Condition::RecursiveInvocation => "RecursiveInvocation",
    })
}

/// The name of a state: `running`.
pub(crate) fn state_name(state: InvocationState) -> String {
    short(state.as_str_name(), "INVOCATION_STATE_")
}

/// Everything about one invocation.
#[derive(Debug, Serialize)]
pub(crate) struct InvocationView {
    request_id: String,
    function: String,
    qualifier: String,
    r#type: String,
    #[serde(serialize_with = "as_state")]
    state: InvocationState,
    condition: Option<&'static str>,
    attempts: u32,
    accepted_at_ms: i64,
    next_attempt_at_ms: Option<i64>,
    finished_at_ms: Option<i64>,
    payload_bytes: u64,
    #[serde(skip_serializing_if = "Bytes::is_empty", serialize_with = "as_json")]
    response: Bytes,
    function_error: Option<String>,
    idempotency_key: Option<String>,
    delivery: Option<String>,
    delivery_attempts: u32,
    delivery_error: Option<String>,
    redriven_from: Option<String>,
    redriven_to: Option<String>,
    revision: u64,
}

impl From<v1::Invocation> for InvocationView {
    fn from(invocation: v1::Invocation) -> Self {
        let delivery = match invocation.delivery() {
            DeliveryState::Unspecified => None,
            state => Some(short(state.as_str_name(), "DELIVERY_STATE_")),
        };
        Self {
            r#type: type_name(invocation.r#type()).to_owned(),
            state: invocation.state(),
            condition: condition_name(invocation.condition()),
            delivery,
            request_id: invocation.request_id,
            function: invocation.function,
            qualifier: invocation.qualifier,
            attempts: invocation.attempts,
            accepted_at_ms: invocation.accepted_at_ms,
            next_attempt_at_ms: invocation.next_attempt_at_ms,
            finished_at_ms: invocation.finished_at_ms,
            payload_bytes: invocation.payload_bytes,
            response: invocation.response,
            function_error: filled(invocation.function_error),
            idempotency_key: filled(invocation.idempotency_key),
            delivery_attempts: invocation.delivery_attempts,
            delivery_error: filled(invocation.delivery_error),
            redriven_from: filled(invocation.redriven_from),
            redriven_to: filled(invocation.redriven_to),
            revision: invocation.revision,
        }
    }
}

impl InvocationView {
    pub(crate) fn succeeded(&self) -> bool {
        self.state == InvocationState::Succeeded
    }

    /// Answer or error object of the last attempt; empty if it is not kept.
    pub(crate) fn response(&self) -> Json<'_> {
        Json(&self.response)
    }

    /// How it stands, in a few words: `dead: RetriesExhausted after 3 attempts`.
    pub(crate) fn summary(&self) -> String {
        let attempts = match self.attempts {
            1 => "1 attempt".to_owned(),
            many => format!("{many} attempts"),
        };
        let state = state_name(self.state);
        match self.condition {
            Some(condition) if !self.succeeded() => {
                format!("{state}: {condition} after {attempts}")
            }
            _ => format!("{state} after {attempts}"),
        }
    }

    fn state_cell(&self) -> Cell {
        let tone = match self.state {
            InvocationState::Succeeded => Tone::Good,
            InvocationState::Dead => Tone::Bad,
            InvocationState::Scheduled | InvocationState::Cancelled => Tone::Attention,
            _ => Tone::Plain,
        };
        Cell::new(state_name(self.state), tone)
    }

    fn delivery_cell(&self) -> Cell {
        let state = self.delivery.as_deref().unwrap_or_default();
        let tone = if state == "undelivered" { Tone::Bad } else { Tone::Plain };
        Cell::new(state, tone)
    }
}

impl View for InvocationView {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::pairs();
        let time = |ms: Option<i64>| ms.map(instant::show).unwrap_or_default();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        table.pair("request id", Cell::new(&self.request_id, Tone::Strong));
        table.pair("function", format!("{}:{}", self.function, self.qualifier));
        table.pair("type", self.r#type.as_str());
        table.pair("state", self.state_cell());
        table.pair("condition", self.condition.unwrap_or_default());
        table.pair("attempts", self.attempts.to_string());
        table.pair("accepted", instant::show(self.accepted_at_ms));
        table.pair("next attempt", time(self.next_attempt_at_ms));
        table.pair("finished", time(self.finished_at_ms));
        table.pair("payload", format!("{} bytes", self.payload_bytes));
        table.pair("function error", text(&self.function_error));
        table.pair("response", self.response().line());
        table.pair("idempotency key", text(&self.idempotency_key));
        table.pair("destination", self.delivery_cell());
        if self.delivery_attempts > 0 {
            table.pair("deliveries tried", self.delivery_attempts.to_string());
        }
        table.pair("delivery error", text(&self.delivery_error));
        table.pair("redriven from", text(&self.redriven_from));
        table.pair("redriven to", text(&self.redriven_to));
        table.text(paint)
    }
}

/// Invocations in a list.
#[derive(Debug, Serialize)]
pub(crate) struct InvocationsView {
    pub(crate) invocations: Vec<InvocationView>,
    /// There are more than were asked for.
    pub(crate) more: bool,
}

impl View for InvocationsView {
    fn text(&self, paint: Paint) -> String {
        if self.invocations.is_empty() {
            return "no invocations match".to_owned();
        }
        let mut table = Table::new(&[
            "REQUEST ID",
            "FUNCTION",
            "STATE",
            "CONDITION",
            ">ATTEMPTS",
            "ACCEPTED",
            "DESTINATION",
        ]);
        for invocation in &self.invocations {
            table.row([
                invocation.request_id.as_str().into(),
                invocation.function.as_str().into(),
                invocation.state_cell(),
                invocation.condition.unwrap_or_default().into(),
                invocation.attempts.to_string().into(),
                instant::show(invocation.accepted_at_ms).into(),
                invocation.delivery_cell(),
            ]);
        }
        let mut text = table.text(paint);
        if self.more {
            text.push_str(&paint.quiet("\n(there are more: raise --limit)"));
        }
        text
    }
}

/// The one thing that an invocation is waiting for.
#[derive(Debug, Serialize)]
pub(crate) struct WhyView {
    blocker: String,
    message: String,
    until_ms: Option<i64>,
    invocation: Option<InvocationView>,
}

impl From<v1::ExplainInvocationResponse> for WhyView {
    fn from(answer: v1::ExplainInvocationResponse) -> Self {
        Self {
            blocker: short(answer.blocker().as_str_name(), "BLOCKER_"),
            message: answer.message,
            until_ms: answer.until_ms,
            invocation: answer.invocation.map(InvocationView::from),
        }
    }
}

impl View for WhyView {
    fn text(&self, paint: Paint) -> String {
        let mut text = format!("{}: {}", paint.strong(&self.blocker), self.message);
        let mut table = Table::pairs();
        if let Some(until_ms) = self.until_ms {
            table.pair("until", instant::show(until_ms));
        }
        if let Some(invocation) = &self.invocation {
            table.pair("function", invocation.function.as_str());
            table.pair("state", invocation.state_cell());
            table.pair("attempts", invocation.attempts.to_string());
        }
        text.push('\n');
        text.push_str(&table.text(paint));
        text
    }
}

const fn type_name(kind: InvocationType) -> &'static str {
    match kind {
        InvocationType::Unspecified | InvocationType::RequestResponse => "request_response",
        InvocationType::Event => "event",
        InvocationType::DryRun => "dry_run",
    }
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn as_state<S: Serializer>(state: &InvocationState, serializer: S) -> Result<S::Ok, S::Error> {
    state_name(*state).serialize(serializer)
}

fn as_json<S: Serializer>(text: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    Json(text).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> InvocationView {
        InvocationView::from(v1::Invocation {
            request_id: "0190".to_owned(),
            function: "f".to_owned(),
            qualifier: "$LATEST".to_owned(),
            r#type: InvocationType::Event.into(),
            state: InvocationState::Dead.into(),
            condition: Condition::RetriesExhausted.into(),
            attempts: 3,
            response: Bytes::from_static(b"{\"errorType\":\"E\"}"),
            function_error: "Unhandled".to_owned(),
            ..Default::default()
        })
    }

    #[test]
    fn a_dead_one_says_how_it_died() {
        assert_eq!(dead().summary(), "dead: RetriesExhausted after 3 attempts");
        let text = dead().text(Paint::Plain);
        assert!(text.contains("response        {\"errorType\":\"E\"}"), "{text}");
        assert!(!text.contains("redriven"), "{text}");
    }

    #[test]
    fn json_embeds_the_response() {
        let json = serde_json::to_value(dead()).expect("JSON");
        assert_eq!(json["response"]["errorType"], "E");
        assert_eq!(json["state"], "dead");
        assert_eq!(json["type"], "event");
        assert_eq!(json["condition"], "RetriesExhausted");
    }
}
