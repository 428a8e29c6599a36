//! Why a mapping does nothing: the one thing that it waits for, in a sentence that says what to do (users.md A3). Pure:
//! it looks at what the registry, the engine and the poller say.

use trine_engine::mapping::{MappingState, MappingView};
use trine_engine::{AccountView, FunctionView, Millis};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    pub(crate) message: String,
    pub(crate) until: Option<Millis>,
}

/// The first of these that is so: what the user wanted, what nobody can do, what is broken, what the function lacks, what
/// is left to do.
pub(crate) fn explain(
    view: &MappingView,
    function: Option<&FunctionView>,
    account: &AccountView,
) -> Explained {
    let until = view.status.as_ref().and_then(|status| status.until);
    let found = by_state(view)
        .or_else(|| by_poller(view))
        .or_else(|| by_source(view))
        .map(|message| (message, until));
    let found = found.or_else(|| Some((by_function(view, function, account)?, until)));
    let (message, until) = found.unwrap_or_else(|| (by_work(view), until));
    Explained { message, until }
}

/// What its user wants, or is changing.
fn by_state(view: &MappingView) -> Option<String> {
    let id = view.id;
    let holder = view.holder.as_ref().map(|holder| &*holder.poller);
    let letting_go = |what: &str| match holder {
        Some(poller) => format!("It is being {what}: poller {poller} lets what runs end first."),
        None => format!("It is being {what}."),
    };
    Some(match view.state {
        MappingState::Disabled => {
            format!("It is disabled; `trine mapping enable {id}` makes it read again.")
        }
        MappingState::Paused => {
            format!("It is paused and keeps its place; `trine mapping resume {id}` makes it go on.")
        }
        MappingState::Deleting => letting_go("deleted"),
        MappingState::Disabling => letting_go("disabled"),
        MappingState::Updating => letting_go("updated"),
        MappingState::Creating | MappingState::Enabling | MappingState::Enabled => return None,
    })
}

/// Whether anybody reads it.
fn by_poller(view: &MappingView) -> Option<String> {
    let kind = &view.definition.kind;
    match &view.holder {
        None if view.able_pollers == 0 => Some(format!(
            "No connected poller reads sources of kind {kind}; start one with `trine poller`, or an adapter that offers the kind."
        )),
        None => Some(format!(
            "The {} connected pollers that read sources of kind {kind} have as many mappings as they take; start another one.",
            view.able_pollers
        )),
        Some(holder) if holder.asked_back => Some(format!(
            "It is on its way to another poller: {} lets what runs end first.",
            holder.poller
        )),
        Some(holder) if view.status.is_none() => Some(format!(
            "Poller {} has just been given it and has not told yet how it is.",
            holder.poller
        )),
        Some(_) => None,
    }
}

/// Whether the source can be used.
fn by_source(view: &MappingView) -> Option<String> {
    let status = view.status.as_ref()?;
    let poller = view.holder.as_ref().map_or("nobody", |holder| &holder.poller);
    if !status.problem.is_empty() {
        let error = if status.error.is_empty() { "" } else { ": " };
        return Some(format!(
            "The source cannot be used ({}), says poller {poller}{error}{}. It keeps trying.",
            status.problem,
            status.error.trim_end_matches('.')
        ));
    }
    (!status.live && !status.error.is_empty()).then(|| {
        format!(
            "The source is not being read, says poller {poller}: {}. It keeps trying.",
            status.error.trim_end_matches('.')
        )
    })
}

/// Whether the function can run.
fn by_function(
    view: &MappingView,
    function: Option<&FunctionView>,
    account: &AccountView,
) -> Option<String> {
    let name = &view.definition.function;
    let Some(function) = function else {
        return Some(format!(
            "Function {name} does not exist; create it with `trine function create {name}`, or update the mapping."
        ));
    };
    let waits = view.status.as_ref().is_some_and(|status| {
        let held = |phase: &str| phase.contains("throttle") || phase.contains("worker");
        held(&status.waiting_for) || status.shards.iter().any(|shard| held(&shard.phase))
    });
    if function.usage.workers == 0 {
        return Some(format!("No connected worker serves {name}; start one."));
    }
    if !waits {
        return None;
    }
    if let Some(limit) = function.settings.reserved_concurrency
        && function.usage.running >= limit
    {
        return Some(format!(
            "All {limit} reserved concurrent executions of {name} are in use; no attempt is spent."
        ));
    }
    if account.unreserved_running >= account.unreserved {
        return Some(format!(
            "All {} unreserved concurrent executions of the account are in use; no attempt is spent.",
            account.unreserved
        ));
    }
    (function.usage.free_slots == 0).then(|| {
        format!("Every slot of the workers that serve {name} is in use; no attempt is spent.")
    })
}

/// What its poller says, what is parked, or that there is nothing to do.
fn by_work(view: &MappingView) -> String {
    let status = view.status.clone().unwrap_or_default();
    let parked = match view.parked_keys {
        0 => String::new(),
        keys => format!(
            " Of {keys} keys {} records are parked; `trine mapping parked {}` shows them.",
            view.parked_records, view.id
        ),
    };
    let lag = |shard: &trine_engine::mapping::ShardStatus| shard.lag_records;
    let caught_up =
        !status.shards.is_empty() && status.shards.iter().all(|one| lag(one) == Some(0));
    let mut message = match &*status.waiting_for {
        "" if caught_up => "It has caught up: the source has nothing new.".to_owned(),
        "" => "It reads its source and waits for nothing.".to_owned(),
        waiting_for => format!("{}.", waiting_for.trim_end_matches('.')),
    };
    message.push_str(&parked);
    message
}
