//! The engine's view of an invocation on the wire, and the filter that clients put to it.

use trine_engine::{Blocker as Waits, Death, Delivery, End, EventStage, InvocationView, Phase};
use trine_proto::v1::{
    Blocker, Condition, DeliveryState, Invocation, InvocationFilter, InvocationState,
    InvocationType, Refusal,
};

use crate::refusal::invalid;

/// An invocation for the wire, without its response.
pub(crate) fn invocation(view: &InvocationView) -> Invocation {
    let kind = if view.event { InvocationType::Event } else { InvocationType::RequestResponse };
    let record = view.record.as_ref();
    let mut invocation = Invocation {
        request_id: view.request_id.to_string(),
        function: view.function.to_string(),
        qualifier: "$LATEST".to_owned(),
        r#type: kind.into(),
        state: state(view.phase).into(),
        attempts: view.attempts,
        accepted_at_ms: time(view.accepted_at),
        payload_bytes: view.payload_bytes.into(),
        idempotency_key: record
            .and_then(|record| record.idempotency.as_ref())
            .map(|idempotency| idempotency.key.to_string())
            .unwrap_or_default(),
        redriven_from: record
            .and_then(|record| record.redriven_from)
            .map(|from| from.to_string())
            .unwrap_or_default(),
        delivery_attempts: view.delivery_tries,
        revision: view.revision,
        ..Invocation::default()
    };
    match view.phase {
        Phase::Scheduled { due_at, .. } => invocation.next_attempt_at_ms = Some(time(due_at)),
        Phase::Ended { end, at, delivery } => {
            invocation.finished_at_ms = Some(time(at));
            invocation.condition = condition(end).into();
            invocation.delivery = delivery_state(delivery).into();
            if let End::Redriven { to } = end {
                invocation.redriven_to = to.to_string();
            }
        }
        Phase::Ready | Phase::Running => {}
    }
    if record.is_some_and(|record| record.failed) {
        invocation.function_error = "Unhandled".to_owned();
    }
    invocation
}

/// Whether the store may hold a response of it.
pub(crate) fn has_response(view: &InvocationView) -> bool {
    view.record.as_ref().is_some_and(|record| {
        record.failed
            || matches!(&record.stage, EventStage::Ended(ended) if ended.end == End::Succeeded)
    })
}

fn state(phase: Phase) -> InvocationState {
    match phase {
        Phase::Scheduled { .. } => InvocationState::Scheduled,
        Phase::Ready => InvocationState::Ready,
        Phase::Running => InvocationState::Running,
        Phase::Ended { end, .. } => match end {
            End::Succeeded => InvocationState::Succeeded,
            End::Dead(_) => InvocationState::Dead,
            End::Cancelled => InvocationState::Cancelled,
            End::Redriven { .. } => InvocationState::Redriven,
        },
    }
}

fn condition(end: End) -> Condition {
    match end {
        End::Succeeded => Condition::Success,
        End::Dead(Death::RetriesExhausted) => Condition::RetriesExhausted,
        End::Dead(Death::EventAgeExceeded) => Condition::EventAgeExceeded,
        End::Dead(Death::ZeroReservedConcurrency) => Condition::ZeroReservedConcurrency,
        End::Dead(Death::RecursiveInvocation) => Condition::RecursiveInvocation,
        End::Cancelled | End::Redriven { .. } => Condition::Unspecified,
    }
}

fn delivery_state(delivery: Delivery) -> DeliveryState {
    match delivery {
        Delivery::None => DeliveryState::Unspecified,
        Delivery::Pending => DeliveryState::Pending,
        Delivery::Delivered => DeliveryState::Delivered,
        Delivery::Undelivered => DeliveryState::Undelivered,
    }
}

fn time(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// A filter, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    function: String,
    states: Vec<InvocationState>,
    condition: Option<Condition>,
    undelivered: bool,
    from: Option<u64>,
    until: Option<u64>,
}

impl Filter {
    pub(crate) fn parse(given: InvocationFilter) -> Result<Self, Refusal> {
        let states: Result<Vec<_>, _> =
            given.states.iter().map(|state| InvocationState::try_from(*state)).collect();
        let states = states.map_err(|_| invalid("filter.states holds an unknown state."))?;
        let condition = Condition::try_from(given.condition)
            .map_err(|_| invalid("filter.condition is unknown."))?;
        let moment = |ms: i64| u64::try_from(ms).unwrap_or(0);
        Ok(Self {
            function: given.function,
            states,
            condition: (condition != Condition::Unspecified).then_some(condition),
            undelivered: given.undelivered,
            from: given.accepted_from_ms.map(moment),
            until: given.accepted_until_ms.map(moment),
        })
    }

    pub(crate) fn wants(&self, view: &InvocationView) -> bool {
        let (end, delivery) = match view.phase {
            Phase::Ended { end, delivery, .. } => (Some(end), Some(delivery)),
            _ => (None, None),
        };
        (self.function.is_empty() || self.function == view.function.as_str())
            && (self.states.is_empty() || self.states.contains(&state(view.phase)))
            && self.condition.is_none_or(|wanted| end.is_some_and(|end| condition(end) == wanted))
            && (!self.undelivered || delivery == Some(Delivery::Undelivered))
            && self.from.is_none_or(|from| view.accepted_at >= from)
            && self.until.is_none_or(|until| view.accepted_at < until)
    }

    /// Only what can be put back.
    pub(crate) fn wants_redrivable(&self, view: &InvocationView) -> bool {
        let states_aside = Self { states: Vec::new(), ..self.clone() };
        states_aside.wants(view) && redrivable(view)
    }
}

/// Dead, or with a record that was set aside.
pub(crate) fn redrivable(view: &InvocationView) -> bool {
    match view.phase {
        Phase::Ended { end: End::Redriven { .. }, .. } => false,
        Phase::Ended { end, delivery, .. } => {
            matches!(end, End::Dead(_)) || delivery == Delivery::Undelivered
        }
        _ => false,
    }
}

/// The blocker on the wire, in a sentence, and when it is looked at again.
pub(crate) fn blocker(waits: Waits, function: &str) -> (Blocker, String, Option<i64>) {
    let until = |at: u64| Some(time(at));
    match waits {
        Waits::Finished => (Blocker::Finished, "It has ended.".to_owned(), None),
        Waits::Running => (Blocker::Running, "It is running now.".to_owned(), None),
        Waits::NotBefore(at) => {
            (Blocker::NotBefore, "The client asked for a later start.".to_owned(), until(at))
        }
        Waits::RetryWait(at) => (
            Blocker::RetryWait,
            "The last attempt failed; it waits for the next one.".to_owned(),
            until(at),
        ),
        Waits::ReservedConcurrency { limit, until: at } => (
            Blocker::ReservedConcurrency,
            format!(
                "All {limit} reserved concurrent executions of {function} are in use; it starts as soon as one ends."
            ),
            until(at),
        ),
        Waits::AccountConcurrency { limit, until: at } => (
            Blocker::AccountConcurrency,
            format!(
                "All {limit} unreserved concurrent executions of the account are in use; it starts as soon as one ends."
            ),
            until(at),
        ),
        Waits::NoWorker { until: at } => (
            Blocker::NoWorker,
            format!("No connected worker serves {function}; it starts as soon as one connects."),
            until(at),
        ),
        Waits::NoFreeSlot { slots, until: at } => (
            Blocker::NoFreeSlot,
            format!(
                "All {slots} slots of the workers that serve {function} are busy; it starts as soon as one is free."
            ),
            until(at),
        ),
        Waits::QueueAhead { events } => {
            (Blocker::QueueAhead, format!("Up to {events} events of {function} go first."), None)
        }
        Waits::Destination { until: at } => (
            Blocker::Destination,
            "It has ended; its destination has not taken the record yet.".to_owned(),
            until(at),
        ),
        Waits::Store => {
            (Blocker::Store, "Its next step is being written to the disk.".to_owned(), None)
        }
    }
}
